-- The arithmetic of price.cart, rule by rule of its specification.

local function line(sku, quantity, price, more)
  local made = { sku = sku, quantity = quantity, unit_price = price }
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

local function price(facts)
  facts.currency, facts.now = facts.currency or "GBP", facts.now or "2026-11-23T10:00:00Z"
  facts.promotions = facts.promotions or {}
  local decision, message = fastr.rules.decide("price.cart", facts, { explain = "full" })
  assert.truthy(decision, message)
  return decision
end

local function promotion(type, value, more, action)
  local made = { actions = { { type = type, value = value } } }
  for name, each in pairs(action or {}) do made.actions[1][name] = each end
  for name, each in pairs(more or {}) do made[name] = each end
  return made
end

local function column(list, name)
  local values = {}
  for i, each in ipairs(list) do values[i] = each[name] end
  return values
end

describe("price.cart, rule", function()
  it("4: the price row with most rules, then the highest least quantity, then the lowest", function()
    local rows = { { currency = "GBP", amount = 100 }, { currency = "GBP", amount = 90, min_quantity = 10 },
      { currency = "GBP", amount = 95, rules = { customer_group = "wholesale" } }, { currency = "EUR", amount = 1 } }
    local function unit(quantity, group)
      return price { lines = { { sku = "A", quantity = quantity, prices = rows } }, customer = { group = group } }
        .lines[1].unit_price
    end
    assert.equal(100, unit(9))
    assert.equal(90, unit(10))
    assert.equal(95, unit(10, "wholesale"))
  end)

  it("5: catalogue rules follow each other; an exclusive one stands alone; the floor holds", function()
    local ten, five = promotion("catalog_percent", 10, { priority = 2 }), promotion("catalog_fixed", 5)
    assert.equal(85, price { lines = { line("A", 1, 100) }, promotions = { five, ten } }.lines[1].unit_price)
    five.exclusive = true
    assert.equal(95, price { lines = { line("A", 1, 100) }, promotions = { five, ten } }.lines[1].unit_price)
    local floor = line("A", 1, 100, { floor_price = 97 })
    assert.equal(97, price { lines = { floor }, promotions = { five } }.lines[1].unit_price)
  end)

  it("9: an exclusive promotion that is eligible runs alone, whatever the priority of others", function()
    local decision = price { lines = { line("A", 1, 1000) }, coupons = { "X" }, promotions = {
      promotion("order_percent", 50, { id = "half", priority = 9, coupon = "X" }),
      promotion("order_percent", 10, { id = "alone", exclusive = true }) } }
    assert.equal(900, decision.total)
    assert.same({ { code = "X", accepted = false, reason = "replaced_by_exclusive" } }, { unpack(decision.coupons) })
  end)

  it("10: conditions see the running total, bounds included", function()
    local decision = price { lines = { line("A", 1, 1000) }, promotions = { promotion("item_fixed", 100),
      promotion("order_fixed", 50, { conditions = { min_items_total = 900 } }),
      promotion("order_fixed", 7, { conditions = { min_items_total = 900 } }) } }
    assert.equal(850, decision.total)
  end)

  it("11: a category includes those below it; a period includes both ends", function()
    local filters = { filters = { categories_any = { "home" } } }
    local decision = price { lines = { line("A", 1, 100, { categories = { "home/lighting" } }),
      line("B", 1, 100, { categories = { "homeware" } }) }, promotions = { promotion("item_percent", 10, {
        starts_at = "2026-11-23T10:00:00Z", ends_at = "2026-11-23T10:00:00Z" }, filters) } }
    assert.same({ 90, 100 }, column(decision.lines, "total"))
  end)

  it("12: the nth order is never that of an unknown customer", function()
    local first = promotion("order_percent", 10, { conditions = { nth_order = 1 } })
    assert.equal(100, price { lines = { line("A", 1, 100) }, promotions = { first } }.total)
    assert.equal(90, price { lines = { line("A", 1, 100) }, promotions = { first },
      customer = { orders_placed = 0 } }.total)
  end)

  it("13: item promotions add up, of the price after the catalogue rules, down to the floor", function()
    local half = promotion("item_percent", 50)
    assert.equal(75, price { lines = { line("A", 1, 100) }, promotions = { promotion("item_percent", 15),
      promotion("item_percent", 10) } }.total)
    assert.equal(0, price { lines = { line("A", 2, 99) }, promotions = { half, half, half } }.total)
    assert.equal(250, price { lines = { line("A", 3, 100) },
      promotions = { promotion("item_percent", 50, nil, { max_quantity = 1 }) } }.total)
  end)

  it("14: an order discount is at most the running total; order_price is what is above it", function()
    assert.equal(0, price { lines = { line("A", 1, 100) }, promotions = { promotion("order_fixed", 500) } }.total)
    assert.equal(80, price { lines = { line("A", 1, 100) }, promotions = { promotion("order_price", 80) } }.total)
  end)

  it("15: shipping promotions touch each shipment, and nothing else does", function()
    local shipping = { { method = "post", fee = 350 }, { method = "express", fee = 101 } }
    local decision = price { lines = { line("A", 1, 100) }, shipping = shipping,
      promotions = { promotion("order_percent", 100), promotion("shipping_percent", 50) } }
    assert.same({ 175, 50 }, column(decision.shipping, "total"))
    assert.equal(225, decision.total)
    decision = price { lines = {}, shipping = shipping,
      promotions = { promotion("shipping_fixed", 100, nil, { allocation = "across" }) } }
    assert.same({ 78, 22 }, column(decision.shipping, "discount"))
  end)

  it("16: buy some, get some: nothing if too few are left; times repeats it; pick takes the cheapest", function()
    local function total(quantity, action)
      action.buy_quantity, action.get_quantity = 2, 1
      local offer = promotion("buy_x_get_y", 100, nil, action)
      return price { lines = { line("A", quantity, 100) }, promotions = { offer } }.total
    end
    assert.equal(200, total(2, {}))
    assert.equal(500, total(6, {}))
    assert.equal(400, total(6, { times = fastr.json.null }))
    local decision = price { lines = { line("A", 2, 300), line("B", 1, 100) }, promotions = {
      promotion("buy_x_get_y", 100, nil, { buy_quantity = 1, get_quantity = 1, pick = "cheapest" }) } }
    assert.same({ 0, 100 }, column(decision.lines, "item_discount"))
  end)

  it("18: an amount is allocated by largest remainder, earlier first on ties", function()
    local decision = price { lines = { line("A", 1, 100), line("B", 1, 100), line("C", 1, 100) },
      promotions = { promotion("order_fixed", 100) } }
    assert.same({ 34, 33, 33 }, column(decision.lines, "order_discount"))
  end)

  it("19: what a line cannot take goes to the others; what nobody can is dropped", function()
    local decision = price { lines = { line("A", 1, 100, { floor_price = 90 }), line("B", 1, 100) },
      promotions = { promotion("order_fixed", 60) } }
    assert.same({ 10, 50 }, column(decision.lines, "order_discount"))
    decision = price { lines = { line("A", 1, 100, { floor_price = 90 }) },
      promotions = { promotion("order_fixed", 60) } }
    assert.equal(10, decision.discount_total)
  end)

  it("20: a line's discount over its units: the first ones one more", function()
    local decision = price { lines = { line("A", 3, 100) }, promotions = { promotion("order_fixed", 100) } }
    assert.same({ 34, 33, 33 }, { unpack(decision.lines[1].unit_discounts) })
  end)

  it("20: what a line takes in several rounds is spread over its units once", function()
    local decision = price { lines = { line("A", 3, 329), line("B", 1, 1, { floor_price = 1 }) },
      promotions = { promotion("order_fixed", 801) } }
    assert.same({ 267, 267, 267 }, { unpack(decision.lines[1].unit_discounts) })
  end)

  it("13: max_quantity limits the units that an order promotion touches, too", function()
    local decision = price { lines = { line("A", 3, 100), line("B", 1, 100) },
      promotions = { promotion("order_percent", 50, nil, { max_quantity = 1 }) } }
    assert.same({ 50, 0, 0 }, { unpack(decision.lines[1].unit_discounts) })
    assert.same({ 50 }, { unpack(decision.lines[2].unit_discounts) })
  end)

  it("14: an action does not count as discounted what the action before it of the same promotion took", function()
    local both = { applies_to_discounted = false, actions = { { type = "item_fixed", value = 10 },
      { type = "item_fixed", value = 5 } } }
    assert.equal(85, price { lines = { line("A", 1, 100) }, promotions = { both } }.total)
  end)

  it("25: of several promotions with a code the one that came furthest says why it was refused", function()
    local decision = price { lines = {}, coupons = { "X" }, promotions = {
      promotion("order_fixed", 1, { coupon = "X", conditions = { min_quantity = 1 } }),
      promotion("order_fixed", 1, { coupon = "X", ends_at = "2026-01-01T00:00:00Z" }) } }
    assert.equal("not_eligible", decision.coupons[1].reason)
  end)

  it("21 and 22: taxes by category, zone and date; an included one leaves the total", function()
    local rates = { { category = "s", percent = 20, included = true, zone = "GB" },
      { category = "s", percent = 20, included = false, zone = "US" } }
    local lines = { line("A", 3, 333, { tax_category = "s" }) }
    local at_home = price { lines = lines, tax_rates = rates, zone = "GB" }
    assert.same({ 999, 166, 0 }, { at_home.total, at_home.tax_included_total, at_home.tax_total })
    local abroad = price { lines = lines, tax_rates = rates, zone = "US" }
    assert.same({ 1199, 200 }, { abroad.total, abroad.tax_total })
    assert.equal(999, price { lines = lines, tax_rates = rates, zone = "FR" }.total)
    local by_unit = price { lines = lines, tax_rates = rates, zone = "US", settings = { tax_rounding = "unit" } }
    assert.equal(201, by_unit.tax_total)
  end)

  it("21: a rate of the zone goes before one of all zones; two that nothing tells apart are refused", function()
    local lines = { line("A", 1, 1000, { tax_category = "s" }) }
    local rates = { { category = "s", percent = 5 }, { category = "s", percent = 10, zone = "FR" } }
    assert.equal(100, price { lines = lines, tax_rates = rates, zone = "FR" }.tax_total)
    assert.equal(50, price { lines = lines, tax_rates = rates, zone = "GB" }.tax_total)
    rates[3] = { category = "s", percent = 20, zone = "FR" }
    local decision, message = fastr.rules.decide("price.cart", { currency = "GBP", now = "2026-11-23T10:00:00Z",
      lines = lines, tax_rates = rates, zone = "FR", promotions = {} })
    assert.is_nil(decision)
    assert.truthy(message:find("tax_rates[3]: another rate of 's' is in force since the same time", 1, true), message)
  end)

  it("23: shipping has its own tax, on the fee after discounts", function()
    local decision = price { lines = {}, shipping = { { method = "post", fee = 350, tax_category = "s" } },
      tax_rates = { { category = "s", percent = 20, included = true } },
      promotions = { promotion("shipping_fixed", 50) } }
    assert.equal(50, decision.shipping[1].tax_included)
  end)

  it("24: gift cards pay, they are no discount", function()
    local decision = price { lines = { line("A", 1, 1000) }, gift_cards = { { code = "G", balance = 300 } } }
    assert.same({ 1000, 300, 700 }, { decision.total, decision.gift_card_total, decision.due })
  end)

  it("25: codes are case-sensitive, and a refused one says why", function()
    local function reason(more)
      more.coupon = "X"
      return price { lines = { line("A", 1, 100) }, coupons = { "X" },
        promotions = { promotion("order_percent", 10, more) } }.coupons[1].reason
    end
    assert.is_nil(reason {})
    assert.equal("not_started", reason { starts_at = "2026-12-01T00:00:00Z" })
    assert.equal("expired", reason { ends_at = "2026-11-01T00:00:00Z" })
    assert.equal("used_up", reason { usage = { limit = 1, used = 1 } })
    assert.equal("used_up_for_customer", reason { usage = { limit_per_customer = 1, used_by_customer = 1 } })
    assert.equal("not_eligible", reason { conditions = { min_quantity = 2 } })
    assert.equal("budget_spent", reason { budget = { type = "spend", limit = 9, used = 0 } })
    assert.equal("unknown", price { lines = {}, coupons = { "x" } }.coupons[1].reason)
  end)

  it("26: a spend budget that would be exceeded blocks the whole promotion", function()
    local blocked = { actions = { { type = "item_fixed", value = 5 }, { type = "order_fixed", value = 6 } },
      budget = { type = "spend", limit = 10, used = 0 } }
    assert.equal(100, price { lines = { line("A", 1, 100) }, promotions = { blocked } }.total)
  end)
end)
