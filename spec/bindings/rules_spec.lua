-- fastr.rules: decisions by the checkout's own pack.
local rules = fastr.rules

local function cart(lines, more)
  local facts = { currency = "GBP", now = "2026-11-23T10:00:00Z", zone = "GB", lines = lines, promotions = {} }
  for name, value in pairs(more or {}) do facts[name] = value end
  return facts
end

describe("fastr.rules", function()
  it("prices a cart with the pack it names", function()
    local decision, info = rules.decide("price.cart", cart { { sku = "A", quantity = 3, unit_price = 333 } })
    assert.equal(999, decision.total)
    assert.equal(rules.pack(), info.pack)
    assert.equal(info.pack, decision.pack)
    assert.equal(1, info.abi)
  end)

  it("refuses unknown fields with their path, and unknown points", function()
    local line = { sku = "A", quantity = 1, unit_price = 1, categry = {} }
    local none, message, code = rules.decide("price.cart", cart { line })
    assert.is_nil(none)
    assert.equal("facts_invalid", code)
    assert.equal("lines[1].categry: unknown field (did you mean 'categories'?)", message)
    assert.equal("facts_invalid", select(3, rules.decide("price.cat", {})))
  end)

  it("says of a version that is not kept that it has gone", function()
    assert.equal("rules_version_gone", select(3, rules.decide("price.cart", cart {}, { pack = ("0"):rep(64) })))
  end)

  it("explains what did not apply, with both operands, when asked", function()
    local facts = cart({ { sku = "A", quantity = 1, unit_price = 400 } }, { promotions = { { id = "p",
      conditions = { min_items_total = 500 }, actions = { { type = "order_percent", value = 10 } } } } })
    local decision = rules.decide("price.cart", facts, { explain = "full" })
    assert.same({ rule = "p", stage = "order", outcome = "not_applied", condition = "min_items_total", actual = 400,
      wanted = 500, unit = "money" }, decision.trace[1])
    assert.same({}, rules.decide("price.cart", facts).trace)
  end)

  it("gives the same decision for the same facts", function()
    local facts = cart({ { sku = "A", quantity = 7, unit_price = 333, categories = { "home/candles" } } })
    facts.promotions = nil
    local first = fastr.json.canonical((rules.decide("price.cart", facts)))
    for _ = 1, 50 do assert.equal(first, fastr.json.canonical((rules.decide("price.cart", facts)))) end
  end)

  it("answers the other decision points", function()
    assert.is_true(rules.decide("order.transition", { from = "placed", to = "paid", who = "service" }).allow)
    assert.is_false(rules.decide("order.transition", { from = "delivered", to = "paid", who = "service" }).allow)
    assert.equal("order_confirmation", rules.decide("notify.select", { event = "order.placed.v1" }).template)
    assert.equal("test", rules.decide("payment.route", { currency = "GBP", amount = 1 }).provider)
    assert.is_false(rules.decide("cart.accept", { currency = "GBP", lines = { { sku = "A", quantity = 2 } },
      stock = { A = 1 } }).accept)
  end)
end)
