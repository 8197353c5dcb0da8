-- Facts that must be looked up are declared by the decision points, and gathered only then.

local shopper = require "spec.support.shopper"

local shop

setup(function() shop = assert(fastr.rules.open("scripts/rules")) end)

local function with_needs(list)
  local text = shop:files()["order/accept.lua"]
  return shop:with("order/accept.lua", (text:gsub("needs = %b{}", "needs = " .. list)))
end

describe("the facts of a point that must be looked up", function()
  it("are those that its file declares, of all points that are asked about", function()
    assert.same({ history = true, payment = true }, fastr.rules.needs("order.accept"))
    assert.same({}, fastr.rules.needs("order.transition"))
    assert.same({ ["customer.group"] = true }, fastr.rules.needs("cart.accept", "order.transition"))
    assert.same({}, fastr.rules.needs("no.such.point"))
  end)

  it("can be looked up, and are among its facts; else the pack is refused", function()
    local pack, message = with_needs '{ "history", "paymnt" }'
    assert.is_nil(pack)
    assert.equal("order/accept.lua:1: needs[2]: nobody can look up 'paymnt' (did you mean 'payment'?)", message)
    pack, message = with_needs '{ "customer.group", "customer.orders_placed", "history", "payment" }'
    assert.truthy(pack, message)
    local text = shop:files()["order/transition.lua"]
    pack, message = shop:with("order/transition.lua", (text:gsub("decide = decide", 'needs = { "history" }, %0')))
    assert.is_nil(pack)
    assert.equal("order/transition.lua:1: needs[1]: 'history' is not among its facts", message)
    for _, bad in ipairs { '"history"', "{ 7 }" } do
      pack, message = with_needs(bad)
      assert.is_nil(pack)
      assert.truthy(message, bad)
    end
  end)

  it("are facts of the customer's past and of the card, as they are", function()
    local me = shopper.signed_in()
    local store, database = require "services.order.store", require "platform.db"
    local first = shopper.buy({ [shopper.product(1000, 5)] = 1 }, me)
    local order, mine = shopper.buy({ [shopper.product(2000, 5)] = 1 }, me)
    shopper.send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = mine })
    local history = store.history(database.open("order"), first.customer)
    assert.same({ 1, 1, 0, first.totals.total.amount }, { history.placed, history.cancelled, history.returned,
      history.spent })
  end)

  it("keep a card that was declined often from being charged unseen", function()
    local cart = shopper.cart { [shopper.product(1000, 5)] = 1 }
    local card = shopper.card "4000000000000002"
    for _ = 1, 3 do assert.equal(402, (shopper.checkout(cart, card))) end
    local db, store = require("platform.db").open("payment"), require "services.payment.store"
    assert.equal(3, store.declined(db, card, fastr.time.iso(fastr.time.unix_ms() - 60000)))
    assert.equal(0, store.declined(db, card, fastr.time.now()))
  end)
end)
