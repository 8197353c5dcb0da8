-- Checkout against the running databases and the test provider: bought once, at the price that was agreed, with coupons
-- that are used no more often than they may be, whatever is sent twice, at once, or broken off.

local database = require "platform.db"
local jobs = require "services.cart.jobs"
local shopper = require "spec.support.shopper"
local store = require "services.cart.store"

local send, STAFF = shopper.send, shopper.STAFF
local codes = {}

local function show(cart)
  return (select(2, send("GET", "/api/v1/carts/" .. cart.id)))
end

-- The shop's WELCOME, with limits for this spec.
local function limit(limits)
  codes[1] = "WELCOME"
  local _, coupon = send("PUT", "/api/v1/coupons/WELCOME", { headers = STAFF, body = limits })
  return coupon.used
end

local function used()
  return select(2, send("GET", "/api/v1/coupons/WELCOME", { headers = STAFF })).used
end

local function with_coupon(lines, me, more)
  local cart = shopper.cart(lines, me, more)
  local status, priced = send("POST", "/api/v1/carts/" .. cart.id .. "/coupons", { headers = me,
    body = { code = "WELCOME" } })
  return priced, status
end

teardown(function()
  if codes[1] then limit {} end
end)

describe("a checkout", function()
  it("buys a cart once, sent twice with a key, or at once with two", function()
    local sku, card = shopper.product(1000, 10), shopper.card()
    local cart, key = shopper.cart { [sku] = 2 }, shopper.key()
    local tasks, orders = {}, {}
    for i = 1, 4 do
      local headers = i <= 2 and key or nil
      tasks[i] = function() return shopper.checkout(cart, card, headers) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      assert.truthy(result[1] == 201 or result[1] == 409, result[1])
      if result[1] == 201 then orders[result[2].id] = true end
    end
    local status, order, headers = shopper.checkout(cart, card, key)
    assert.same({ 201, true }, { status, next(orders) == nil or orders[order.id] })
    assert.equal(order.order_token, headers["Fastr-Order"])
    assert.equal(8, shopper.available(sku))
    local again, wrong = send("POST", "/api/v1/carts/" .. cart.id .. "/lines", { body = { sku = sku, quantity = 1 } })
    assert.same({ 409, "cart_checked_out", order.id }, { again, wrong.code, wrong.order })
  end)

  it("says what is missing, all of it at once, and which header is", function()
    local _, cart = send("POST", "/api/v1/carts")
    local status, wrong = shopper.checkout(cart)
    assert.same({ 409, "cart_empty" }, { status, wrong.code })
    send("POST", "/api/v1/carts/" .. cart.id .. "/lines", { body = { sku = shopper.product(1000, 1), quantity = 1 } })
    status, wrong = shopper.checkout(show(cart))
    assert.same({ 422, "cart_incomplete", "email", "shipping_address", "shipping_method" }, { status, wrong.code,
      wrong.errors[1].path, wrong.errors[2].path, wrong.errors[3].path })
    cart = shopper.cart { [shopper.product(1000, 1)] = 1 }
    status, wrong = shopper.checkout(cart)
    assert.same({ 422, "payment_method" }, { status, wrong.errors[1].path })
    status, wrong = send("POST", "/api/v1/carts/" .. cart.id .. "/checkout", { body = {
      expected_total = cart.totals.total } })
    assert.same({ 400, "idempotency_key_required" }, { status, wrong.code })
    assert.equal("open", show(cart).state)
  end)

  it("at another total than was agreed is refused with both, and the cart stays as it is", function()
    local cart, card = shopper.cart { [shopper.product(1000, 1)] = 1 }, shopper.card()
    local total = cart.totals.total.amount
    cart.totals.total.amount = total - 1
    local status, wrong = shopper.checkout(cart, card)
    assert.same({ 409, "price_changed", total, total - 1 }, { status, wrong.code, wrong.total.amount,
      wrong.expected.amount })
    assert.same({ "open", 201 }, { show(cart).state, (shopper.checkout(show(cart), card)) })
  end)

  it("is alone on its cart: another at once is told to wait, and neither opens it nor frees its coupon", function()
    local sku, before = shopper.product(1000, 100), limit {}
    limit { limit = before + 5 }
    for _ = 1, 5 do
      local me = shopper.signed_in()
      local cart, card = with_coupon({ [sku] = 1 }, me), shopper.card(nil, me)
      local wrong = { id = cart.id, totals = { total = { amount = 1, currency = "GBP" } } }
      local results = fastr.all { function() return shopper.checkout(cart, card, me) end,
        function() return shopper.checkout(wrong, card, me) end,
        function() return shopper.checkout(cart, card, me) end }
      local good = 0
      for _, result in ipairs(results) do
        if result[1] == 201 then good = good + 1 else assert.equal(409, result[1]) end
      end
      if good == 0 then assert.equal(201, (shopper.checkout(cart, card, me))) end
      assert.equal("done", show(cart).state)
    end
    assert.equal(before + 5, used())
  end)

  it("that came to nothing does not open the cart on which another has begun", function()
    local checkout, db = require "services.cart.checkout", database.open("cart")
    local mine, old = fastr.crypto.uuid7(), fastr.crypto.uuid7()
    local cart = shopper.cart { [shopper.product(1000, 1)] = 1 }
    db:transaction(function(tx)
      local locked = store.lock(tx, cart.id)
      locked.state, locked.paying_by, locked.paying_since = "paying", mine, math.floor(fastr.time.unix_ms() / 1000)
      store.save(tx, locked, fastr.time.now())
      return true
    end)
    local function settle(attempt)
      return db:transaction(function(tx)
        return checkout.settle(tx, { cart = cart.id, order = old, outcome = "open", attempt = attempt })
      end)
    end
    assert.same({ "paying", "open" }, { settle(old), settle(mine) })
  end)

  it("of the last units by five at once succeeds as often as there are units, and nobody else pays", function()
    local sku, tasks, good, carts = shopper.product(1000, 2), {}, 0, {}
    for i = 1, 5 do
      local cart, card = shopper.cart { [sku] = 1 }, shopper.card()
      carts[i], tasks[i] = cart, function() return shopper.checkout(cart, card) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] == 201 then
        good = good + 1
      else
        assert.same({ 409, "insufficient_stock" }, { result[1], result[2].code })
      end
    end
    assert.same({ 2, 0 }, { good, shopper.available(sku) })
    for _, cart in ipairs(carts) do
      assert.not_equal("paying", show(cart).state)
    end
  end)

  it("whose process died does not keep the shopper from his cart for long", function()
    local sku, db = shopper.product(1000, 5), database.open("cart")
    local cart = shopper.cart { [sku] = 1 }
    local function paying_since(seconds)
      db:write("update carts set state = 'paying', paying_by = $2, paying_since = $3 where id = $1", cart.id,
        fastr.crypto.uuid7(), fastr.time.iso(fastr.time.unix_ms() - seconds * 1000))
    end
    local function add()
      return send("POST", "/api/v1/carts/" .. cart.id .. "/lines", { body = { sku = sku, quantity = 1 } })
    end
    paying_since(5)
    local status, wrong, headers = add()
    assert.same({ 409, "checkout_running", "2" }, { status, wrong.code, headers["Retry-After"] })
    assert.equal(409, (shopper.checkout(cart, shopper.card())))
    paying_since(30)
    assert.same({ 200, "open" }, { (add()), show(cart).state })
    paying_since(30)
    assert.equal(201, (shopper.checkout(show(cart), shopper.card())))
  end)

  it("that sold the cart and could not say so leaves it closed, until order's word is heard", function()
    local sku, db = shopper.product(1000, 5), database.open("cart")
    local order = shopper.buy { [sku] = 1 }
    local cart = db:latest("select id from carts where order_id = $1", order.id)[1]
    db:write([[update carts set state = 'paying', order_id = null, paying_since = now() - interval '2 minutes'
      where id = $1]], cart.id)
    local status, wrong = send("POST", "/api/v1/carts/" .. cart.id .. "/lines", { body = { sku = sku, quantity = 1 } })
    assert.same({ 409, "checkout_running" }, { status, wrong.code })
    fastr.task.set("service", "cart")
    jobs.heal()
    assert.same({ "done", order.id }, { show(cart).state, show(cart).order })
  end)

  it("that is declined opens the cart again; another card buys the same order", function()
    local sku = shopper.product(1000, 5)
    local cart = shopper.cart { [sku] = 1 }
    local status, wrong, headers = shopper.checkout(cart, shopper.card("4000000000000002"))
    assert.same({ 402, "payment_declined" }, { status, wrong.code })
    assert.truthy(headers["Fastr-Order"])
    assert.equal("open", show(cart).state)
    local again, order = shopper.checkout(show(cart), shopper.card())
    assert.same({ 201, wrong.order, 4 }, { again, order.id, shopper.available(sku) })
  end)
end)

describe("a coupon at checkout", function()
  it("is used by as many of ten at once as may use it; the others pay nothing, and their carts stay", function()
    local sku, tasks, before = shopper.product(1000, 100), {}, limit {}
    limit { limit = before + 3 }
    for i = 1, 10 do
      local me = shopper.signed_in()
      local cart, card = with_coupon({ [sku] = 1 }, me), shopper.card(nil, me)
      assert.is_true(cart.coupons[1].accepted)
      tasks[i] = function() return shopper.checkout(cart, card, me) end
    end
    local good = 0
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] == 201 then
        good = good + 1
        assert.equal(950, result[2].lines[1].total.amount)
      else
        assert.equal(409, result[1])
        assert.truthy(result[2].code == "coupon_used_up" or result[2].code == "price_changed", result[2].code)
      end
    end
    assert.same({ 3, before + 3 }, { good, used() })
  end)

  it("that is used up is shown as such, and the cart is bought without it at the price that is shown", function()
    local me, sku, before = shopper.signed_in(), shopper.product(1000, 10), limit {}
    local cart = with_coupon({ [sku] = 1 }, me)
    limit { limit = before }
    local now = show(cart)
    assert.same({ false, "used_up", 1000, "coupon_refused" }, { now.coupons[1].accepted, now.coupons[1].reason,
      now.lines[1].total.amount, now.problems[1].code })
    local card = shopper.card(nil, me)
    local status, wrong = shopper.checkout(cart, card, me)
    assert.same({ 409, "price_changed" }, { status, wrong.code })
    local because = {}
    for _, reason in ipairs(wrong.reasons) do because[reason.code] = reason end
    assert.same({ true, 0 }, { because.rule_changed.from.amount > 0, because.rule_changed.to.amount })
    assert.equal("used_up", because.coupon_refused.reason)
    assert.equal(201, (shopper.checkout(now, card, me)))
    assert.equal(before, used())
  end)

  it("comes back when the payment is declined, and when the order is cancelled", function()
    local me, sku, before = shopper.signed_in(), shopper.product(1000, 10), limit {}
    limit { limit = before + 1 }
    local cart = with_coupon({ [sku] = 1 }, me)
    assert.equal(402, (shopper.checkout(cart, shopper.card("4000000000000002", me), me)))
    assert.equal(before, used())
    local status, order = shopper.checkout(show(cart), shopper.card(nil, me), me)
    assert.same({ 201, before + 1 }, { status, used() })
    assert.equal(200, (send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = me })))
    shopper.eventually("it is back", function() return used() == before end)
  end)

  it("comes back when the process died between the claim and the order", function()
    local me, sku, before = shopper.signed_in(), shopper.product(1000, 10), limit {}
    local cart, db = with_coupon({ [sku] = 1 }, me), database.open("cart")
    db:transaction(function(tx) -- what a checkout has done by then
      local locked = store.lock(tx, cart.id)
      locked.state, locked.paying_since = "paying", math.floor(fastr.time.unix_ms() / 1000) - 120
      store.save(tx, locked, fastr.time.now())
      return store.claim_coupon(tx, "WELCOME", cart.id, {}, true, fastr.time.now())
    end)
    assert.equal(before + 1, used())
    fastr.task.set("service", "cart")
    jobs.heal()
    assert.same({ "open", before }, { show(cart).state, used() })
  end)

  it("with a limit per customer is refused to the same account and the same e-mail", function()
    local me, sku = shopper.signed_in(), shopper.product(1000, 10)
    limit { limit_per_customer = 1 }
    local email = "spec-" .. fastr.crypto.uuid7() .. "@cart.example"
    assert.equal(201, (shopper.checkout(with_coupon({ [sku] = 1 }, me, { email = email }), shopper.card(nil, me), me)))
    local other = shopper.signed_in()
    local refused, status = with_coupon({ [sku] = 1 }, other, { email = email:upper() })
    assert.same({ 422, "coupon_refused", "used_up_for_customer" }, { status, refused.code, refused.reason })
  end)
end)
