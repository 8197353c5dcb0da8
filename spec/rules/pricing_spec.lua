-- The arithmetic of price.cart, rule by rule of its specification; each promise begins with the number of its rule.
-- Rule 27, the stock, is in spec/services/product/stock_spec.lua.

local NOW = "2026-11-23T10:00:00Z"

local function line(sku, quantity, price, more)
  local made = { sku = sku, quantity = quantity, unit_price = price }
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

-- The facts, with what a case does not care about.
local function complete(facts)
  facts.currency, facts.now = facts.currency or "GBP", facts.now or NOW
  facts.promotions = facts.promotions or {}
  facts.lines = facts.lines or { line("A", 1, 1000) }
  return facts
end

local function price(facts)
  local decision, message = fastr.rules.decide("price.cart", complete(facts), { explain = "full" })
  assert.truthy(decision, message)
  return decision
end

local function refusal(facts)
  local decision, message, code = fastr.rules.decide("price.cart", complete(facts))
  assert.is_nil(decision)
  assert.equal("facts_invalid", code)
  return message
end

-- A promotion of one action: what the promotion has more, and the action.
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

local function units(decision, i) return { unpack(decision.lines[i or 1].unit_discounts) } end

-- What one line of `quantity` at `unit` costs with these promotions.
local function total(quantity, unit, ...)
  return price { lines = { line("A", quantity, unit) }, promotions = { ... } }.total
end

-- ---- money ----------------------------------------------------------------------------------------------------------

describe("price.cart, money", function()
  it("1: amounts are exact up to 2^53 - 1, and refused beyond", function()
    local most = fastr.money.max
    assert.equal(most, total(1, most))
    assert.equal(most - 900719925474099, total(1, most, promotion("order_percent", 10)))
    assert.equal("lines[1].unit_price: times the quantity, the cart goes past 2^53 - 1",
      refusal { lines = { line("A", 2, most) } })
  end)

  it("1: the currency's exponent is no matter of prices: all are in minor units", function()
    for _, currency in ipairs { "JPY", "GBP", "KWD", "CLF" } do
      local decision = price { currency = currency, promotions = { promotion("order_percent", "12.5") } }
      assert.same({ currency, 875 }, { decision.currency, decision.total })
    end
  end)

  it("1: a percentage has up to 4 places, and no float makes it less than it is", function()
    assert.equal(895, total(1, 1000, promotion("order_percent", 10.5)))
    assert.equal(666667, total(1, 1000000, promotion("order_percent", "33.3333")))
    assert.equal(999999, total(1, 1000000, promotion("order_percent", 0.0001)))
    assert.equal(4935, total(1, 5000, promotion("item_percent", 1.3)))
  end)

  it("2: halves are rounded away from zero", function()
    assert.equal(2, total(1, 5, promotion("order_percent", 50))) -- 2.5 off is 3
    assert.equal(3, total(1, 5, promotion("catalog_percent", 50))) -- 2.5 left is 3
    assert.equal(3, total(1, 5, promotion("item_percent", 50)))
    assert.equal(17, total(1, 25, promotion("order_percent", 30)))
  end)

  it("3: an amount of another currency never applies", function()
    local euros = promotion("order_fixed", 100, { currency = "EUR" })
    assert.equal(1000, price { promotions = { euros } }.total)
    assert.equal(900, price { promotions = { euros }, currency = "EUR" }.total)
    assert.equal("lines[1].unit_price: there is no price of 'A' in GBP",
      refusal { lines = { { sku = "A", quantity = 1, prices = { { currency = "EUR", amount = 1 } } } } })
  end)
end)

-- ---- order of evaluation --------------------------------------------------------------------------------------------

describe("price.cart, order of evaluation", function()
  -- The unit price of `quantity` by these rows.
  local function unit(rows, quantity, more)
    local facts = { lines = { { sku = "A", quantity = quantity, prices = rows } } }
    for name, value in pairs(more or {}) do facts[name] = value end
    return price(facts).lines[1].unit_price
  end

  it("4: of the rows that fit, most rules wins, then the highest least quantity, then the lowest amount", function()
    local rows = { { currency = "GBP", amount = 100 }, { currency = "GBP", amount = 90, min_quantity = 10 },
      { currency = "GBP", amount = 95, rules = { customer_group = "wholesale" } }, { currency = "EUR", amount = 1 },
      { currency = "GBP", amount = 93, min_quantity = 10 } }
    assert.equal(100, unit(rows, 9))
    assert.equal(90, unit(rows, 10))
    assert.equal(95, unit(rows, 10, { customer = { group = "wholesale" } }))
    assert.equal(90, unit(rows, 10, { customer = { group = "staff" } }))
    assert.equal(1, unit(rows, 10, { currency = "EUR" }))
  end)

  it("4: a row's quantities include both ends", function()
    local tiers = { { currency = "GBP", amount = 300, max_quantity = 5 },
      { currency = "GBP", amount = 250, min_quantity = 6, max_quantity = 11 },
      { currency = "GBP", amount = 200, min_quantity = 12 } }
    local found = {}
    for i, quantity in ipairs { 1, 5, 6, 11, 12, 9999 } do found[i] = unit(tiers, quantity) end
    assert.same({ 300, 300, 250, 250, 200, 200 }, found)
    assert.equal(2400, price { lines = { { sku = "A", quantity = 12, prices = tiers } } }.total)
  end)

  it("4: a row counts only if all of its rules match, and each of them counts", function()
    local rows = { { currency = "GBP", amount = 100 },
      { currency = "GBP", amount = 90, rules = { customer_group = "wholesale" } },
      { currency = "GBP", amount = 95, rules = { customer_group = { "wholesale", "staff" }, zone = { "GB", "DE" } } },
      { currency = "GBP", amount = 99, rules = { customer_group = "wholesale", zone = "GB", to = NOW } } }
    local wholesaler, later = { group = "wholesale" }, "2026-11-23T10:00:01Z"
    assert.equal(100, unit(rows, 1, { zone = "GB" }))
    assert.equal(90, unit(rows, 1, { zone = "FR", customer = wholesaler }))
    assert.equal(95, unit(rows, 1, { zone = "DE", customer = wholesaler }))
    assert.equal(99, unit(rows, 1, { zone = "GB", customer = wholesaler }))
    assert.equal(95, unit(rows, 1, { zone = "GB", customer = wholesaler, now = later }))
    assert.equal(95, unit(rows, 1, { zone = "GB", customer = { group = "staff" } }))
  end)

  it("4: a row's zone is that of the cart, else the default; its times include both ends", function()
    local rows = { { currency = "GBP", amount = 100 }, { currency = "GBP", amount = 80, rules = { zone = "FR" } },
      { currency = "GBP", amount = 70, rules = { zone = "FR", from = NOW, to = NOW } } }
    assert.equal(70, unit(rows, 1, { zone = "FR" }))
    assert.equal(70, unit(rows, 1, { settings = { default_zone = "FR" } }))
    assert.equal(80, unit(rows, 1, { zone = "FR", now = "2026-11-23T10:00:00.001Z" }))
    assert.equal(100, unit(rows, 1, { zone = "GB" }))
  end)

  it("5: catalogue rules follow each other by priority, each on what the one before it left", function()
    local ten, five = promotion("catalog_percent", 10, { priority = 2 }), promotion("catalog_fixed", 5)
    assert.equal(85, total(1, 100, five, ten))
    ten.priority = -1
    assert.equal(86, total(1, 100, five, ten)) -- 95 less a tenth is 85.5
  end)

  it("5: of exclusive catalogue rules the first has the line alone, and the others lines of their own", function()
    local mugs, all = { filters = { skus_any = { "MUG" } } }, promotion("catalog_fixed", 5, { exclusive = true })
    local decision = price { lines = { line("MUG", 1, 100), line("CUP", 1, 100) }, promotions = { all,
      promotion("catalog_percent", 50, { exclusive = true, priority = 1 }, mugs),
      promotion("catalog_percent", 99, { priority = 9 }) } }
    assert.same({ 50, 95 }, column(decision.lines, "unit_price"))
  end)

  it("5: never below the floor, and a price below it already stays", function()
    local five = promotion("catalog_fixed", 5)
    local function at(floor)
      return price { lines = { line("A", 1, 100, { floor_price = floor }) }, promotions = { five } }.total
    end
    assert.same({ 95, 97, 100, 100 }, { at(0), at(97), at(100), at(200) })
  end)

  it("5: an amount off takes no more than there is, and a percentage leaves a rounded price", function()
    assert.same({ 0, 0, 67, 66 }, { total(1, 100, promotion("catalog_fixed", 150)),
      total(1, 100, promotion("catalog_percent", 100)), total(1, 100, promotion("catalog_percent", "33.3333")),
      total(1, 99, promotion("catalog_percent", "33.3333")) }) -- 66.6667 and 66.000033
    assert.equal(201, total(3, 99, promotion("catalog_percent", "32.5"))) -- 66.825 is 67, three times
  end)

  it("5: a rule counts once for a line, however it was matched", function()
    local tenth = { type = "catalog_percent", value = 10 }
    local twice = { actions = { { type = tenth.type, value = 10, filters = { skus_any = { "A" } } },
      { type = tenth.type, value = 10, filters = { categories_any = { "home" } } } } }
    assert.equal(90, price { lines = { line("A", 1, 100, { categories = { "home" } }) }, promotions = { twice } }.total)
  end)

  it("6 to 8: item promotions, then order, then shipping promotions, whatever their priority", function()
    local decision = price { lines = { line("A", 1, 1000) }, shipping = { { method = "post", fee = 100 } },
      promotions = { promotion("shipping_percent", 50, { priority = 9 }),
        promotion("order_percent", 10, { priority = 5 }), promotion("item_fixed", 100) } }
    assert.same({ { 100 }, { 90 } }, { column(decision.lines, "item_discount"),
      column(decision.lines, "order_discount") })
    assert.equal(810 + 50, decision.total)
  end)

  it("6 and 7: within a kind priority high to low, then the order of creation", function()
    local tenth, pound = promotion("order_percent", 10), promotion("order_fixed", 100)
    assert.equal(800, total(1, 1000, tenth, pound))
    assert.equal(810, total(1, 1000, pound, tenth))
    tenth.priority = 1
    assert.equal(800, total(1, 1000, pound, tenth))
  end)

  it("8: a promotion takes part in each kind, and its conditions are tested again when each starts on it", function()
    local both = { conditions = { min_items_total = 1000 }, actions = { { type = "item_fixed", value = 100 },
      { type = "order_fixed", value = 50 } } }
    assert.equal(900, total(1, 1000, both))
    both.conditions.min_items_total = 900
    assert.equal(850, total(1, 1000, both))
  end)

  it("8: what an earlier kind takes off can make a condition hold, or fail, for a later one", function()
    local small = promotion("order_fixed", 50, { conditions = { max_items_total = 900 } })
    assert.equal(1000, total(1, 1000, small))
    assert.equal(850, total(1, 1000, small, promotion("item_fixed", 100)))
    local decision = price { lines = { line("A", 1, 1000) }, shipping = { { method = "post", fee = 350 } },
      promotions = { promotion("free_shipping", nil, { conditions = { min_items_total = 950 } }),
        promotion("order_fixed", 51) } }
    assert.equal(949 + 350, decision.total)
  end)

  it("9: the eligible exclusive promotion of the highest priority runs alone, whatever others have", function()
    local half = promotion("order_percent", 50, { priority = 9 })
    local tenth = promotion("order_percent", 10, { exclusive = true })
    local fifth = promotion("order_percent", 20, { exclusive = true, priority = 1 })
    assert.equal(900, total(1, 1000, half, tenth))
    assert.equal(800, total(1, 1000, half, tenth, fifth))
    fifth.conditions = { min_quantity = 2 }
    assert.equal(900, total(1, 1000, half, tenth, fifth))
    tenth.enabled = false
    assert.equal(500, total(1, 1000, half, tenth, fifth))
  end)

  it("9: an exclusive promotion leaves the catalogue alone, and a code that lost says so", function()
    local decision = price { coupons = { "X" }, promotions = { promotion("catalog_percent", 10),
      promotion("order_percent", 50, { coupon = "X" }), promotion("order_percent", 10, { exclusive = true }) } }
    assert.equal(810, decision.total)
    assert.same({ code = "X", accepted = false, reason = "replaced_by_exclusive" }, decision.coupons[1])
  end)
end)

-- ---- conditions and filters -----------------------------------------------------------------------------------------

describe("price.cart, conditions and filters", function()
  local function pounds(conditions) return promotion("order_fixed", 100, { conditions = conditions }) end

  it("10: conditions see the running total before taxes and shipping, bounds included", function()
    assert.equal(900, total(1, 1000, pounds { min_items_total = 1000, max_items_total = 1000 }))
    assert.equal(1000, total(1, 1000, pounds { min_items_total = 1001 }))
    assert.equal(1000, total(1, 1000, pounds { max_items_total = 999 }))
    assert.equal(850, total(1, 1000, promotion("item_fixed", 100), promotion("order_fixed", 50,
      { conditions = { min_items_total = 900 } }), promotion("order_fixed", 7,
      { conditions = { min_items_total = 900 } })))
    assert.equal(950, price { lines = { line("A", 1, 950, { tax_category = "s" }) },
      tax_rates = { { category = "s", percent = 20, included = true } }, shipping = { { method = "post", fee = 0 } },
      promotions = { pounds { min_items_total = 951 } } }.total)
  end)

  it("10: totals and quantities of a category count what is below it, at the running price", function()
    local lines = { line("A", 2, 300, { categories = { "home/lighting" } }), line("B", 1, 500) }
    local function with(conditions, more)
      return price { lines = lines, promotions = { more or pounds(nil), pounds(conditions) } }.discount_total
    end
    assert.equal(200, with({ category_items_total = { category = "home", min = 545 } })) -- 600 less 55 of 100
    assert.equal(100, with({ category_items_total = { category = "home", min = 546 } }))
    assert.equal(200, with({ category_quantity = { category = "home", min = 2 } }))
    assert.equal(100, with({ category_quantity = { category = "home", min = 3 } }))
    assert.equal(200, with({ sku_quantity = { skus = { "A", "B" }, min = 3 } }))
    assert.equal(100, with({ sku_quantity = { skus = { "A" }, min = 3 } }))
    assert.equal(200, with({ min_quantity = 3, min_line_quantity = 2 }))
    assert.equal(100, with({ min_line_quantity = 3 }))
    assert.equal(200, with({ contains_skus_any = { "Z", "B" }, contains_categories_any = { "home" } }))
    assert.equal(100, with({ contains_skus_any = { "B" }, contains_categories_any = { "garden" } }))
  end)

  it("11: price filters compare the unit price after the catalogue rules, both ends included", function()
    local function given(least, most)
      return price { promotions = { promotion("catalog_fixed", 500),
        promotion("item_fixed", 1, nil, { filters = { min_unit_price = least, max_unit_price = most } }) } }
        .discount_total
    end
    assert.same({ 1, 1, 0, 0 }, { given(500, 1000), given(0, 500), given(501, nil), given(nil, 499) })
  end)

  it("11: a category includes those below it, and no other that begins alike", function()
    local decision = price { lines = { line("A", 1, 100, { categories = { "home/lighting" } }),
      line("B", 1, 100, { categories = { "homeware" } }), line("C", 1, 100, { categories = { "x", "home" } }) },
      promotions = { promotion("item_percent", 10, nil, { filters = { categories_any = { "home" } } }) } }
    assert.same({ 90, 100, 90 }, column(decision.lines, "total"))
  end)

  it("11: a window includes the moments of both its ends, by whatever clock", function()
    local function at(now)
      return price { now = now, promotions = { promotion("order_fixed", 1, { starts_at = "2026-11-23T10:00:00Z",
        ends_at = "2026-11-23T12:00:00+01:00" }) } }.discount_total
    end
    assert.same({ 0, 1, 1, 0 }, { at "2026-11-23T09:59:59.999Z", at "2026-11-23T10:00:00Z", at "2026-11-23T11:00:00Z",
      at "2026-11-23T11:00:00.001Z" })
  end)

  it("12: the nth order is one more than those placed, and never that of an unknown customer", function()
    local function given(n, customer)
      return price { customer = customer, promotions = { promotion("order_percent", 10,
        { conditions = { nth_order = n } }) } }.discount_total
    end
    assert.same({ 0, 0, 100, 0, 100 }, { given(1, nil), given(1, { id = "c" }), given(1, { orders_placed = 0 }),
      given(1, { orders_placed = 1 }), given(3, { orders_placed = 2 }) })
  end)

  it("12: a group is that of a known customer", function()
    local function given(customer)
      return price { customer = customer, promotions = { promotion("order_percent", 10,
        { conditions = { customer_group = { "staff", "wholesale" } } }) } }.discount_total
    end
    assert.same({ 0, 0, 100, 0 }, { given(nil), given { id = "c" }, given { group = "wholesale" },
      given { group = "retail" } })
  end)
end)

-- ---- amounts --------------------------------------------------------------------------------------------------------

describe("price.cart, amounts", function()
  it("13: item percentages are of the price after the catalogue rules, of each unit, and add up", function()
    local function off(percent) return promotion("item_percent", percent) end
    assert.equal(75, total(1, 100, off(15), off(10)))
    assert.equal(68, total(1, 100, promotion("catalog_percent", 10), off(15), off(10))) -- 90 - 13 - 9
    assert.equal(297, total(3, 99, off "0.4")) -- 98.604 is 99
    assert.equal(294, total(3, 99, off "0.6")) -- 98.406 is 98
  end)

  it("13: nothing goes below the floor of a unit", function()
    local half, tens = promotion("item_percent", 50), promotion("item_fixed", 10)
    assert.equal(0, total(2, 99, half, half, half))
    local floor = { line("A", 2, 100, { floor_price = 85 }) }
    assert.equal(170, price { lines = floor, promotions = { half } }.total)
    assert.equal(170, price { lines = floor, promotions = { tens, tens } }.total)
  end)

  it("13: max_quantity limits the units touched of each line; line_fixed is once for the line", function()
    local one = { max_quantity = 1 }
    assert.equal(250, total(3, 100, promotion("item_percent", 50, nil, one)))
    assert.equal(260, total(3, 100, promotion("item_fixed", 20, nil, { max_quantity = 2 })))
    assert.equal(270, total(3, 100, promotion("line_fixed", 30)))
    assert.equal(0, total(3, 100, promotion("line_fixed", 301)))
    local decision = price { lines = { line("A", 3, 100), line("B", 1, 100) },
      promotions = { promotion("order_percent", 50, nil, one) } }
    assert.same({ { 50, 0, 0 }, { 50 } }, { units(decision, 1), units(decision, 2) })
  end)

  it("14: a percentage of the running total, rounded once; an amount up to the total; a price for it all", function()
    assert.equal(299, total(3, 111, promotion("order_percent", "10.2"))) -- 33.966 is 34
    assert.equal(0, total(1, 100, promotion("order_fixed", 500)))
    assert.equal(80, total(1, 100, promotion("order_price", 80)))
    assert.equal(100, total(1, 100, promotion("order_price", 180)))
    assert.equal(81, total(1, 100, promotion("order_percent", 10), promotion("order_percent", 10)))
  end)

  it("14: filters make the base: what they leave out gets nothing", function()
    local decision = price { lines = { line("A", 1, 300), line("B", 1, 700) },
      promotions = { promotion("order_percent", 10, nil, { filters = { skus_any = { "A" } } }),
        promotion("order_fixed", 1000, nil, { filters = { skus_any = { "A" } } }) } }
    assert.same({ 300, 0 }, column(decision.lines, "order_discount"))
  end)

  it("14: lines that are discounted are outside of a promotion that is not for them", function()
    local not_for = { applies_to_discounted = false }
    local sale = promotion("catalog_percent", 25, nil, { filters = { skus_any = { "SHIRT" } } })
    local lines = { line("SHIRT", 1, 2000), line("MUG", 1, 4000), line("CAP", 1, 1000) }
    local decision = price { lines = lines, promotions = { sale, promotion("order_percent", 50, not_for) } }
    assert.same({ 1500, 2000, 500 }, column(decision.lines, "total"))
    decision = price { lines = lines, promotions = { sale, promotion("order_fixed", 1000, not_for) } }
    assert.same({ 1500, 3200, 800 }, column(decision.lines, "total"))
    decision = price { lines = lines, promotions = { sale, promotion("item_fixed", 100, not_for) } }
    assert.same({ 1500, 3900, 900 }, column(decision.lines, "total"))
  end)

  it("14: what an item promotion takes makes no line a discounted one", function()
    assert.equal(50, total(1, 100, promotion("item_fixed", 10), promotion("item_fixed", 40,
      { applies_to_discounted = false })))
    assert.equal(45, total(1, 100, promotion("item_percent", 10), promotion("order_percent", 50,
      { applies_to_discounted = false })))
  end)

  it("14: an action does not count as discounted what the action before it of the same promotion took", function()
    local both = { applies_to_discounted = false, actions = { { type = "item_fixed", value = 10 },
      { type = "item_fixed", value = 5 } } }
    assert.equal(85, total(1, 100, both))
  end)

  it("15: each shipment on its own, of what is left of its fee; nothing else touches them", function()
    local shipping = { { method = "post", fee = 350 }, { method = "express", fee = 101 } }
    local function left(...)
      local decision = price { lines = { line("A", 1, 100) }, shipping = shipping, promotions = { ... } }
      return column(decision.shipping, "total")
    end
    local half = promotion("shipping_percent", 50)
    assert.same({ 175, 50 }, left(promotion("order_percent", 100), promotion("item_percent", 100), half))
    assert.same({ 87, 25 }, left(half, half)) -- 175 less 87.5, and 50 less 25
    assert.same({ 0, 101 }, left(promotion("free_shipping", nil, nil, { filters = { methods_any = { "post" } } })))
    assert.same({ 230, 0 }, left(promotion("shipping_fixed", 120)))
    assert.same({ 230, 0 }, left(promotion("shipping_fixed", 120, nil, { allocation = "each" })))
    assert.same({ 272, 79 }, left(promotion("shipping_fixed", 100, nil, { allocation = "across" })))
    assert.same({ 0, 0 }, left(promotion("shipping_fixed", 1000, nil, { allocation = "across" })))
  end)

  -- Buy some, get one: of lines { sku, quantity, price }.
  local function offer(more)
    local made = { buy_quantity = 2, get_quantity = 1 }
    for name, value in pairs(more or {}) do made[name] = value end
    return promotion("buy_x_get_y", 100, nil, made)
  end

  it("16: nothing at all if too few are left; once, or as often as times says, or as it fits", function()
    local null = fastr.json.null
    assert.equal(200, total(2, 100, offer()))
    assert.equal(200, total(3, 100, offer()))
    assert.equal(500, total(6, 100, offer()))
    assert.equal(400, total(6, 100, offer { times = 2 }))
    assert.equal(400, total(6, 100, offer { times = 9 }))
    assert.equal(600, total(8, 100, offer { times = null }))
    assert.equal(500, total(6, 100, offer { buy_quantity = 4, get_quantity = 2, times = null }) + 100)
  end)

  it("16: the bought are set aside dearest first, on ties the later line; then others, dearest or cheapest", function()
    local lines = { line("A", 1, 300), line("B", 1, 200), line("C", 1, 100), line("D", 1, 300) }
    local function given(more)
      return column(price { lines = lines, promotions = { offer(more) } }.lines, "item_discount")
    end
    assert.same({ 0, 200, 0, 0 }, given())
    assert.same({ 0, 0, 100, 0 }, given { pick = "cheapest" })
    assert.same({ 300, 0, 0, 0 }, given { buy_quantity = 1 })
    assert.same({ 300, 200, 0, 0 }, given { buy_quantity = 1, get_quantity = 2 })
  end)

  it("16: among equal prices the later line is first, whether the dearest or the cheapest are given", function()
    local function given(lines, more)
      return column(price { lines = lines, promotions = { offer(more) } }.lines, "item_discount")
    end
    local equal = { line("A", 1, 100), line("B", 1, 100), line("C", 1, 100) }
    assert.same({ 100, 0, 0 }, given(equal)) -- C and B are set aside
    assert.same({ 0, 100, 0 }, given({ line("A", 1, 100), line("B", 1, 100), line("C", 1, 300) },
      { buy_quantity = 1, pick = "cheapest" })) -- C is set aside, and of A and B the later is given
    assert.same({ 300, 0, 0 }, given({ line("A", 1, 300), line("B", 2, 300), line("C", 1, 100) })) -- B twice
  end)

  it("16: again on untouched units: each time the dearest are set aside, and the cheapest given", function()
    local lines = { line("A", 2, 500), line("B", 3, 300), line("C", 1, 200), line("D", 3, 100) }
    local more = { times = fastr.json.null, pick = "cheapest" }
    local function given()
      return column(price { lines = lines, promotions = { offer(more) } }.lines, "item_discount")
    end
    assert.same({ 0, 0, 0, 300 }, given()) -- A A D, B B D, B C D
    more.times = 2
    assert.same({ 0, 0, 0, 200 }, given())
    more.times, more.pick = fastr.json.null, "dearest"
    assert.same({ 0, 300 + 200, 0, 100 }, (function()
      local all = given()
      return { all[1], all[2] + all[3], 0, all[4] }
    end)()) -- A A B, B B C, D D D
  end)

  it("16: a percentage of what is given, rounded for each unit; what others took off it counts", function()
    local half = promotion("buy_x_get_y", 50, nil, { buy_quantity = 1, get_quantity = 1, times = fastr.json.null })
    assert.equal(4 * 99 - 2 * 49, total(4, 99, half)) -- 49.5 is left as 50
    assert.equal(4 * 99 - 4 * 60 - 2 * 39, total(4, 99, promotion("item_fixed", 60, { priority = 1 }), half))
  end)

  it("16: what is bought and what is given may be of different kinds", function()
    local lines = { line("SHIRT", 2, 2000), line("SOCKS", 3, 500) }
    local more = { buy_filters = { skus_any = { "SHIRT" } }, filters = { skus_any = { "SOCKS" } } }
    assert.equal(5000, price { lines = lines, promotions = { offer(more) } }.total)
    more.buy_quantity = 3
    assert.equal(5500, price { lines = lines, promotions = { offer(more) } }.total)
  end)

  it("17: no unit, line, shipment or order goes below zero", function()
    local decision = price { lines = { line("A", 2, 100), line("B", 1, 0) }, shipping = { { method = "p", fee = 10 } },
      promotions = { promotion("item_percent", 100, nil, { max_quantity = 1 }), promotion("order_fixed", 5000),
        promotion("item_fixed", 70), promotion("shipping_fixed", 99), promotion("shipping_percent", 50) } }
    assert.same({ 0, 0 }, column(decision.lines, "total"))
    assert.same({ { 100, 100 }, { 0 } }, { units(decision, 1), units(decision, 2) })
    assert.same({ 0, 0, 0 }, { decision.shipping[1].total, decision.total, decision.due })
  end)
end)

-- ---- allocation -----------------------------------------------------------------------------------------------------

describe("price.cart, allocation", function()
  local function shares(amount, ...)
    local lines = {}
    for i, weight in ipairs { ... } do lines[i] = line("S" .. i, 1, weight) end
    return column(price { lines = lines, promotions = { promotion("order_fixed", amount) } }.lines, "order_discount")
  end

  it("18: by the lines' running totals, floored, then one each to the largest remainders, earlier first", function()
    assert.same({ 34, 33, 33 }, shares(100, 100, 100, 100))
    assert.same({ 1, 0, 0 }, shares(1, 100, 100, 100))
    assert.same({ 0, 1, 1 }, shares(2, 10, 495, 495))
    assert.same({ 333, 667 }, shares(1000, 1000, 2000))
    assert.same({ 143, 286, 571 }, shares(1000, 1000, 2000, 4000))
    assert.same({ 0, 500 }, shares(500, 0, 1000))
  end)

  it("19: what a line cannot take for its floor goes to the others; what nobody can is dropped", function()
    local function of(amount, other)
      return column(price { lines = { line("A", 1, 5000, { floor_price = 4500 }), line("B", 1, 2000,
        { floor_price = other }) }, promotions = { promotion("order_fixed", amount) } }.lines, "order_discount")
    end
    assert.same({ 500, 1500 }, of(2000, 0))
    assert.same({ 500, 2000 }, of(2500, 0))
    assert.same({ 500, 100 }, of(2500, 1900))
    assert.same({ 500, 2000 }, of(7000, 0))
  end)

  it("19: the rest is allocated by the weights of the lines that can take more, and again", function()
    local function of(amount, ...)
      local decision = price { lines = { ... }, promotions = { promotion("order_fixed", amount) } }
      return column(decision.lines, "order_discount")
    end
    local function to(unit, floor) return line("S" .. unit, 1, unit, { floor_price = floor }) end
    assert.same({ 10, 45, 45 }, of(100, to(100, 90), to(100), to(100))) -- 34 33 33, then 12 12
    assert.same({ 20, 18, 52 }, of(90, to(100, 80), to(50), to(150))) -- 30 15 45, then 2.5 and 7.5
    assert.same({ 20, 5, 65 }, of(90, to(100, 80), to(50, 45), to(150))) -- 30 15 45, then all of 20 to the third
    assert.same({ 20, 5, 150 }, of(300, to(100, 80), to(50, 45), to(150))) -- 125 are dropped
  end)

  it("20: a line's share over its units: the first ones one more", function()
    assert.same({ 34, 33, 33 }, units(price { lines = { line("A", 3, 100) },
      promotions = { promotion("order_fixed", 100) } }))
    assert.same({ 4, 4, 3 }, units(price { lines = { line("A", 3, 100) },
      promotions = { promotion("line_fixed", 11) } }))
  end)

  it("20: what a line takes in several rounds is spread once; a unit that is full leaves it to the others", function()
    local decision = price { lines = { line("A", 3, 329), line("B", 1, 1, { floor_price = 1 }) },
      promotions = { promotion("order_fixed", 801) } }
    assert.same({ 267, 267, 267 }, units(decision))
    decision = price { lines = { line("A", 3, 100) }, promotions = { promotion("item_percent", 100, nil,
      { max_quantity = 1 }), promotion("order_fixed", 151) } }
    assert.same({ 100, 76, 75 }, units(decision))
  end)

  it("20: a unit's discounts are off the list price, the catalogue's among them", function()
    local decision = price { lines = { line("A", 2, 100) }, promotions = { promotion("catalog_fixed", 20),
      promotion("item_fixed", 5), promotion("order_fixed", 11) } }
    assert.same({ 31, 30 }, units(decision))
    assert.same({ 160, 21 }, { decision.items_total, decision.discount_total })
  end)
end)

-- ---- tax ------------------------------------------------------------------------------------------------------------

describe("price.cart, tax", function()
  local function taxed(sku, quantity, unit, category) return line(sku, quantity, unit, { tax_category = category }) end

  -- Totals of one line of category "s" with these rates: total, tax added, tax contained.
  local function taxes(facts)
    local decision = price(facts)
    return { decision.total, decision.tax_total, decision.tax_included_total }
  end

  it("21: the rate of the category where it is sent, else of the default zone, else none", function()
    local rates = { { category = "s", percent = 20, included = true, zone = "GB" },
      { category = "s", percent = 10, zone = "US" } }
    local function at(zone, settings, category)
      return taxes { lines = { taxed("A", 1, 1200, category or "s") }, tax_rates = rates, zone = zone,
        settings = settings }
    end
    assert.same({ 1200, 0, 200 }, at "GB")
    assert.same({ 1320, 120, 0 }, at "US")
    assert.same({ 1200, 0, 0 }, at "FR")
    assert.same({ 1320, 120, 0 }, at(nil, { default_zone = "US" }))
    assert.same({ 1200, 0, 0 }, at(nil))
    assert.same({ 1200, 0, 0 }, at("GB", nil, "books"))
    assert.same({ 1200, 0, 0 }, taxes { lines = { line("A", 1, 1200) }, tax_rates = rates, zone = "GB" })
  end)

  it("21: rates are dated, both ends included; the one that began later applies", function()
    local rates = { { category = "s", percent = 17.5, to = "2011-01-03T23:59:59Z" },
      { category = "s", percent = 20, from = "2011-01-04T00:00:00Z" } }
    local function at(now)
      return price { now = now, lines = { taxed("A", 1, 1000, "s") }, tax_rates = rates }.tax_total
    end
    assert.same({ 175, 175, 200, 200 }, { at "2010-01-01T00:00:00Z", at "2011-01-03T23:59:59Z",
      at "2011-01-04T00:00:00Z", at(NOW) })
    rates[1].to = rates[2].from
    assert.equal(200, at "2011-01-04T00:00:00Z")
  end)

  it("21: a rate of the zone goes before one of all zones; two that nothing tells apart are refused", function()
    local lines = { taxed("A", 1, 1000, "s") }
    local rates = { { category = "s", percent = 5 }, { category = "s", percent = 10, zone = "FR" } }
    assert.equal(100, price { lines = lines, tax_rates = rates, zone = "FR" }.tax_total)
    assert.equal(50, price { lines = lines, tax_rates = rates, zone = "GB" }.tax_total)
    rates[3] = { category = "s", percent = 20, zone = "FR" }
    assert.equal("tax_rates[3]: another rate of 's' is in force since the same time",
      refusal { lines = lines, tax_rates = rates, zone = "FR" })
  end)

  it("22: of what is left after all discounts, rounded for each line, then summed", function()
    local rates = { { category = "s", percent = 20 } }
    assert.same({ 1199, 200, 0 }, taxes { lines = { taxed("A", 3, 333, "s") }, tax_rates = rates })
    assert.same({ 6, 2, 0 }, taxes { lines = { taxed("A", 1, 2, "s"), taxed("B", 1, 2, "s") },
      tax_rates = { { category = "s", percent = 25 } } }) -- 0.5 is 1, twice
    assert.same({ 0, 0, 0 }, taxes { lines = { taxed("A", 1, 1000, "s") }, tax_rates = rates,
      promotions = { promotion("order_percent", 100) } })
    assert.same({ 1080, 180, 0 }, taxes { lines = { taxed("A", 1, 1000, "s") }, tax_rates = rates,
      promotions = { promotion("order_percent", 10) } })
  end)

  it("22: an included tax is what is above the net, which is rounded; the total stays", function()
    local function contained(unit, percent, quantity)
      return taxes { lines = { taxed("A", quantity or 1, unit, "s") },
        tax_rates = { { category = "s", percent = percent, included = true } } }
    end
    assert.same({ 999, 0, 166 }, contained(333, 20, 3)) -- net 832.5 is 833
    assert.same({ 1000, 0, 187 }, contained(1000, 23))
    assert.same({ 100, 0, 0 }, contained(100, 0))
    assert.same({ 1, 0, 0 }, contained(1, 20))
  end)

  it("22: rounded by line, by unit or in total", function()
    local function by(how, included)
      return price { lines = { taxed("A", 3, 108, "s") }, settings = { tax_rounding = how },
        tax_rates = { { category = "s", percent = 19, included = included } } }
    end
    assert.same({ 62, 63, 62 }, { by("line").tax_total, by("unit").tax_total, by("total").tax_total })
    assert.same({ 52, 51 }, { by("line", true).tax_included_total, by("unit", true).tax_included_total })
    local decision = price { lines = { taxed("A", 1, 2, "s"), taxed("B", 1, 2, "s"), taxed("C", 1, 2, "s") },
      tax_rates = { { category = "s", percent = 25 } }, settings = { tax_rounding = "total" } }
    assert.same({ 1, 1, 0 }, column(decision.lines, "tax")) -- 1.5 is 2, for all of them
  end)

  it("22: by unit the tax is that of what each unit costs, by total its pennies go by largest remainder", function()
    local function by(how, included)
      local decision = price { lines = { taxed("A", 3, 100, "s"), taxed("B", 1, 50, "s"), taxed("C", 1, 50, "o") },
        settings = { tax_rounding = how }, promotions = { promotion("order_fixed", 100, nil,
          { filters = { skus_any = { "A" } } }) }, tax_rates = { { category = "s", percent = 20, included = included },
            { category = "o", percent = 7, included = included } } }
      return column(decision.lines, included and "tax_included" or "tax")
    end
    assert.same({ 40, 10, 4 }, by "line") -- 200, 50 and 50: 3.5 is 4
    assert.same({ 39, 10, 4 }, by "unit") -- 66, 67 and 67: 13.2, 13.4, 13.4
    assert.same({ 40, 10, 4 }, by "total") -- 250 in all: 50
    assert.same({ 33, 8, 3 }, by("line", true)) -- nets 166.67 is 167, 41.67 is 42, 46.73 is 47
    assert.same({ 33, 8, 3 }, by("unit", true)) -- 11 each
    assert.same({ 34, 8, 3 }, by("total", true)) -- net 208.33 is 208: 42, as 33.6 and 8.4
  end)

  it("23: shipping has a rate of its own, on the fee after discounts, rounded for each shipment", function()
    local decision = price { lines = {}, shipping = { { method = "post", fee = 350, tax_category = "s" },
      { method = "air", fee = 52, tax_category = "s" }, { method = "van", fee = 100 } },
      tax_rates = { { category = "s", percent = 20, included = true } },
      promotions = { promotion("shipping_fixed", 50) } }
    assert.same({ 50, 0, 0 }, column(decision.shipping, "tax_included"))
    assert.equal(352, decision.total)
  end)

  it("23: included and excluded rates may mix, and are reported apart", function()
    local decision = price { lines = { taxed("A", 1, 1200, "in"), taxed("B", 1, 1000, "out") },
      shipping = { { method = "post", fee = 500, tax_category = "out" } },
      tax_rates = { { category = "in", percent = 20, included = true }, { category = "out", percent = 10 } } }
    assert.same({ 200, 0 }, column(decision.lines, "tax_included"))
    assert.same({ 0, 100 }, column(decision.lines, "tax"))
    assert.same({ 150, 200, 2850 }, { decision.tax_total, decision.tax_included_total, decision.total })
  end)

  it("23: each rate says what it taxed, without the tax, and the tax: of lines and shipments together", function()
    local decision = price { zone = "GB", lines = { taxed("A", 1, 1200, "in"), taxed("B", 3, 333, "out"),
        taxed("C", 1, 555, "zero"), line("D", 1, 700), taxed("E", 1, 99, "in") },
      shipping = { { method = "post", fee = 500, tax_category = "out" },
        { method = "van", fee = 350, tax_category = "low" } },
      tax_rates = { { category = "in", percent = 20, included = true, zone = "GB" },
        { category = "out", percent = "7.875" }, { category = "zero", percent = 0, included = true },
        { category = "low", percent = 5, included = true }, { category = "unused", percent = 9 } } }
    assert.same({
      { category = "in", percent = 20, included = true, zone = "GB", base = 1083, tax = 216 }, -- 200 and 16: by line
      { category = "out", percent = 7.875, included = false, base = 1499, tax = 118 }, -- 79 and, of the post, 39
      { category = "zero", percent = 0, included = true, base = 555, tax = 0 },
      { category = "low", percent = 5, included = true, base = 333, tax = 17 },
    }, { unpack(decision.taxes) })
    assert.same({ 118, 233 }, { decision.tax_total, decision.tax_included_total })
    assert.same({}, { unpack(price {}.taxes) })
  end)
end)

-- ---- totals, coupons and limits -------------------------------------------------------------------------------------

describe("price.cart, totals", function()
  it("24: items less discounts, and shipping less its own, and the tax that is added", function()
    local decision = price { lines = { line("A", 2, 1000, { tax_category = "s" }) },
      shipping = { { method = "post", fee = 500 } }, tax_rates = { { category = "s", percent = 10 } },
      promotions = { promotion("catalog_fixed", 100), promotion("item_fixed", 50), promotion("order_fixed", 200),
        promotion("shipping_fixed", 100) } }
    assert.same({ 1800, 300, 500, 100, 150, 1500 + 400 + 150 }, { decision.items_total, decision.discount_total,
      decision.shipping_total, decision.shipping_discount_total, decision.tax_total, decision.total })
  end)

  it("24: discounts are neither what the catalogue takes nor what shipping does; included tax adds nothing", function()
    local decision = price { lines = { line("A", 2, 1000, { tax_category = "in" }), line("B", 1, 500,
      { tax_category = "out" }) }, shipping = { { method = "post", fee = 500, tax_category = "in" } },
      tax_rates = { { category = "in", percent = 20, included = true }, { category = "out", percent = 10 } },
      promotions = { promotion("catalog_percent", 10), promotion("free_shipping") } }
    assert.same({ 2250, 0, 500, 500, 45, 300, 2295 }, { decision.items_total, decision.discount_total,
      decision.shipping_total, decision.shipping_discount_total, decision.tax_total, decision.tax_included_total,
      decision.total })
    assert.same({ { 100, 100 }, { 50 } }, { units(decision, 1), units(decision, 2) })
  end)

  it("24: gift cards pay the total and change no tax", function()
    local function paid(...)
      local cards = {}
      for i, balance in ipairs { ... } do cards[i] = { code = "G" .. i, balance = balance } end
      local decision = price { lines = { line("A", 1, 1000, { tax_category = "s" }) }, gift_cards = cards,
        tax_rates = { { category = "s", percent = 20, included = true } } }
      return { decision.total, decision.gift_card_total, decision.due, decision.tax_included_total }
    end
    assert.same({ 1000, 300, 700, 167 }, paid(300))
    assert.same({ 1000, 1000, 0, 167 }, paid(300, 900))
    assert.same({ 1000, 0, 1000, 167 }, paid())
  end)
end)

describe("price.cart, coupons and limits", function()
  local function answer(more, codes)
    more.coupon = more.coupon or "X"
    local decision = price { lines = { line("A", 1, 100) }, coupons = codes or { "X" },
      promotions = { promotion("order_percent", 10, more) } }
    return decision.coupons[1].reason or "accepted", decision.total
  end

  it("25: a code is case-sensitive; who has not entered it gets nothing", function()
    assert.same({ "accepted", 90 }, { answer {} })
    assert.same({ "unknown", 100 }, { answer({}, { "x" }) })
    assert.equal(100, price { lines = { line("A", 1, 100) }, promotions = {
      promotion("order_percent", 10, { coupon = "X" }) } }.total)
  end)

  it("25: a refused code says why, and leaves the cart as it was", function()
    assert.same({ "not_started", 100 }, { answer { starts_at = "2026-12-01T00:00:00Z" } })
    assert.same({ "expired", 100 }, { answer { ends_at = "2026-11-01T00:00:00Z" } })
    assert.same({ "used_up", 100 }, { answer { usage = { limit = 1, used = 1 } } })
    assert.same({ "accepted", 90 }, { answer { usage = { limit = 2, used = 1 } } })
    assert.same({ "used_up_for_customer", 100 },
      { answer { usage = { limit_per_customer = 1, used_by_customer = 1 } } })
    assert.same({ "not_eligible", 100 }, { answer { conditions = { min_quantity = 2 } } })
    assert.same({ "not_eligible", 100 }, { answer { enabled = false } })
    assert.same({ "budget_spent", 100 }, { answer { budget = { type = "spend", limit = 9, used = 0 } } })
  end)

  it("25: of several promotions with a code one that runs is enough; else who came furthest says why", function()
    local function reason(...)
      return price { lines = {}, coupons = { "X" }, promotions = { ... } }.coupons[1].reason or "accepted"
    end
    local needs = promotion("order_fixed", 1, { coupon = "X", conditions = { min_quantity = 1 } })
    local over = promotion("order_fixed", 1, { coupon = "X", ends_at = "2026-01-01T00:00:00Z" })
    assert.equal("not_eligible", reason(needs, over))
    assert.equal("not_eligible", reason(over, needs))
    assert.equal("accepted", reason(over, promotion("order_fixed", 1, { coupon = "X" }), needs))
  end)

  it("26: limits hold for a promotion without a code, too", function()
    assert.equal(1000, total(1, 1000, promotion("order_fixed", 1, { usage = { limit = 3, used = 3 } })))
    assert.equal(1000, total(1, 1000, promotion("order_fixed", 1,
      { usage = { limit_per_customer = 1, used_by_customer = 1 } })))
  end)

  it("26: a spend budget that the discount would exceed blocks the whole promotion", function()
    local both = { actions = { { type = "item_fixed", value = 5 }, { type = "order_fixed", value = 6 } },
      budget = { type = "spend", limit = 10, used = 0 } }
    assert.equal(100, total(1, 100, both))
    both.budget.limit = 11
    assert.equal(89, total(1, 100, both))
    both.budget.used = 1
    assert.equal(100, total(1, 100, both))
  end)

  it("26: a budget of which nothing is left blocks before anything is looked at", function()
    assert.same({ "budget_spent", 100 }, { answer { budget = { type = "spend", limit = 9, used = 9 },
      conditions = { min_quantity = 2 } } })
    assert.same({ "budget_spent", 100 }, { answer { budget = { type = "usage", limit = 2, used = 2 } } })
    assert.same({ "accepted", 90 }, { answer { budget = { type = "spend", limit = 19, used = 9 } } })
  end)

  it("26: what is blocked makes room for others", function()
    local alone = promotion("order_fixed", 500, { exclusive = true,
      budget = { type = "spend", limit = 499, used = 0 } })
    assert.equal(990, total(1, 1000, alone, promotion("order_fixed", 10)))
  end)

  it("27: a line has 1 to 9999 units", function()
    assert.equal(9999, total(9999, 1))
    assert.equal("lines[1].quantity: at most 9999 is expected, not 10000", refusal { lines = { line("A", 10000, 1) } })
    assert.equal("lines[1].quantity: at least 1 is expected, not 0", refusal { lines = { line("A", 0, 1) } })
  end)
end)
