-- The order's row against the real database: what its statements and indexes refuse, whoever comes twice or late.

local database = require "platform.db"
local store = require "services.order.store"

local db = database.open("order")
local uuid7 = fastr.crypto.uuid7

local function at(seconds)
  return fastr.time.iso(fastr.time.unix_ms() + (seconds or 0) * 1000)
end

local function in_tx(fn)
  return db:transaction(function(tx) return { fn(tx) } end)[1]
end

local function raised(fn)
  local ok, err = pcall(db.transaction, db, fn)
  assert.is_false(ok)
  return err
end

-- An order in state placing, leased for 10 s; `cart` makes it another one of the same cart. Nil if the cart has one.
local function make(cart)
  local list, nothing = fastr.json.array {}, {}
  local order = { id = uuid7(), cart = cart or uuid7(), email = "spec@example.com", token_hash = "x", currency = "GBP",
    shipping_address = nothing, shipping_method = "post", lines = list, totals = nothing, total = 100, due = 100,
    shipping = list, facts = "{}", decision = "{}", pack = "sha256:spec", abi = 1, lease_until = at(10),
    lease_by = uuid7(), work = "place", sequence = 0, tries = 0, hold_s = 900, open_s = 1800 }
  return in_tx(function(tx) return store.create(tx, order, at()) end) and order or nil
end

local function move(order, from, to)
  return in_tx(function(tx) return store.set_status(tx, order, from, to, at()) end)
end

local function attempt(order)
  local id = uuid7()
  in_tx(function(tx)
    store.add_attempt(tx, { id = id, order = order.id, payment_method = "card", amount = 100, currency = "GBP" }, at())
    return true
  end)
  return id
end

local function take(order, by, seconds)
  local lease = { by = by, ends = at(seconds + 10) }
  return in_tx(function(tx) return store.take(tx, order.id, lease, at(seconds)) or false end)
end

-- What a spec makes must not be taken for work that a running shop has left, nor for an order that rules decided.
local made = {}
local function order_of(cart)
  local order = make(cart)
  made[#made + 1] = order
  return order
end

teardown(function()
  for _, order in ipairs(made) do
    in_tx(function(tx)
      store.set_work(tx, order, nil)
      tx:query("update orders set status = 'cancelled', placed_at = null where id = $1", order.id)
      return true
    end)
  end
end)

describe("a cart", function()
  it("has one order that is not cancelled", function()
    local first = order_of()
    assert.is_nil(make(first.cart))
    assert.truthy(move(first, "placing", "cancelled"))
    assert.truthy(order_of(first.cart))
  end)

  it("gets one order from sixteen checkouts at once", function()
    local cart, tasks, n = uuid7(), {}, 0
    for i = 1, 16 do tasks[i] = function() return order_of(cart) and 1 or 0 end end
    for _, result in ipairs(fastr.all(tasks)) do n = n + result[1] end
    assert.equal(1, n)
  end)
end)

describe("a status", function()
  it("changes only from where it is thought to be, and counts", function()
    local order = order_of()
    local row = move(order, "placing", "placed")
    assert.equal(1, row.sequence)
    assert.truthy(tonumber(row.number) > 100000)
    assert.is_false(move(order, "placing", "cancelled"))
    assert.equal(row.number, move(order, "placed", "paid").number)
  end)

  it("has a history that nobody can rewrite", function()
    local order = order_of()
    in_tx(function(tx)
      store.add_history(tx, order, { sequence = 0, to = "placing", actor = "spec", reason = "", at = at() })
      return true
    end)
    local err = raised(function(tx) tx:query("update history set reason = 'x' where order_id = $1", order.id) end)
    assert.truthy(tostring(err):find("only ever added", 1, true))
    err = raised(function(tx) tx:query("delete from history where order_id = $1", order.id) end)
    assert.truthy(tostring(err):find("only ever added", 1, true))
  end)
end)

describe("an attempt", function()
  it("is alone while it can still move money", function()
    local order = order_of()
    local first = attempt(order)
    local err = raised(function(tx)
      local other = { id = uuid7(), order = order.id, payment_method = "c", amount = 1, currency = "GBP" }
      store.add_attempt(tx, other, at())
    end)
    assert.equal("attempts_one_open", database.duplicate(err))
    in_tx(function(tx)
      store.set_attempt(tx, { id = first, status = "declined" }, at())
      return true
    end)
    assert.truthy(attempt(order))
  end)

  it("is asked once", function()
    local id = attempt(order_of())
    assert.is_true(in_tx(function(tx) return store.ask(tx, id, at()) end))
    assert.is_false(in_tx(function(tx) return store.ask(tx, id, at()) end))
  end)

  it("that has ended stays as it ended, whoever comes late", function()
    local id = attempt(order_of())
    local status = in_tx(function(tx)
      store.set_attempt(tx, { id = id, status = "voided" }, at())
      store.set_attempt(tx, { id = id, status = "captured" }, at())
      return store.attempt(tx, id).status
    end)
    assert.equal("voided", status)
  end)
end)

describe("work", function()
  it("is done by one at a time, and taken up when its lease has ended", function()
    local order, me, you = order_of(), uuid7(), uuid7()
    assert.is_false(take(order, me, 0))
    assert.truthy(take(order, me, 11))
    assert.is_false(take(order, you, 12))
    assert.truthy(take(order, you, 22))
  end)

  it("that is done is not taken", function()
    local order = order_of()
    in_tx(function(tx)
      store.set_work(tx, order, nil)
      return true
    end)
    assert.is_false(take(order, uuid7(), 60))
  end)

  it("of a placed order does not end before news that came meanwhile were looked at", function()
    local order = order_of()
    move(order, "placing", "placed")
    local seen = in_tx(function(tx)
      local list = {}
      local function settled(work)
        store.end_work(tx, order, work)
        list[#list + 1] = store.lock(tx, order.id).work or "none"
      end
      store.turn_to(tx, order, "settle", "", at())
      store.wake(tx, order.id, at())
      settled("settle")
      settled("authorisation")
      store.turn_to(tx, order, "settle", "", at())
      settled("settle")
      return list
    end)
    assert.same({ "authorisation", "none", "none" }, seen)
  end)
end)
