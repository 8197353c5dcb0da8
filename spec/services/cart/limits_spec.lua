-- Promotions with limits: used no more often than they may be and within their budgets, however many check out at once;
-- given back when nothing comes of it, or what came of it is cancelled.

local coupons = require "services.cart.coupons"
local database = require "platform.db"
local jobs = require "services.cart.jobs"
local promotions = require "spec.support.promotions"
local shopper = require "spec.support.shopper"
local store = require "services.cart.store"

local db, send = database.open "cart", shopper.send
local uuid7 = fastr.crypto.uuid7
local RUN = uuid7():sub(-12)
local own, made = nil, {}

local function id(name) return "spec_" .. name .. "_" .. RUN end

-- Each takes something off the articles of its own category.
local DEFINITIONS = [[
  { id = "ID_few", usage = { limit = 3 }, ONLY_few, actions = { { type = "order_fixed", value = 100 } } },
  { id = "ID_one", usage = { limit = 1 }, ONLY_one, actions = { { type = "order_fixed", value = 100 } } },
  { id = "ID_fund", budget = { type = "spend", limit = 1000 }, ONLY_fund,
    actions = { { type = "item_percent", value = 30 } } },
  { id = "ID_each", usage = { limit_per_customer = 1 }, ONLY_each,
    actions = { { type = "order_fixed", value = 100 } } },
  { id = "ID_kept", usage = { limit = 5, give_back = false }, budget = { limit = 10000 }, ONLY_kept,
    actions = { { type = "order_fixed", value = 100 } } },
  { id = "ID_free", ONLY_free, actions = { { type = "order_fixed", value = 100 } } },
  { id = "ID_code", coupon = "CODE", usage = { limit = 2, give_back = false }, ONLY_code,
    actions = { { type = "order_fixed", value = 100 } } },
]]

setup(function()
  local text = DEFINITIONS:gsub("ID_(%l+)", id):gsub('"CODE"', ("%q"):format("CODE-" .. RUN))
  own = promotions.use((text:gsub("ONLY_(%l+)", function(name)
    return ("conditions = { contains_categories_any = { %q } }"):format(id(name))
  end)))
end)

teardown(function() own:restore() end)

-- A product that the promotion is for, at 10.00.
local function product_of(name)
  made[name] = made[name] or shopper.product(1000, 1000, { categories = { id(name) } })
  return made[name]
end

local function cart_for(name, me, more)
  return shopper.cart({ [product_of(name)] = 1 }, me, more or { email = "spec-" .. uuid7() .. "@cart.example" })
end

local function show(cart)
  return (select(2, send("GET", "/api/v1/carts/" .. cart.id)))
end

local function counted(name)
  local row = db:latest("select used, spent from promotion_counts where promotion = $1", id(name))[1]
  return row and { row.used, row.spent } or { 0, 0 }
end

local function discount(of) return of.totals.discount.amount end

-- Buys all the carts at once; the orders, and the problems of those that were refused.
local function buy_all(carts)
  local tasks, orders, refused = {}, {}, {}
  for i, cart in ipairs(carts) do
    local card = shopper.card()
    tasks[i] = function() return shopper.checkout(cart, card) end
  end
  for _, result in ipairs(fastr.all(tasks)) do
    local list = result[1] == 201 and orders or refused
    list[#list + 1] = result[2]
  end
  return orders, refused
end

local function reason_of(wrong, rule)
  for _, reason in ipairs(wrong.reasons) do
    if reason.rule == rule then return reason end
  end
end

-- A price as a checkout has it, in which the promotion took off `amount`.
local function priced(entry, amount)
  return { coupons = {}, facts = {}, limits = { entry }, trace = { { rule = entry.promotion, amount = amount } } }
end

-- Claims for new carts, all at once, what `price(i)` used; how many could.
local function claims(count, price, customer)
  local tasks, good = {}, 0
  for i = 1, count do
    local cart = select(2, send("POST", "/api/v1/carts")).id
    tasks[i] = function()
      return db:transaction(function(tx) return coupons.claim(tx, { id = cart, customer = customer }, price(i)) end)
    end
  end
  for _, result in ipairs(fastr.all(tasks)) do
    if result[1] then good = good + 1 else assert.equal("price_changed", result[2].code) end
  end
  return good
end

describe("a promotion with a limit of uses", function()
  it("has them in as many of eight orders at once; the others are told that the total has changed, and why", function()
    local carts = {}
    for i = 1, 8 do
      carts[i] = cart_for "few"
      assert.equal(100, discount(carts[i]))
    end
    local orders, refused = buy_all(carts)
    assert.same({ 3, 5, { 3, 300 } }, { #orders, #refused, counted "few" })
    for _, order in ipairs(orders) do assert.equal(100, discount(order)) end
    for _, wrong in ipairs(refused) do
      assert.same({ 409, "price_changed", 100 }, { wrong.status, wrong.code,
        wrong.total.amount - wrong.expected.amount })
      assert.same({ 100, 0 }, { reason_of(wrong, id "few").from.amount, reason_of(wrong, id "few").to.amount })
    end
    local later = cart_for "few"
    assert.same({ 0, 201 }, { discount(later), (shopper.checkout(later, shopper.card())) })
  end)

  it("is claimed by one of sixty-four at once where it may be used once", function()
    local entry = { promotion = "spec_once_" .. RUN, limit = 1 }
    assert.equal(1, claims(64, function() return priced(entry, 100) end))
  end)

  it("gives it back when the payment is declined, and once when the order is cancelled twice", function()
    local cart = cart_for "one"
    assert.equal(402, (shopper.checkout(cart, shopper.card("4000000000000002"))))
    assert.same({ 0, 0 }, counted "one")
    local _, order, headers = shopper.checkout(show(cart), shopper.card())
    assert.same({ 1, 100 }, counted "one")
    assert.equal(0, discount(cart_for "one"))
    assert.equal(100, discount(show(cart))) -- its own use is not held against it
    local key = { ["Fastr-Order"] = headers["Fastr-Order"] }
    for _ = 1, 2 do send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = key }) end
    shopper.eventually("it is back", function() return counted("one")[1] == 0 end)
    for _ = 1, 2 do
      fastr.task.set("service", "order")
      fastr.call("cart", "settle", { cart = cart.id, order = order.id, outcome = "open" })
    end
    assert.same({ 0, 0 }, counted "one")
    assert.equal(100, discount(cart_for "one"))
  end)

  it("gives it back where the process died between the claim and the order", function()
    local cart, before = cart_for "few", counted "few"
    db:write("update promotion_counts set used = 0 where promotion = $1", id "few")
    db:transaction(function(tx) -- what a checkout has done by then
      local locked = store.lock(tx, cart.id)
      locked.state, locked.paying_since = "paying", math.floor(fastr.time.unix_ms() / 1000) - 120
      store.save(tx, locked, fastr.time.now())
      return coupons.claim(tx, locked, priced({ promotion = id "few", limit = 3 }, 100))
    end)
    assert.same({ 1, before[2] + 100 }, counted "few")
    fastr.task.set("service", "cart")
    jobs.heal()
    assert.same({ "open", { 0, before[2] } }, { show(cart).state, counted "few" })
  end)

  it("that says so keeps what a cancelled order used, and gives its budget back", function()
    local order, headers = shopper.buy({ [product_of "kept"] = 1 })
    assert.same({ 1, 100 }, counted "kept")
    send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = headers })
    shopper.eventually("the budget is back", function() return counted("kept")[2] == 0 end)
    assert.same({ 1, 0 }, counted "kept")
  end)

  it("has no row where there is no limit", function()
    assert.equal(100, discount((shopper.buy { [product_of "free"] = 1 })))
    assert.is_nil(db:latest("select 1 as found from promotion_claims where promotion = $1", id "free")[1])
    assert.is_nil(db:latest("select 1 as found from promotion_counts where promotion = $1", id "free")[1])
  end)
end)

describe("a promotion with a budget", function()
  it("gives what fits into it to as many of six orders at once", function()
    local carts = {}
    for i = 1, 6 do carts[i] = cart_for "fund" end
    local orders, refused = buy_all(carts)
    assert.same({ 3, 3, { 3, 900 } }, { #orders, #refused, counted "fund" })
    assert.equal(0, discount(cart_for "fund"))
  end)

  it("is never overspent by thirty-two at once who take different amounts", function()
    local entry = { promotion = "spec_purse_" .. RUN, budget = { type = "spend", limit = 2000 } }
    claims(32, function(i) return priced(entry, 50 + 10 * i) end)
    local row = db:latest("select used, spent from promotion_counts where promotion = $1", entry.promotion)[1]
    assert.is_true(row.spent <= 2000 and row.spent > 2000 - 370, row.spent)
    local sum = db:latest([[select count(*) as used, sum(amount)::bigint as spent from promotion_claims
      where promotion = $1]], entry.promotion)[1]
    assert.same(sum, row)
  end)

  it("of uses counts those", function()
    local entry = { promotion = "spec_uses_" .. RUN, limit = 9, budget = { type = "usage", limit = 2 } }
    assert.equal(2, claims(8, function() return priced(entry, 1) end))
  end)
end)

describe("a limit per customer", function()
  it("is for one of two carts of the same customer at once", function()
    local email = "spec-" .. uuid7() .. "@cart.example"
    local carts = { cart_for("each", nil, { email = email }), cart_for("each", nil, { email = email:upper() }) }
    local orders, refused = buy_all(carts)
    assert.same({ 1, 1, "price_changed" }, { #orders, #refused, refused[1].code })
    assert.same({ 0, 0 }, counted "each") -- no row that everybody would wait for
    assert.equal(0, discount(cart_for("each", nil, { email = email })))
    assert.equal(100, discount(cart_for "each"))
  end)

  it("that is joined by one for all counts what was used before", function()
    local entry = { promotion = "spec_later_" .. RUN, limit_per_customer = 5 }
    assert.equal(4, claims(4, function() return priced(entry, 10) end, uuid7()))
    entry.limit = 5
    assert.equal(1, claims(4, function() return priced(entry, 10) end, uuid7()))
    assert.same({ used = 5, spent = 50 },
      db:latest("select used, spent from promotion_counts where promotion = $1", entry.promotion)[1])
  end)
end)

describe("staff", function()
  it("see the promotions that have limits, and what was used of them", function()
    local status, all = send("GET", "/api/v1/promotion-uses", { headers = shopper.STAFF })
    local by_id = {}
    for _, item in ipairs(all.items) do by_id[item.promotion] = item end
    local fund, each, null = by_id[id "fund"], by_id[id "each"], fastr.json.null
    assert.same({ 200, counted("fund")[1], counted("fund")[2], 1000, null }, { status, fund.used, fund.spent.amount,
      fund.budget.amount, fund.limit })
    assert.same({ 1, null, null }, { each.limit_per_customer, each.limit, each.budget })
    assert.is_nil(by_id[id "free"])
    assert.equal(403, (send("GET", "/api/v1/promotion-uses", { headers = shopper.signed_in() })))
  end)
end)

describe("a promotion with a code and a limit", function()
  local code = "CODE-" .. RUN

  local function enter(cart, entered)
    return send("POST", "/api/v1/carts/" .. cart.id .. "/coupons", { body = { code = entered or code } })
  end

  it("is used where the code was accepted, and used up for those who come later", function()
    for i = 1, 2 do
      local cart = cart_for "code"
      local status, with_code = enter(cart)
      assert.same({ 200, 100 }, { status, discount(with_code) })
      local _, order, headers = shopper.checkout(with_code, shopper.card())
      assert.same({ i, 100 * i }, counted "code")
      if i == 2 then
        send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = { ["Fastr-Order"] =
          headers["Fastr-Order"] } })
        shopper.eventually("it is cancelled", function()
          return db:latest("select 1 as found from promotion_claims where promotion = $1 and amount = 0", id "code")[1]
        end)
      end
    end
    local status, wrong = enter(cart_for "code")
    assert.same({ 422, "coupon_refused", "used_up" }, { status, wrong.code, wrong.reason }) -- give_back = false
  end)
end)
