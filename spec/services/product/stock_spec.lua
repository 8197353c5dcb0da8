-- Stock against the real database: what is held, taken, given back, and never sold twice. Products of its own, so that
-- it runs beside a shop that sells.

local database = require "platform.db"
local stock = require "services.product.stock"
local store = require "services.product.store"

local db = database.open("product")
local uuid7 = fastr.crypto.uuid7
local made = 0

-- A product of this run with `units` on hand; its SKU.
local function product(units)
  made = made + 1
  local sku = ("SPEC-%s-%03d"):format(uuid7():sub(-12), made)
  db:transaction(function(tx)
    store.put_product(tx, { sku = sku, name = "SPEC PRODUCT", description = "", categories = { "spec" },
      category_paths = { "spec" }, tax_category = "standard", price = { amount = 100, currency = "GBP" } },
      fastr.time.now())
    if units > 0 then return stock.adjust(tx, sku, units, "spec", "spec") end
    return true
  end)
  return sku
end

local function at(seconds)
  return fastr.time.iso(fastr.time.unix_ms() + (seconds or 0) * 1000)
end

-- One of stock's functions in a transaction of its own, as if it were `seconds` from now.
local function run(step, body, seconds)
  return db:transaction(function(tx) return stock[step](tx, body, at(seconds)) end)
end

local function available(sku, seconds)
  return store.facts(db, { sku }, "GBP", at(seconds), true)[1].available
end

local function counts(sku)
  return db:latest([[select s.on_hand, sum(m.on_hand_delta)::bigint as moved, sum(m.held_delta)::bigint as held,
    coalesce((select sum(quantity) from holds h where h.sku = $1), 0)::bigint as holds
    from stock s join movements m using (sku) where sku = $1 group by 1]], sku)[1]
end

local function hold(order, sku, quantity, seconds)
  return run("hold", { order = order, lines = { { sku = sku, quantity = quantity } }, seconds = 60 }, seconds)
end

describe("a hold", function()
  it("takes all lines or none, and sums lines of one product", function()
    local a, b = product(5), product(1)
    local held, refused = run("hold", { order = uuid7(), seconds = 60, lines = { { sku = a, quantity = 3 },
      { sku = b, quantity = 1 }, { sku = b, quantity = 1 } } })
    assert.is_nil(held)
    assert.equal("insufficient_stock", refused.code)
    assert.same({ { path = b, problem = "2 wanted, 1 there", wanted = 2, available = 1 } }, refused.errors)
    assert.equal(5, available(a))
  end)

  it("is what was asked last, however often it is asked", function()
    local sku, order = product(10), uuid7()
    hold(order, sku, 4)
    hold(order, sku, 4)
    assert.equal(6, available(sku))
    hold(order, sku, 10)
    assert.equal(0, available(sku))
    assert.equal(10, counts(sku).held)
  end)

  it("ends by the clock, not by a job", function()
    local sku = product(3)
    hold(uuid7(), sku, 3)
    assert.equal(0, available(sku, 59))
    assert.equal(3, available(sku, 61))
    assert.equal("held", hold(uuid7(), sku, 3, 61).state)
  end)

  it("can be extended, also after it ran out, while the units are there", function()
    local sku, order = product(3), uuid7()
    hold(order, sku, 3)
    assert.equal("held", run("extend", { order = order, seconds = 60 }, 100).state)
    assert.equal(0, available(sku, 159))
    hold(uuid7(), sku, 3, 200)
    local _, refused = run("extend", { order = order, seconds = 60 }, 210)
    assert.equal("insufficient_stock", refused.code)
  end)
end)

describe("a commit", function()
  it("takes the units off the shelf, once", function()
    local sku, order = product(5), uuid7()
    hold(order, sku, 2)
    assert.equal("committed", run("commit", { order = order }).state)
    assert.equal("committed", run("commit", { order = order }).state)
    assert.same({ on_hand = 3, moved = 3, held = 0, holds = 0 }, counts(sku))
  end)

  it("is refused when the hold ran out and the units are gone", function()
    local sku, order = product(2), uuid7()
    hold(order, sku, 2)
    local other = uuid7()
    hold(other, sku, 2, 100)
    run("commit", { order = other }, 101)
    local _, refused = run("commit", { order = order }, 102)
    assert.equal("insufficient_stock", refused.code)
    assert.equal(0, counts(sku).on_hand)
  end)

  it("cannot be released, only restocked: some units, once for each key, never more than were taken", function()
    local sku, order = product(5), uuid7()
    hold(order, sku, 3)
    run("commit", { order = order })
    assert.equal("conflict", select(2, run("release", { order = order })).code)
    local two = { order = order, key = "a", lines = { { sku = sku, quantity = 2 } } }
    run("restock", two)
    run("restock", two)
    assert.equal(4, counts(sku).on_hand)
    two.key = "b"
    assert.equal("conflict", select(2, run("restock", two)).code)
    assert.same({ on_hand = 4, moved = 4, held = 0, holds = 0 }, counts(sku))
  end)
end)

describe("a release", function()
  it("gives the hold back, once, and needs no hold", function()
    local sku, order = product(5), uuid7()
    hold(order, sku, 5)
    assert.equal("released", run("release", { order = order }).state)
    assert.equal("released", run("release", { order = order }).state)
    assert.equal("released", run("release", { order = uuid7() }).state)
    assert.same({ on_hand = 5, moved = 5, held = 0, holds = 0 }, counts(sku))
  end)

  it("of a hold that ran out is the job's, and leaves orders that moved on alone", function()
    local sku, order, sold = product(5), uuid7(), uuid7()
    hold(order, sku, 2)
    hold(sold, sku, 2)
    run("commit", { order = sold })
    for _, each in ipairs { order, sold } do
      db:transaction(function(tx) return stock.expire(tx, each, at(120)) end)
    end
    assert.same({ on_hand = 3, moved = 3, held = 0, holds = 0 }, counts(sku))
  end)
end)

describe("pricing rule 27", function()
  it("27: place holds, pay takes what was held, cancel gives back one or the other, and never twice", function()
    local sku, placed, unpaid = product(10), uuid7(), uuid7()
    hold(placed, sku, 4)
    hold(unpaid, sku, 3)
    assert.equal(3, available(sku))
    assert.equal("insufficient_stock", select(2, hold(uuid7(), sku, 4)).code)
    run("commit", { order = placed })
    assert.same({ on_hand = 6, moved = 6, held = 3, holds = 3 }, counts(sku))
    run("release", { order = unpaid })
    assert.same({ on_hand = 6, moved = 6, held = 0, holds = 0 }, counts(sku))
    local all = { order = placed, key = "cancelled", lines = { { sku = sku, quantity = 4 } } }
    run("restock", all)
    assert.same({ on_hand = 10, moved = 10, held = 0, holds = 0 }, counts(sku))
    all.key = "cancelled again"
    assert.equal("conflict", select(2, run("restock", all)).code)
  end)
end)

describe("staff", function()
  it("cannot take away what is held", function()
    local sku = product(5)
    hold(uuid7(), sku, 4)
    local done, refused = db:transaction(function(tx) return stock.adjust(tx, sku, -2, "count", "spec") end)
    assert.is_nil(done)
    assert.equal("stock_negative", refused.code)
    assert.equal(4, db:transaction(function(tx) return stock.adjust(tx, sku, -1, "count", "spec") end).on_hand)
  end)
end)

describe("sixty-four buyers of the last ten", function()
  it("get exactly ten", function()
    local sku, tasks = product(10), {}
    for i = 1, 64 do
      tasks[i] = function()
        local order = uuid7()
        if not hold(order, sku, 1) then return 0 end
        return run("commit", { order = order }) and 1 or 0
      end
    end
    local sold = 0
    for _, result in ipairs(fastr.all(tasks)) do sold = sold + result[1] end
    assert.equal(10, sold)
    assert.same({ on_hand = 0, moved = 0, held = 0, holds = 0 }, counts(sku))
  end)
end)

describe("orders with the same products", function()
  it("never wait for each other in a circle", function()
    local a, b, tasks = product(100), product(100), {}
    for i = 1, 20 do
      local first, second = a, b
      if i % 2 == 0 then first, second = b, a end
      tasks[i] = function()
        return run("hold", { order = uuid7(), seconds = 60, lines = { { sku = first, quantity = 1 },
          { sku = second, quantity = 1 } } })
      end
    end
    for _, result in ipairs(fastr.all(tasks)) do assert.equal("held", result[1].state) end
    assert.equal(80, available(a))
  end)
end)
