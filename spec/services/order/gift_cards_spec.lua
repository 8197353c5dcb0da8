-- Orders that gift cards pay, in part or whole: bought, declined, cancelled, returned, looked at; what left a card
-- comes back to the penny and once. Against the running databases and the test provider.

local database = require "platform.db"
local shopper = require "spec.support.shopper"
local store = require "services.order.store"
local work = require "services.order.work"

local send, STAFF = shopper.send, shopper.STAFF
local gift_card, on_card = shopper.gift_card, shopper.on_card

local function post(order, what, body, headers)
  return send("POST", "/api/v1/orders/" .. order.id .. "/" .. what, { body = body, headers = headers or STAFF })
end

local function payment(order)
  return (select(2, send("GET", "/api/v1/payments/" .. order.payments[#order.payments].id, { headers = STAFF })))
end

-- A cart with lines of 30.00 and gift cards on it.
local function cart_with(cards, lines)
  return shopper.pay_with(shopper.cart(lines or { [shopper.product(1500, 5)] = 2 }), cards)
end

local function bought(cards, lines)
  local cart = cart_with(cards, lines)
  local status, order, headers = shopper.checkout(cart, cart.totals.due.amount > 0 and shopper.card() or nil)
  assert(status == 201, fastr.json.encode(order))
  return order, { ["Fastr-Order"] = headers["Fastr-Order"] }
end

local function take_back(order, lines)
  local list = fastr.json.array {}
  for _, line in ipairs(lines) do list[#list + 1] = { sku = line[1], quantity = line[2] } end
  local status, after = post(order, "returns", { lines = list }, shopper.with(STAFF, shopper.key()))
  assert(status == 201, fastr.json.encode(after))
  return after
end

local function delivered(order)
  for _, status in ipairs { "shipped", "delivered" } do
    assert.equal(200, (post(order, "shipments", { status = status })))
  end
end

describe("an order that a gift card pays in part", function()
  it("charges the payment card for the rest, and shows what each paid, masked", function()
    local card = gift_card(1000)
    local order, mine = bought { card }
    local total, due = order.totals.total.amount, order.totals.due.amount
    assert.same({ "paid", 1000, total - 1000, due }, { order.status, order.totals.gift_cards.amount, due,
      order.payments[1].amount.amount })
    local shown = shopper.order(order.id, mine)
    assert.same({ { last4 = card.last4, amount = { amount = 1000, currency = "GBP" } } }, shown.gift_cards)
    assert.is_nil(fastr.json.encode(shown):find(card.id, 1, true))
    assert.same({ 0, due }, { on_card(card), payment(order).captured.amount })
  end)

  it("declined leaves the gift card as it was; bought with another card it pays once", function()
    local card = gift_card(1000)
    local cart = cart_with { card }
    local status = shopper.checkout(cart, shopper.card("4000000000000002"))
    assert.same({ 402, 1000 }, { status, on_card(card) })
    local _, again = send("GET", "/api/v1/carts/" .. cart.id)
    local order
    status, order = shopper.checkout(again, shopper.card())
    assert.same({ 201, 0, 2 }, { status, on_card(card), #order.payments })
  end)

  it("cancelled by several at once gives back all of both, once", function()
    local card, tasks = gift_card(1000), {}
    local order = bought { card }
    for i = 1, 4 do tasks[i] = function() return post(order, "cancel") end end
    fastr.all(tasks)
    shopper.eventually("all is back", function() return payment(order).status == "refunded" end)
    assert.same({ 1000, order.totals.due.amount }, { on_card(card), payment(order).refunded.amount })
  end)

  it("returned line by line gives the payment card its money first, then the gift cards, to the penny", function()
    local a, b, c = shopper.product(1333, 5), shopper.product(777, 5), shopper.product(2500, 5)
    for _, turns in ipairs { { { a, 1 }, { c, 1 }, { b, 2 }, { a, 2 } }, { { b, 1 }, { a, 3 }, { b, 1 }, { c, 1 } } } do
      local one, two = gift_card(3000), gift_card(1001)
      local order = bought({ one, two }, { [a] = 3, [b] = 2, [c] = 1 })
      delivered(order)
      local due, back = order.totals.due.amount, 0
      for _, turn in ipairs(turns) do
        local after = take_back(order, { turn })
        back = back + after.returns[#after.returns].refund.amount
        local p = payment(order)
        local first = math.min(back, due)
        assert.same({ first, back - first }, { p.refunded.amount, on_card(one) + on_card(two) })
        assert.truthy(on_card(one) == 0 or on_card(two) == 1001) -- the last that paid gets its money first
      end
      assert.equal(order.totals.total.amount - order.totals.shipping.amount, back)
    end
  end)
end)

describe("an order that gift cards pay alone", function()
  it("needs no payment card, is paid, and comes back whole", function()
    local card = gift_card(100000)
    local order, mine = bought { card }
    assert.same({ "paid", 0, 0, "captured" }, { order.status, order.totals.due.amount, order.payments[1].amount.amount,
      order.payments[1].status })
    assert.equal(100000 - order.totals.total.amount, on_card(card))
    assert.equal(200, (post(order, "cancel", nil, mine)))
    assert.same({ "cancelled", 100000 }, { shopper.order(order.id, mine).status, on_card(card) })
  end)

  it("sent twice, and at once, is bought once", function()
    local card, tasks, key = gift_card(100000), {}, shopper.key()
    local cart = cart_with { card }
    for i = 1, 4 do tasks[i] = function() return shopper.checkout(cart, nil, i > 2 and key or nil) end end
    fastr.all(tasks)
    assert.equal(201, (shopper.checkout(cart, nil, key)))
    assert.equal(100000 - cart.totals.total.amount, on_card(card))
  end)

  it("returned in parts gives each part back to the card", function()
    local card, sku = gift_card(100000), shopper.product(999, 9)
    local order = bought({ card }, { [sku] = 3 })
    delivered(order)
    local before = on_card(card)
    for i = 1, 3 do
      take_back(order, { { sku, 1 } })
      assert.equal(before + i * 999, on_card(card))
    end
  end)

  it("and that is looked at first is paid when staff accepts it; refused, all of it comes back", function()
    local card, sku = gift_card(7000000), shopper.product(1000000, 10)
    for _, accept in ipairs { true, false } do
      local before = on_card(card)
      local order = bought({ card }, { [sku] = 3 })
      assert.same({ "placed", "authorised" }, { order.status, order.payments[1].status })
      assert.equal(before - order.totals.total.amount, on_card(card))
      local _, after = post(order, "review", { accept = accept })
      assert.equal(accept and "paid" or "cancelled", after.status)
      assert.equal(accept and before - order.totals.total.amount or before, on_card(card))
    end
  end)
end)

describe("an order that is looked at first, and that a gift card pays in part", function()
  it("takes the gift card's part again with the next authorisation, and gives both back when it is refused", function()
    local me, card = shopper.signed_in(), gift_card(5000)
    local cart = shopper.pay_with(shopper.cart({ [shopper.product(1000000, 10)] = 3 }, me), { card }, me)
    local _, order = shopper.checkout(cart, shopper.card(nil, me), me)
    assert.same({ "placed", 0 }, { order.status, on_card(card) })
    local db = database.open("order")
    database.open("payment"):write("update payments set expires_at = now() + interval '1 h' where id = $1",
      order.payments[1].attempt)
    db:write("update attempts set look_at = $2 where id = $1", order.payments[1].attempt, fastr.time.now())
    store.look_at_due(db, fastr.time.now(), 100)
    shopper.eventually("another authorisation is there", function()
      local now = store.load(db, order.id)
      return not now.work and #now.attempts == 2 and now.attempts[2].status == "authorised"
    end, 15)
    assert.equal(0, on_card(card))
    assert.equal("cancelled", select(2, post(order, "review", { accept = false })).status)
    shopper.eventually("all is back", function() return on_card(card) == 5000 end)
  end)
end)

describe("a payment that waits for the shopper", function()
  it("keeps what its gift card paid until he comes back with another card", function()
    local card = gift_card(1000)
    local cart = cart_with { card }
    assert.equal(202, (shopper.checkout(cart, shopper.card("4000000000003220"))))
    assert.equal(0, on_card(card))
    local status, wrong = shopper.checkout(cart, shopper.card()) -- his first attempt has the card's money
    assert.same({ 409, "price_changed", 1000 }, { status, wrong.code, on_card(card) })
    assert.same({ 201, 0 }, { (shopper.checkout(cart, shopper.card())), on_card(card) })
  end)
end)

-- The order as its row is, unleased, with this work due: what a crash leaves.
local function crashed(order, changes)
  local db = database.open("order")
  fastr.task.set("service", "order")
  db:write("update orders set " .. changes .. [[, lease_until = null, lease_by = null, next_try_at = now()
    where id = $1]], order.id)
  return db
end

describe("a crash", function()
  it("after the gift card has paid and before the order knows is finished by the resumer, which spends nothing again",
    function()
      local card = gift_card(100000)
      local order = bought { card }
      local left = on_card(card)
      local db = crashed(order, "status = 'placing', work = 'place', held = true, committed = false")
      db:write("update attempts set status = 'asked' where order_id = $1", order.id)
      work.resume(db, order.id)
      assert.same({ "paid", left }, { store.load(db, order.id).status, on_card(card) })
    end)

  it("in the middle of an undoing is undone once", function()
    local card = gift_card(100000)
    local order = bought { card }
    local before = on_card(card) + order.totals.total.amount
    assert.equal(200, (post(order, "cancel")))
    local db = crashed(order, "work = 'undo'")
    db:write("update attempts set status = 'captured' where order_id = $1", order.id)
    work.resume(db, order.id)
    assert.equal(before, on_card(card))
  end)
end)
