-- An order that a person looks at: its money is set aside and not taken until staff accepts it; refused, cancelled or
-- run out, all of it goes back. Against the running databases and the test provider.

local attempts = require "services.payment.attempts"
local database = require "platform.db"
local shell = require "spec.support.shell"
local shopper = require "spec.support.shopper"
local store = require "services.order.store"
local work = require "services.order.work"

local send, STAFF = shopper.send, shopper.STAFF
local PRIMARY = assert(os.getenv("PG_PRIMARY"), "PG_PRIMARY is not set: run bin/test, or source var/shop.env")
local db = database.open("order")

local UNITS, PRICE, STOCK = 3, 1000000, 10 -- 30,000.00: looked at

-- An order under review of a guest, or of `who`; and the headers that open it, and its SKU.
local function large(who)
  local sku = shopper.product(PRICE, STOCK)
  local order, mine = shopper.buy({ [sku] = UNITS }, who)
  assert.same({ "placed", "authorised" }, { order.status, order.payments[1].status })
  return order, mine, sku
end

local function review(order, accept, reason, headers)
  return send("POST", "/api/v1/orders/" .. order.id .. "/review", { headers = headers or STAFF,
    body = { accept = accept, reason = reason } })
end

local function cancel(order, headers)
  return send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = headers })
end

local function now_of(order) return shopper.order(order.id, STAFF) end

-- The money of the order's payments, oldest first: { {status, captured, refunded}, ... }.
local function money_of(order)
  local list = {}
  for i, each in ipairs(now_of(order).payments) do
    local _, p = send("GET", "/api/v1/payments/" .. each.attempt, { headers = STAFF })
    list[i] = p.amount and { p.status, p.captured.amount, p.refunded.amount } or { "new", 0, 0 }
  end
  return list
end

local function becomes(order, status)
  return shopper.eventually("it is " .. status, function()
    local now = now_of(order)
    return now.status == status and now
  end, 15)
end

local function statuses(order)
  local list = {}
  for i, entry in ipairs(now_of(order).history) do list[i] = entry.status end
  return table.concat(list, " ")
end

local function everything_is_back(order, sku)
  shopper.eventually("the money is let go of", function()
    local m = money_of(order)
    return m[#m][1] == "voided" and m[#m][2] == 0
  end, 15)
  shopper.eventually("the stock is back", function() return shopper.available(sku) == STOCK end, 15)
end

describe("an order under review", function()
  it("is placed, its stock taken, its money set aside and not taken", function()
    local order, _, sku = large()
    assert.same({ { "authorised", 0, 0 } }, money_of(order))
    assert.equal(STOCK - UNITS, shopper.available(sku))
    assert.truthy(order.payments[1].expires_at > fastr.time.now())
    assert.equal("placing placed", statuses(order))
    assert.truthy(order.history[2].reason:find("^for review: "))
    assert.equal(409, (send("POST", "/api/v1/orders/" .. order.id .. "/shipments", { headers = STAFF,
      body = { status = "shipped" } })))
  end)

  it("that staff accepts is charged once and paid, however many accept it at once", function()
    local order = large()
    local tasks = {}
    for i = 1, 6 do tasks[i] = function() return review(order, true, "known customer") end end
    for _, result in ipairs(fastr.all(tasks)) do assert.truthy(result[1] == 200 or result[1] == 202) end
    becomes(order, "paid")
    assert.same({ { "captured", order.totals.total.amount, 0 } }, money_of(order))
    assert.equal("placing placed placed paid", statuses(order))
    local entry = now_of(order).history[3]
    assert.equal("known customer", entry.reason)
    local status, again = review(order, true)
    assert.same({ 200, "paid" }, { status, again.status })
    assert.equal("placing placed placed paid", statuses(order))
  end)

  it("that staff refuses gives everything back, and is not accepted after that", function()
    local order, _, sku = large()
    local status, now = review(order, false, "not to this address")
    assert.same({ 200, "cancelled", "not to this address" }, { status, now.status, now.history[#now.history].reason })
    everything_is_back(order, sku)
    assert.equal(200, (review(order, false)))
    local again, wrong = review(order, true)
    assert.same({ 409, "order_transition_refused" }, { again, wrong.code })
    assert.equal("placing placed cancelled", statuses(order))
  end)

  it("is nobody's to accept but staff's", function()
    local order, mine = large()
    for _, who in ipairs { mine, shopper.signed_in(), {} } do
      local status = review(order, true, nil, who)
      assert.truthy(status == 401 or status == 403, status)
    end
    local status, wrong = review({ id = fastr.crypto.uuid7() }, true)
    assert.same({ 404, "order_not_found" }, { status, wrong.code })
    assert.equal(422, (review(order, "yes")))
    assert.same({ { "authorised", 0, 0 } }, money_of(order))
  end)

  it("accepted and refused at once is one of the two", function()
    local order, _, sku = large()
    fastr.all { function() return review(order, true) end, function() return review(order, false) end }
    shopper.eventually("it is settled", function() return now_of(order).status ~= "placed" end, 15)
    if now_of(order).status == "paid" then
      assert.same({ { "captured", order.totals.total.amount, 0 } }, money_of(order))
    else
      everything_is_back(order, sku)
    end
  end)

  it("can be cancelled by its customer, also while it is accepted: nothing is kept", function()
    local order, mine, sku = large()
    assert.equal(200, (cancel(order, mine)))
    everything_is_back(order, sku)
    order, mine, sku = large()
    local results = fastr.all { function() return review(order, true) end, function() return cancel(order, mine) end }
    assert.equal(200, results[2][1])
    becomes(order, "cancelled")
    shopper.eventually("nothing is kept", function()
      local m = money_of(order)[1]
      return (m[1] == "voided" or m[1] == "refunded") and m[2] == m[3]
    end, 15)
    shopper.eventually("the stock is back", function() return shopper.available(sku) == STOCK end, 15)
  end)
end)

describe("a crash", function()
  it("between the capture and its note is nothing: it is noted, and nothing is taken twice", function()
    local order = large()
    assert.equal("captured", attempts.capture(database.open("payment"), order.payments[1].attempt).status)
    local status, now = review(order, true)
    assert.same({ 200, "paid" }, { status, now.status })
    assert.same({ { "captured", order.totals.total.amount, 0 } }, money_of(order))
  end)

  it("right after the acceptance leaves an order that the resumer finishes", function()
    local order = large()
    db:transaction(function(tx)
      return work.review(tx, store.lock(tx, order.id), true, { kind = "staff" }, "then the process died")
    end)
    becomes(order, "paid")
    assert.same({ { "captured", order.totals.total.amount, 0 } }, money_of(order))
  end)
end)

describe("money that somebody else moves", function()
  it("makes the order paid where staff captures the payment itself", function()
    local order = large()
    assert.equal(201, (send("POST", "/api/v1/payments/" .. order.payments[1].id .. "/captures", {
      headers = shopper.with(STAFF, shopper.key()), body = {} })))
    becomes(order, "paid")
  end)

  it("cancels the order where staff lets go of it", function()
    local order, _, sku = large()
    assert.equal(201, (send("POST", "/api/v1/payments/" .. order.payments[1].id .. "/voids", {
      headers = shopper.with(STAFF, shopper.key()), body = {} })))
    becomes(order, "cancelled")
    everything_is_back(order, sku)
  end)
end)

local function sql(statement, attempt)
  shell.must(("psql -Xq '%s' -c \"%s = '%s'\""):format(PRIMARY, statement, attempt))
end

-- The authorisation's last day has begun; `is_over`: and gone, at the provider.
local function runs_out(order, is_over)
  local attempt = order.payments[1].attempt
  if is_over then
    return sql("update provider.charges set expires_at = now() - interval '1 s' where key", attempt)
  end
  sql("update payment.payments set expires_at = now() + interval '1 h' where id", attempt)
  db:write("update attempts set look_at = $2 where id = $1", attempt, fastr.time.now())
  store.look_at_due(db, fastr.time.now(), 100) -- as the job does; the running shop goes on from here
end

describe("an authorisation that runs out", function()
  it("is renewed where the card is kept, and captured when the order is accepted", function()
    local me = shopper.signed_in()
    local order = large(me)
    runs_out(order)
    shopper.eventually("another one is there", function()
      local m = money_of(order)
      return #m == 2 and m[1][1] == "voided" and m[2][1] == "authorised"
    end, 15)
    assert.equal("placed", now_of(order).status)
    review(order, true)
    becomes(order, "paid")
    assert.same({ { "voided", 0, 0 }, { "captured", order.totals.total.amount, 0 } }, money_of(order))
  end)

  it("cancels a guest's order, whose card is not kept", function()
    local order, _, sku = large()
    runs_out(order)
    local now = becomes(order, "cancelled")
    assert.equal("authorisation_expired", now.history[#now.history].reason)
    everything_is_back(order, sku)
  end)

  it("that is over when the order is accepted is found out, and asked for anew", function()
    local order = large(shopper.signed_in())
    runs_out(order, true)
    review(order, true)
    becomes(order, "paid")
    assert.same({ { "voided", 0, 0 }, { "captured", order.totals.total.amount, 0 } }, money_of(order))
  end)

  it("that is over is told by the provider, and cancels a guest's order", function()
    local order, _, sku = large()
    runs_out(order, true)
    local now = becomes(order, "cancelled")
    assert.equal("authorisation_expired", now.history[#now.history].reason)
    everything_is_back(order, sku)
  end)
end)
