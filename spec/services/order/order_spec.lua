-- The life of an order against the running databases and the test provider: paid, packed, shipped, delivered, returned,
-- cancelled; two at once, twice, and what is refused.

local database = require "platform.db"
local shopper = require "spec.support.shopper"
local transition = require "services.order.transition"
local work = require "services.order.work"

local send, STAFF = shopper.send, shopper.STAFF

local function post(order, what, body, headers)
  return send("POST", "/api/v1/orders/" .. order .. "/" .. what, { body = body, headers = headers })
end

local function ship(order, status, more)
  return post(order, "shipments", shopper.with({ status = status }, more), STAFF)
end

local function delivered(lines)
  local order, mine = shopper.buy(lines)
  assert.equal(200, (ship(order.id, "shipped")))
  assert.equal(200, (ship(order.id, "delivered")))
  return order, mine
end

local function take_back(order, lines, more, headers)
  local list = fastr.json.array {}
  for _, line in ipairs(lines) do list[#list + 1] = { sku = line[1], quantity = line[2], restock = line[3] } end
  return post(order, "returns", shopper.with({ lines = list }, more), headers or shopper.with(STAFF, shopper.key()))
end

-- What payment says of the order's money.
local function payment(order)
  local status, p = send("GET", "/api/v1/payments/" .. order.payments[#order.payments].id, { headers = STAFF })
  assert.equal(200, status)
  return p
end

local function status_of(status, body) return status, body.code end

local function statuses(order)
  local list = {}
  for i, entry in ipairs(order.history) do list[i] = entry.status end
  return table.concat(list, " ")
end

describe("an order", function()
  it("is paid, packed, shipped and delivered by staff, in that order, each once", function()
    local sku = shopper.product(1000, 5)
    local order, mine = shopper.buy { [sku] = 2 }
    assert.same({ "paid", 3 }, { order.status, shopper.available(sku) })
    assert.equal(401, (post(order.id, "shipments", { status = "shipped" })))
    assert.equal(401, (post(order.id, "shipments", { status = "shipped" }, mine)))
    assert.equal(409, (ship(order.id, "delivered")))
    local status, shipped = ship(order.id, "shipped", { carrier = "Post", tracking = "X1" })
    assert.same({ 200, "shipped" }, { status, shipped.status })
    assert.same({ "Post", "X1" }, { shipped.shipments[1].carrier, shipped.shipments[1].tracking })
    local again, wrong = ship(order.id, "shipped")
    assert.same({ 409, "order_transition_refused" }, { again, wrong.code })
    assert.equal(200, (ship(order.id, "delivered")))
    assert.equal("placing placed paid fulfilling shipped delivered", statuses(shopper.order(order.id, mine)))
    for _, bad in ipairs { "paid", "cancelled", 1 } do assert.equal(422, (ship(order.id, bad))) end
  end)

  it("says what it saved, and to staff every rule that was looked at when it was priced", function()
    local order, mine = shopper.buy { [shopper.product(20000, 5)] = 1 }
    local shown = shopper.order(order.id, mine)
    assert.equal("ten_off_over_150", shown.discounts[1].promotion)
    assert.truthy(shown.discounts[1].detail:find("^You saved 20%.00: 10 %% off"))
    assert.same({ 1, shown.totals.discount }, { #shown.rules.trace, shown.discounts[1].amount })
    local path = "/api/v1/orders/" .. order.id .. "?explain=full"
    assert.equal(403, (send("GET", path, { headers = mine })))
    local status, whole = send("GET", path, { headers = STAFF })
    assert.equal(200, status)
    local outcomes = {}
    for _, entry in ipairs(whole.rules.trace) do outcomes[entry.rule] = entry.outcome end
    assert.same({ "applied", "not_applied" }, { outcomes.ten_off_over_150, outcomes.welcome })
    assert.equal(422, (send("GET", "/api/v1/orders/" .. order.id .. "?explain=much", { headers = STAFF })))
  end)

  it("shipped by two at once is shipped by one", function()
    local order = shopper.buy { [shopper.product(1000, 5)] = 1 }
    local good = 0
    local results = fastr.all { function() return ship(order.id, "shipped") end,
      function() return ship(order.id, "shipped") end }
    for _, result in ipairs(results) do good = good + (result[1] == 200 and 1 or 0) end
    assert.equal(1, good)
  end)

  it("is opened by its customer, by staff, and by who has its token; for all others there is none", function()
    local me = shopper.signed_in()
    local order, with_token = shopper.buy({ [shopper.product(1000, 5)] = 1 }, me)
    local path = "/api/v1/orders/" .. order.id
    for _, who in ipairs { me, STAFF, { ["Fastr-Order"] = with_token["Fastr-Order"] } } do
      assert.equal(200, (send("GET", path, { headers = who })))
    end
    for _, who in ipairs { {}, shopper.signed_in(), { ["Fastr-Order"] = ("0"):rep(32) } } do
      assert.equal(404, (send("GET", path, { headers = who })))
      assert.equal(404, (post(order.id, "cancel", nil, who)))
    end
  end)

  it("too large to be taken without a look is taken, and its history says why it wants one", function()
    local sku = shopper.product(1000000, 100)
    local order = shopper.buy { [sku] = 3 }
    assert.equal("placed", order.status) -- and not paid: review_spec.lua
    local placed
    for _, entry in ipairs(order.history) do
      if entry.status == "placed" then placed = entry end
    end
    assert.truthy(placed.reason:find("^for review: "))
    local cart = shopper.cart { [sku] = 20 }
    local status, wrong = shopper.checkout(cart, shopper.card())
    assert.same({ 422, "order_refused", 97 }, { status, wrong.code, shopper.available(sku) })
    assert.equal("open", select(2, send("GET", "/api/v1/carts/" .. cart.id)).state)
  end)
end)

describe("a cancelled order", function()
  it("gives money and stock back, once, however often it is cancelled", function()
    local sku = shopper.product(1000, 5)
    local order, mine = shopper.buy { [sku] = 2 }
    assert.equal(3, shopper.available(sku))
    local tasks = {}
    for i = 1, 4 do tasks[i] = function() return post(order.id, "cancel", { reason = "too big" }, mine) end end
    for _, result in ipairs(fastr.all(tasks)) do assert.equal(200, result[1]) end
    shopper.eventually("the money is back", function()
      return payment(order).refunded.amount == order.totals.total.amount
    end)
    shopper.eventually("the stock is back", function() return shopper.available(sku) == 5 end)
    local now = shopper.order(order.id, mine)
    assert.same({ "cancelled", "too big" }, { now.status, now.history[#now.history].reason })
    assert.same({ 409, "order_transition_refused" }, { (ship(order.id, "shipped")),
      select(2, ship(order.id, "shipped")).code })
  end)

  it("is not shipped meanwhile, and a shipped one is not cancelled", function()
    local order, mine = shopper.buy { [shopper.product(1000, 5)] = 1 }
    local results = fastr.all { function() return post(order.id, "cancel", nil, mine) end,
      function() return ship(order.id, "shipped") end }
    local good = 0
    for _, result in ipairs(results) do good = good + (result[1] == 200 and 1 or 0) end
    assert.equal(1, good)
    order, mine = shopper.buy { [shopper.product(1000, 5)] = 1 }
    ship(order.id, "shipped")
    local status, wrong = post(order.id, "cancel", nil, mine)
    assert.same({ 409, "order_transition_refused" }, { status, wrong.code })
  end)
end)

describe("units that are cancelled before the order is sent", function()
  local function cancel(order, lines, headers)
    local list = fastr.json.array {}
    for _, line in ipairs(lines) do list[#list + 1] = { sku = line[1], quantity = line[2] } end
    return post(order.id, "cancel", { lines = list }, shopper.with(headers, shopper.key()))
  end

  it("go to the stock, what was paid for them to the customer; the rest is sent", function()
    local sku, other = shopper.product(3333, 10), shopper.product(7777, 10)
    local order, mine = shopper.buy { [sku] = 3, [other] = 1 } -- a tenth off
    local paid = {}
    for _, line in ipairs(order.lines) do paid[line.sku] = line.total.amount end
    local status, now = cancel(order, { { sku, 1 } }, mine)
    local first = now.returns[1]
    assert.same({ 200, "paid", "cancellation", "done" }, { status, now.status, first.kind, first.status })
    assert.equal("1 x " .. sku .. " cancelled", now.history[#now.history].reason)
    assert.same({ 8, first.refund.amount }, { shopper.available(sku), payment(order).refunded.amount })
    for _, to in ipairs { "shipped", "delivered" } do assert.equal(200, (ship(order.id, to))) end
    assert.same({ 409, "order_transition_refused" }, { status_of(cancel(order, { { sku, 1 } }, mine)) })
    assert.same({ 409, "return_too_large" }, { status_of(take_back(order.id, { { sku, 3 } })) })
    status, now = take_back(order.id, { { other, 1 }, { sku, 2, false } })
    assert.same({ 201, "returned", "return" }, { status, now.status, now.returns[2].kind })
    assert.same({ paid[sku] + paid[other], 8, 10 }, { payment(order).refunded.amount, shopper.available(sku),
      shopper.available(other) })
  end)

  it("and then all the rest give everything back once, with the shipping", function()
    local sku, other = shopper.product(1000, 10), shopper.product(500, 10)
    for _, how in ipairs { "whole", "units" } do
      local order, mine = shopper.buy { [sku] = 3, [other] = 2 }
      assert.equal(200, (cancel(order, { { sku, 1 }, { other, 2 } }, mine)))
      local status, now
      if how == "whole" then status, now = post(order.id, "cancel", nil, mine) end
      if how == "units" then status, now = cancel(order, { { sku, 2 } }, mine) end
      assert.same({ 200, "cancelled", 1 }, { status, now.status, #now.returns })
      shopper.eventually("the money is back", function()
        return payment(order).refunded.amount == order.totals.total.amount
      end)
      shopper.eventually("the stock is back", function()
        return shopper.available(sku) == 10 and shopper.available(other) == 10
      end)
    end
  end)

  it("have no money of their own any more where all of the order was cancelled before they got it", function()
    local sku = shopper.product(1000, 10)
    local order, mine = shopper.buy { [sku] = 3 }
    local _, now = cancel(order, { { sku, 1 } }, mine)
    local db, id = require("platform.db").open("order"), now.returns[1].id
    assert.equal(200, (post(order.id, "cancel", nil, mine)))
    shopper.eventually("the money is back", function()
      return payment(order).refunded.amount == order.totals.total.amount
    end)
    -- as if payment had been away when the units were cancelled
    local lost = fastr.crypto.uuid7()
    db:write("update returns set id = $2, refund = 'due', next_try_at = $3 where id = $1", id, lost, fastr.time.now())
    require("services.order.returns").finish(db, lost)
    local seen = shopper.order(order.id, mine).returns[1]
    assert.same({ "done", 0, 1000 }, { seen.status, seen.refund.amount, seen.short.amount })
  end)

  it("are refused where there are not so many, the order is not paid yet, or nobody could say it again", function()
    local sku = shopper.product(1000, 10)
    local order, mine = shopper.buy { [sku] = 3 }
    for _, bad in ipairs { { sku, 0 }, { sku, 1.5 }, { "NOPE", 1 } } do
      assert.same({ 422, "validation" }, { status_of(cancel(order, { bad }, mine)) })
    end
    assert.same({ 409, "return_too_large" }, { status_of(cancel(order, { { sku, 4 } }, mine)) })
    assert.same({ 400, "idempotency_key_required" }, { status_of(post(order.id, "cancel", { lines = fastr.json.array {
      { sku = sku, quantity = 1 } } }, mine)) })
    assert.equal(404, (cancel(order, { { sku, 1 } })))
    local large = shopper.product(1000000, 10)
    local waiting, its = shopper.buy { [large] = 3 }
    assert.same({ "placed", 409, "order_transition_refused" }, { waiting.status,
      status_of(cancel(waiting, { { large, 1 } }, its)) })
    assert.equal(0, payment(order).refunded.amount)
    local key = shopper.with(mine, shopper.key())
    local function once() return post(order.id, "cancel", { lines = fastr.json.array {
      { sku = sku, quantity = 1 } } }, key) end
    fastr.all { once, once }
    assert.same({ 200, "true" }, { (once()), (select(3, once())["Idempotent-Replayed"]) })
    assert.same({ 8, 1000 }, { shopper.available(sku), payment(order).refunded.amount })
  end)
end)

describe("goods that come back", function()
  it("go to the stock, and what was paid for them to the customer; all of them end the order", function()
    local sku, other = shopper.product(999, 10), shopper.product(500, 10)
    local order, mine = delivered { [sku] = 3, [other] = 1 }
    local status, now = take_back(order.id, { { sku, 1 } }, { reason = "scratched" })
    assert.same({ 201, "delivered", "done", 999 }, { status, now.status, now.returns[1].status,
      now.returns[1].refund.amount })
    assert.equal("1 x " .. sku .. " came back: scratched", now.history[#now.history].reason)
    assert.same({ 8, 999 }, { shopper.available(sku), payment(order).refunded.amount })
    status, now = take_back(order.id, { { sku, 2, false }, { other, 1 } })
    assert.same({ 201, "returned", 2498 }, { status, now.status, now.returns[2].refund.amount })
    assert.same({ 8, 10 }, { shopper.available(sku), shopper.available(other) })
    assert.equal(order.totals.items.amount, payment(order).refunded.amount)
    local again, wrong = take_back(order.id, { { sku, 1 } })
    assert.same({ 409, "order_transition_refused" }, { again, wrong.code })
    assert.equal("returned", shopper.order(order.id, mine).status)
  end)

  it("give back what each unit cost after its discounts, to the penny", function()
    local sku, other = shopper.product(3333, 10), shopper.product(7777, 10)
    local order = delivered { [sku] = 3, [other] = 1 } -- 177.76, so a tenth off
    local lines = {}
    for _, line in ipairs(order.lines) do lines[line.sku] = line.total.amount end
    assert.equal(order.totals.items.amount - order.totals.discount.amount, lines[sku] + lines[other])
    assert.is_true(order.totals.discount.amount > 0)
    local sum = 0
    for i = 1, 3 do
      local _, now = take_back(order.id, { { sku, 1 } })
      sum = sum + now.returns[i].refund.amount
    end
    assert.equal(lines[sku], sum)
    local _, now = take_back(order.id, { { other, 1 } })
    assert.same({ "returned", lines[other] }, { now.status, now.returns[4].refund.amount })
    assert.equal(lines[sku] + lines[other], payment(order).refunded.amount)
  end)

  it("give back what was paid for the shipping with the last of them, where the rules say so", function()
    local shop = assert(fastr.rules.open("scripts/rules"))
    local file = "order/transition.lua"
    local source, changed = shop:files()[file]:gsub("REFUNDS_SHIPPING = false", "REFUNDS_SHIPPING = true")
    assert.equal(1, changed)
    local pack, allowed = assert(shop:with(file, source)), transition.allowed
    transition.allowed = function(order, to, who, all_back)
      local decision = assert(pack:decide("order.transition", { from = order.status, to = to, who = who.kind,
        all_back = all_back }))
      return decision.via or {}, decision
    end
    finally(function()
      transition.allowed = allowed
      pack:close()
      shop:close()
    end)
    local sku = shopper.product(1000, 10)
    local order = delivered { [sku] = 2 }
    local fee = order.shipping[1].total
    assert.is_true(fee.amount > 0)
    local _, now = take_back(order.id, { { sku, 1 } })
    assert.same({ 1000 }, { now.returns[1].refund.amount, now.returns[1].shipping })
    _, now = take_back(order.id, { { sku, 1 } })
    assert.same({ 1000 + fee.amount, fee }, { now.returns[2].refund.amount, now.returns[2].shipping })
    assert.same(order.totals.total, payment(order).refunded)
  end)

  it("are not more than was bought, also when ten come at once", function()
    local sku = shopper.product(1000, 10)
    local order = delivered { [sku] = 4 }
    local status, wrong = take_back(order.id, { { sku, 5 } })
    assert.same({ 409, "return_too_large", "lines[0].quantity", 4 }, { status, wrong.code, wrong.errors[1].path,
      wrong.errors[1].left })
    local tasks, good = {}, 0
    for i = 1, 10 do tasks[i] = function() return take_back(order.id, { { sku, 3 } }) end end
    for _, result in ipairs(fastr.all(tasks)) do good = good + (result[1] == 201 and 1 or 0) end
    assert.equal(1, good)
    assert.same({ 9, 3000 }, { shopper.available(sku), payment(order).refunded.amount })
  end)

  it("come back once for a key, sent twice or at once", function()
    local sku, key = shopper.product(1000, 10), shopper.with(STAFF, shopper.key())
    local order = delivered { [sku] = 4 }
    fastr.all { function() return take_back(order.id, { { sku, 2 } }, nil, key) end,
      function() return take_back(order.id, { { sku, 2 } }, nil, key) end }
    local status, _, headers = take_back(order.id, { { sku, 2 } }, nil, key)
    assert.same({ 201, "true" }, { status, headers["Idempotent-Replayed"] })
    assert.same({ 8, 2000 }, { shopper.available(sku), payment(order).refunded.amount })
    assert.equal(422, (take_back(order.id, { { sku, 1 } }, nil, key)))
  end)

  it("are refused where the rules, the order or the request do not allow it", function()
    local sku = shopper.product(1000, 10)
    local order, mine = shopper.buy { [sku] = 2 }
    local function refused(lines, headers)
      local status, wrong = take_back(order.id, lines, nil, headers)
      return { status, wrong.code }
    end
    assert.same({ 409, "order_transition_refused" }, refused { { sku, 1 } }) -- not shipped: it is cancelled instead
    ship(order.id, "shipped")
    assert.same({ 409, "order_transition_refused" }, refused({ { sku, 1 } }, shopper.with(mine, shopper.key())))
    assert.same({ 404, "order_not_found" }, refused({ { sku, 1 } }, shopper.key()))
    assert.same({ 400, "idempotency_key_required" }, refused({ { sku, 1 } }, STAFF))
    for _, bad in ipairs { 0, -1, 1.5, 1e9, "2" } do assert.same({ 422, "validation" }, refused { { sku, bad } }) end
    assert.same({ 422, "validation" }, refused {})
    assert.same({ 422, "validation" }, refused { { "NOPE", 1 } })
    assert.same({ 422, "validation" }, refused { { sku, 1 }, { sku, 1 } })
    assert.equal(0, payment(order).refunded.amount)
  end)

  it("give back what is left where some was refunded by amount before, and say what is missing", function()
    local sku = shopper.product(1000, 10)
    local order = delivered { [sku] = 3 }
    local total = order.totals.total.amount
    assert.equal(201, (send("POST", "/api/v1/payments/" .. order.payments[1].id .. "/refunds", {
      headers = shopper.with(STAFF, shopper.key()), body = { amount = { amount = total - 1500, currency = "GBP" } } })))
    local _, now = take_back(order.id, { { sku, 1 } })
    assert.same({ "done", 1000 }, { now.returns[1].status, now.returns[1].refund.amount })
    assert.is_nil(now.returns[1].short)
    _, now = take_back(order.id, { { sku, 2 } })
    local last = now.returns[2]
    assert.same({ "returned", "done", 500, 1500, 2000 }, { now.status, last.status, last.refund.amount,
      last.short.amount, last.lines[1].refund.amount })
    assert.same({ total, 10 }, { payment(order).refunded.amount, shopper.available(sku) })
  end)

  it("whose money was given back already are told as refused, not lost", function()
    local sku = shopper.product(1000, 10)
    local order = delivered { [sku] = 1 }
    local status = send("POST", "/api/v1/payments/" .. order.payments[1].id .. "/refunds", {
      headers = shopper.with(STAFF, shopper.key()), body = { reason = "goodwill" } })
    assert.equal(201, status)
    local _, now = take_back(order.id, { { sku, 1 } })
    assert.same({ "returned", "refused", 10 }, { now.status, now.returns[1].status, shopper.available(sku) })
    assert.equal(order.totals.total.amount, payment(order).refunded.amount)
  end)
end)

describe("an order whose database runs each transaction twice", function()
  local db = database.open("order")

  -- As after a lost connection or a serialization failure: what the first run did is rolled back.
  local twice = setmetatable({ transaction = function(_, fn, options)
    db:transaction(function(tx)
      fn(tx)
      return nil, "lost"
    end)
    return db:transaction(fn, options)
  end }, { __index = function(_, name)
    return function(_, ...) return db[name](db, ...) end
  end })

  -- A bought order as it was before: `placing`, with this work left, its stock and its money taken.
  local function put_back(work_left)
    fastr.task.set("service", "order")
    local sku = shopper.product(1000, 10)
    local order, mine = shopper.buy { [sku] = 1 }
    db:write([[update orders set status = 'placing', work = $2, next_try_at = now() + interval '1 minute',
      lease_by = null, lease_until = null, held = true where id = $1]], order.id, work_left)
    return order, mine, sku
  end

  it("is paid once", function()
    local order, mine = put_back("place")
    local said = work.resume(twice, order.id)
    assert.same({ "paid" }, { said.outcome, said.problem })
    local now = shopper.order(order.id, mine)
    assert.same({ "paid", 5 }, { now.status, #now.history })
  end)

  it("is given up once, and not left open", function()
    local order, mine, sku = put_back("place")
    db:write("update attempts set status = 'declined' where order_id = $1", order.id)
    work.resume(twice, order.id)
    assert.equal("cancelled", shopper.order(order.id, mine).status)
    shopper.eventually("its stock is back", function() return shopper.available(sku) == 10 end)
  end)
end)

describe("a list of orders", function()
  it("is one's own, newest first, in pages that stay right", function()
    local me, sku = shopper.signed_in(), shopper.product(1000, 100)
    local bought = {}
    for i = 1, 3 do bought[i] = shopper.buy({ [sku] = 1 }, me).id end
    local function page(cursor)
      return select(2, send("GET", "/api/v1/orders?limit=2" .. (cursor and "&cursor=" .. cursor or ""), {
        headers = shopper.with(me, { ["Fastr-Session"] = fastr.task.get("lsn") }) }))
    end
    local first = page()
    assert.same({ bought[3], bought[2] }, { first.items[1].id, first.items[2].id })
    shopper.buy({ [sku] = 1 }, me)
    local second = page(first.next_cursor)
    assert.same({ bought[1], 1, fastr.json.null }, { second.items[1].id, #second.items, second.next_cursor })
    assert.equal(401, (send("GET", "/api/v1/orders")))
    local _, all = send("GET", "/api/v1/orders?limit=1&status=paid", { headers = STAFF })
    assert.equal(1, #all.items)
  end)
end)
