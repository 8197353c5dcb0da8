-- Gift cards in a cart: what each pays, what is left, which are refused and why; the code is in no answer.

local database = require "platform.db"
local shopper = require "spec.support.shopper"

local send, gift_card, STAFF = shopper.send, shopper.gift_card, shopper.STAFF

local function enter(cart, code, headers)
  return send("POST", "/api/v1/carts/" .. cart.id .. "/gift-cards", { headers = headers, body = { code = code } })
end

local function take_out(cart, id)
  return send("DELETE", "/api/v1/carts/" .. cart.id .. "/gift-cards/" .. id)
end

local function show(cart, headers)
  return (select(2, send("GET", "/api/v1/carts/" .. cart.id, { headers = headers })))
end

local function block(card)
  return send("PATCH", "/api/v1/gift-cards/" .. card.id, { headers = STAFF, body = { status = "blocked" } })
end

local function of(cart)
  local list = {}
  for i, card in ipairs(cart.gift_cards) do list[i] = { card.last4, card.amount.amount } end
  return list
end

local function sums(cart)
  return { cart.totals.total.amount, cart.totals.gift_cards.amount, cart.totals.due.amount }
end

describe("a gift card in a cart", function()
  it("pays as much of the total as is on it; tax and total stay as they are", function()
    local cart, card = shopper.cart { [shopper.product(5000, 5, { tax_category = "standard" })] = 1 }, gift_card(1200)
    local total, tax = cart.totals.total.amount, cart.totals.tax_included.amount
    assert.same({ total, 0, total }, sums(cart))
    local status, paid = enter(cart, card.code)
    assert.same({ 200, { total, 1200, total - 1200 }, { { card.last4, 1200 } }, tax }, { status, sums(paid), of(paid),
      paid.totals.tax_included.amount })
    assert.same({ true, 1200 }, { paid.gift_cards[1].accepted, paid.gift_cards[1].balance.amount })
    paid = shopper.pay_with(cart, { gift_card(100000) })
    assert.same({ total, total, 0 }, sums(paid))
    assert.equal(total - 1200, paid.gift_cards[2].amount.amount)
    status, paid = take_out(cart, card.id)
    assert.same({ 200, { total, total, 0 } }, { status, sums(paid) })
    status, paid = take_out(cart, card.id)
    assert.same({ 404, "gift_card_not_found" }, { status, paid.code })
  end)

  it("entered twice is there once, and its code is in no answer, row or key", function()
    local cart, card = shopper.cart { [shopper.product(5000, 5)] = 1 }, gift_card(100)
    for _ = 1, 2 do enter(cart, card.code) end
    local _, again = enter(cart, (card.code:lower():gsub("-", "")))
    assert.equal(1, #again.gift_cards)
    local db, plain = database.open("cart"), card.code:gsub("-", "")
    local row = db:latest("select c::text as text from carts c where id = $1", cart.id)[1].text
    for _, text in ipairs { row, fastr.json.encode(again) } do
      for _, code in ipairs { card.code, plain } do assert.is_nil(text:find(code, 1, true)) end
    end
  end)

  it("pays before those that expire later, then in the order of entry", function()
    local cart = shopper.cart { [shopper.product(5000, 5)] = 1 }
    local never, late = gift_card(100), gift_card(200, { expires_at = "2031-01-01T00:00:00Z" })
    local soon, too = gift_card(300, { expires_at = "2030-01-01T00:00:00Z" }), gift_card(400)
    local paid = shopper.pay_with(cart, { never, late, soon, too })
    assert.same({ { soon.last4, 300 }, { late.last4, 200 }, { never.last4, 100 }, { too.last4, 400 } }, of(paid))
  end)

  it("that cannot pay is refused with its reason, and the cart stays as it is", function()
    local cart = shopper.cart { [shopper.product(5000, 5)] = 1 }
    local blocked, euros = gift_card(100), gift_card(0, { amount = { amount = 100, currency = "EUR" } })
    local expired, empty = gift_card(100), gift_card(100)
    block(blocked)
    send("PATCH", "/api/v1/gift-cards/" .. expired.id, { headers = STAFF,
      body = { expires_at = "2020-01-01T00:00:00Z" } })
    send("POST", "/api/v1/gift-cards/" .. empty.id .. "/adjustments", { headers = shopper.with(STAFF, shopper.key()),
      body = { amount = { amount = -100, currency = "GBP" }, reason = "spec" } })
    for reason, card in pairs { blocked = blocked, expired = expired, empty = empty, currency = euros } do
      local status, wrong = enter(cart, card.code)
      assert.same({ 409, "gift_card_refused", reason, card.last4 }, { status, wrong.code, wrong.reason, wrong.last4 })
    end
    local status, wrong = enter(cart, "0000-0000-0000-0000")
    assert.same({ 404, "gift_card_not_found" }, { status, wrong.code })
    assert.same({ cart.version, {} }, { show(cart).version, show(cart).gift_cards })
  end)

  it("that cannot pay any more is shown as a problem, and pays nothing", function()
    local card = gift_card(100)
    local cart = shopper.pay_with(shopper.cart { [shopper.product(5000, 5)] = 1 }, { card })
    block(card)
    local seen = show(cart)
    assert.same({ false, "blocked", 0 }, { seen.gift_cards[1].accepted, seen.gift_cards[1].reason,
      seen.totals.gift_cards.amount })
    assert.same({ "gift_card_refused", card.id, "blocked" }, { seen.problems[1].code, seen.problems[1].gift_card,
      seen.problems[1].reason })
  end)

  it("of another cart of one's own comes along at sign-in", function()
    local me, card, other = shopper.signed_in(), gift_card(100), gift_card(200)
    shopper.pay_with(shopper.cart({ [shopper.product(5000, 5)] = 1 }, me), { card }, me)
    local guest = shopper.pay_with(shopper.cart { [shopper.product(1000, 5)] = 1 }, { other })
    local status, merged = send("POST", "/api/v1/carts/" .. guest.id .. "/claim", { headers = me })
    assert.same({ 200, { { other.last4, 200 }, { card.last4, 100 } } }, { status, of(merged) })
    assert.equal(300, merged.totals.gift_cards.amount)
  end)
end)

describe("a checkout with gift cards", function()
  it("of a customer's cart is for him alone, though others may know the cart", function()
    local me, card = shopper.signed_in(), gift_card(100000)
    local cart = shopper.pay_with(shopper.cart({ [shopper.product(1000, 5)] = 1 }, me), { card }, me)
    for _, other in ipairs { {}, shopper.signed_in() } do
      local status, body = shopper.checkout(cart, nil, other)
      assert.same({ 403, "forbidden" }, { status, body.code })
    end
    assert.equal(100000, shopper.on_card(card))
    assert.equal(201, (shopper.checkout(cart, nil, me)))
  end)

  it("asks what the shopper means to pay beside, and refuses another amount than that", function()
    local card = gift_card(1000)
    local cart = shopper.pay_with(shopper.cart { [shopper.product(5000, 5)] = 1 }, { card })
    local function check_out(due)
      return send("POST", "/api/v1/carts/" .. cart.id .. "/checkout", { headers = shopper.key(), body = {
        payment_method = shopper.card(), expected_total = cart.totals.total, expected_due = due } })
    end
    local status, wrong = check_out()
    assert.same({ 422, "expected_due" }, { status, wrong.errors[1].path })
    local due = cart.totals.due.amount
    status, wrong = check_out { amount = due - 1, currency = "GBP" }
    assert.same({ 409, "price_changed", due, due - 1 }, { status, wrong.code, wrong.due.amount,
      wrong.expected_due.amount })
    block(card)
    status, wrong = check_out(cart.totals.due)
    assert.same({ 409, "price_changed", due + 1000 }, { status, wrong.code, wrong.due.amount })
    local seen = show(cart)
    assert.same({ "open", due + 1000 }, { seen.state, seen.totals.due.amount })
    cart = select(2, take_out(cart, card.id))
    assert.equal(201, (check_out()))
  end)

  it("of which sixteen want one card at once spends no more than is on it, and charges nobody else's card", function()
    local card, sku = gift_card(1000), shopper.product(150, 100)
    local tasks, carts, paid, bought = {}, {}, 0, 0
    for i = 1, 16 do
      carts[i] = shopper.pay_with(shopper.cart({ [sku] = 1 }, nil), { card })
      tasks[i] = function() return shopper.checkout(carts[i], shopper.card()) end
    end
    for i, result in ipairs(fastr.all(tasks)) do
      if result[1] == 201 then
        paid, bought = paid + carts[i].totals.gift_cards.amount, bought + 1
      else
        assert.equal(409, result[1], fastr.json.encode(result[2]))
        assert.equal("open", show(carts[i]).state)
      end
    end
    assert.truthy(bought >= 1)
    assert.equal(1000 - paid, shopper.on_card(card))
  end)
end)
