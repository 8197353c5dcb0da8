-- The tables of acceptance_spec.lua: by shop, a case's name, lines { price, quantity, more facts of the line },
-- promotions, what it gives, and more facts; and how amounts are shared. The figures are those that the named projects
-- publish in their own tests, the wording is ours.

local function case(name, lines, promotions, gives, more)
  return { name = name, lines = lines, promotions = promotions, gives = gives, more = more }
end

-- A promotion of one action; `more` is what the promotion has more than it.
local function by(type, value, action, more)
  local made = { actions = { { type = type, value = value } } }
  for name, each in pairs(action or {}) do made.actions[1][name] = each end
  for name, each in pairs(more or {}) do made[name] = each end
  return made
end

local function of(...) return { filters = { categories_any = { ... } } } end
local function sku(...) return { filters = { skus_any = { ... } } } end
local function priced(least, most) return { filters = { min_unit_price = least, max_unit_price = most } } end
local function when(conditions, more)
  local made = { conditions = conditions }
  for name, each in pairs(more or {}) do made[name] = each end
  return made
end

local function rate(category, percent, included, zone)
  return { category = category, percent = percent, included = included or false, zone = zone }
end

-- More facts: these rates; what else is in `more`.
local function taxed(rates, more)
  local facts = { tax_rates = rates }
  for name, each in pairs(more or {}) do facts[name] = each end
  return facts
end

local function fee(amount, category)
  return { shipping = { { method = "post", fee = amount, tax_category = category } } }
end

local clothes, mugs = { tax_category = "clothes" }, { tax_category = "mugs" }
local shirt, mug = { categories = { "shirts" } }, { categories = { "mugs" } }
local NONE = {}
local ALL = fastr.json.null -- times: as often as it fits

-- ---- Sylius --------------------------------------------------------------------------------------------------------

local US = taxed({ rate("clothes", 23), rate("mugs", 10) })
local US_INCLUDED = taxed({ rate("clothes", 23, true), rate("mugs", 10, true) })
local function floor(amount) return { floor_price = amount } end

local sylius = { name = "Sylius",
  case("ten off the order", { { 10000 } }, { by("order_fixed", 1000) }, { total = 9000, discount_total = 1000 }),
  case("more off the order than it costs", { { 10000 }, { 600 } }, { by("order_fixed", 20000) },
    { total = 0, discount_total = 10600 }),
  case("no order promotion touches the fee", { { 10000 } }, { by("order_fixed", 1000), by("order_percent", 20) },
    { total = 8200, shipping_total = 1000, discount_total = 2800 }, fee(1000)),
  case("the percentage first, by its priority", { { 10000 } },
    { by("order_fixed", 1000, nil, { priority = 1 }), by("order_percent", 20, nil, { priority = 4 }) },
    { total = 7000 }),
  case("the amount first, by its priority", { { 10000 } },
    { by("order_fixed", 1000, nil, { priority = 5 }), by("order_percent", 20, nil, { priority = 2 }) },
    { total = 7200 }),
  case("an exclusive one of a lower priority", { { 10000 } }, { by("order_fixed", 1000, nil, { priority = 5 }),
    by("order_percent", 20, nil, { priority = 1, exclusive = true }) }, { total = 8000 }),
  case("of two exclusive ones the higher priority", { { 10000 } },
    { by("order_percent", 20, nil, { priority = 2, exclusive = true }),
      by("order_fixed", 1000, nil, { priority = 5, exclusive = true }) }, { total = 9000 }),
  case("two item percentages of one promotion add up", { { 10000, 1, shirt }, { 2000, 1, mug } },
    { { actions = { { type = "item_percent", value = 20, filters = priced(3000, 15000).filters },
      { type = "item_percent", value = 10, filters = of("shirts").filters } } } },
    { item_discounts = { 3000, 0 }, total = 9000 }),
  case("by ranges of prices, whose ends count", { { 10000 }, { 2000 }, { 500 } },
    { by("item_fixed", 1000, priced(8000)), by("item_fixed", 500, priced(1000, 2000)),
      by("item_fixed", 100, priced(nil, 500)) }, { item_discounts = { 1000, 500, 100 }, total = 10900 }),
  case("more off each than it costs", { { 2000, 2 } }, { by("item_fixed", 3000, priced(1000, 5000)) },
    { item_discounts = { 4000 }, total = 0 }),
  case("a category's units", { { 10000, 3, shirt }, { 2000, 1, mug } },
    { by("item_percent", 20, of("shirts")), by("item_percent", 50, of("mugs")) },
    { item_discounts = { 6000, 1000 }, total = 25000 }),
  case("an article's units", { { 10000 }, { 2000 } },
    { by("item_fixed", 1000, sku("A")), by("item_fixed", 200, sku("B")) }, { total = 10800 }),
  case("a percentage down to the floor", { { 5000, 1, floor(4500) } }, { by("item_percent", 50, priced(5000)) },
    { total = 4500, item_discounts = { 500 } }),
  case("a percentage of the order, where one line has a floor", { { 5000, 1, floor(4500) }, { 2000 } },
    { by("order_percent", 20) }, { order_discounts = { 500, 900 }, total = 5600 }),
  case("an amount over lines of which one has a floor", { { 5000, 1, floor(4500) }, { 2000, 3 } },
    { by("order_fixed", 2500) }, { unit_discounts = { { 500 }, { 667, 667, 666 } } }),
  case("units at their floor, the rest over the others", { { 5000, 2, floor(4500) }, { 2000, 3 } },
    { by("order_fixed", 2000) }, { unit_discounts = { { 500, 500 }, { 334, 333, 333 } } }),
  case("the rest in proportion", { { 5000, 2, floor(4500) }, { 2000, 2 }, { 4000 } }, { by("order_fixed", 2700) },
    { unit_discounts = { { 500, 500 }, { 425, 425 }, { 850 } } }),
  case("floors that are met one after the other", { { 5000, 2, floor(4500) }, { 2000, 2, floor(1500) }, { 3000 },
    { 1000 } }, { by("order_fixed", 3600) }, { unit_discounts = { { 500, 500 }, { 500, 500 }, { 1200 }, { 400 } } }),
  case("a line that can take nothing", { { 1000 }, { 2000, 1, floor(1900) }, { 5000, 1, floor(5000) },
    { 3000, 1, floor(2900) } }, { by("order_fixed", 1200) }, { order_discounts = { 1000, 100, 0, 100 } }),
  case("floors of four lines", { { 1000 }, { 2000, 1, floor(1900) }, { 5000, 1, floor(5000) }, { 3000, 1,
    floor(2600) } },
    { by("order_fixed", 1200) }, { order_discounts = { 700, 100, 0, 400 } }),
  case("more than all floors leave is dropped", { { 5000, 1, floor(4500) }, { 2000, 3, floor(1500) } },
    { by("order_fixed", 2500) }, { order_discounts = { 500, 1500 }, total = 9000 }),
  case("not for what the catalogue reduced", { { 2000 }, { 4000 }, { 1000 } }, { by("catalog_percent", 25, sku("A")),
    by("order_fixed", 1000, nil, { applies_to_discounted = false }) }, { line_totals = { 1500, 3200, 800 } }),
  case("percent, not for what the catalogue reduced", { { 2000 }, { 4000 }, { 1000 } },
    { by("catalog_percent", 25, sku("A")), by("order_percent", 50, nil, { applies_to_discounted = false }) },
    { line_totals = { 1500, 2000, 500 } }),
  case("as many units as are asked for", { { 10000, 4 } }, { by("order_fixed", 1000, nil, when { min_quantity = 4 }) },
    { total = 39000 }),
  case("fewer units than are asked for", { { 10000, 2 } }, { by("order_fixed", 1000, nil, when { min_quantity = 5 }) },
    { total = 20000 }),
  case("of exactly the total", { { 8000 } }, { by("order_fixed", 1000, nil, when { min_items_total = 8000 }) },
    { total = 7000 }),
  case("below the total", { { 8000 } }, { by("order_fixed", 1000, nil, when { min_items_total = 10000 }) },
    { total = 8000 }),
  case("on the first order", { { 5000 } }, { by("order_percent", 20, nil, when { nth_order = 1 }) }, { total = 4000 },
    { customer = { id = "c", orders_placed = 0 } }),
  case("on the fifth order, but it is the fourth", { { 10000 } }, { by("order_fixed", 2000, nil,
    when { nth_order = 5 }) },
    { total = 10000 }, { customer = { id = "c", orders_placed = 3 } }),
  case("for a group", { { 8000 } }, { by("order_percent", 10, nil, when { customer_group = { "wholesale" } }) },
    { total = 7200 }, { customer = { id = "c", group = "wholesale" } }),
  case("for a group, and nobody is known", { { 8000 } },
    { by("order_percent", 10, nil, when { customer_group = { "wholesale" } }) }, { total = 8000 }),
  case("by what a category costs", { { 10000, 1, shirt }, { 2000, 2, mug } },
    { by("order_fixed", 1000, nil, when { category_items_total = { category = "shirts", min = 5000 } }),
      by("order_fixed", 500, nil, when { category_items_total = { category = "mugs", min = 3000 } }) },
      { total = 12500 }),
  case("items and the order from one promotion", { { 10000, 7, shirt } }, { when({ min_items_total = 50000 },
    { actions = { { type = "item_percent", value = 20, filters = of("shirts").filters },
      { type = "order_fixed", value = 5000 } } }) }, { total = 51000, discount_total = 19000 }),
  case("items and the fee from one promotion", { { 10000, 7, shirt } }, { when({ min_items_total = 50000 },
    { actions = { { type = "item_fixed", value = 1000, filters = of("shirts").filters },
    { type = "free_shipping" } } }) },
    { total = 63000, shipping_discount_total = 1000 }, fee(1000)),
  case("free delivery twice is free once", { { 2000, 4 } }, { by("shipping_percent", 100, nil,
    when { min_items_total = 7000 }), by("shipping_percent", 100, nil, when { min_items_total = 5000 }) },
    { total = 8000, shipment_totals = { 0 } }, fee(1000)),
  case("too little for free delivery", { { 2000, 2 } }, { by("shipping_percent", 100, nil,
    when { min_items_total = 7000 }) }, { total = 5000 }, fee(1000)),
  case("half a cent of the catalogue goes up", { { 1050 }, { 2025 }, { 994 } }, { by("catalog_percent", 15) },
    { unit_prices = { 893, 1721, 845 } }),
  case("catalogue rules by priority", { { 10000 } }, { by("catalog_percent", 25, nil, { priority = 10 }),
    by("catalog_fixed", 1000, nil, { priority = 40 }), by("catalog_fixed", 500, nil, { priority = 20 }),
    by("catalog_percent", 50, nil, { priority = 30 }) }, { unit_prices = { 3000 } }),
  case("six catalogue rules", { { 10000 } }, { by("catalog_percent", 10), by("catalog_percent", 10),
    by("catalog_percent", 10), by("catalog_fixed", 500), by("catalog_fixed", 500), by("catalog_fixed", 500) },
    { unit_prices = { 5790 } }),
  case("an exclusive rule of the catalogue", { { 10000 } }, { by("catalog_percent", 50, nil, { priority = 100 }),
    by("catalog_percent", 30, nil, { priority = 500, exclusive = true }),
    by("catalog_percent", 70, nil, { priority = 1000, exclusive = true }) }, { unit_prices = { 3000 } }),
  case("a rule counts once, however it is matched", { { 2000, 1, { categories = { "clothes" } } } },
    { { actions = { { type = "catalog_percent", value = 30, filters = of("clothes").filters },
      { type = "catalog_percent", value = 30, filters = sku("A").filters } } } }, { unit_prices = { 1400 } }),
  case("a category two levels below", { { 10000, 1, { categories = { "clothes/jeans/wide" } } } },
    { by("catalog_percent", 30, of("clothes")) }, { unit_prices = { 7000 } }),
  case("the catalogue down to the floor", { { 2000, 1, floor(1500) } }, { by("catalog_percent", 80),
    by("catalog_percent", 40) }, { unit_prices = { 1500 } }),
  case("tax of several rates", { { 10000, 3, clothes }, { 5000, 4, mugs } }, NONE,
    { total = 57900, tax_total = 7900 }, taxed { rate("clothes", 23), rate("mugs", 5) }),
  case("tax of ten units, of the line", { { 1010, 10, clothes } }, NONE, { total = 12423, tax_total = 2323 }, US),
  case("tax of ten units, of each", { { 1010, 10, clothes } }, NONE, { total = 12420, tax_total = 2320 },
    taxed({ rate("clothes", 23) }, { settings = { tax_rounding = "unit" } })),
  case("tax after items' discounts", { { 1000, 2, clothes }, { 5605, 2, mugs } }, { by("item_fixed", 1010, sku("B")) },
    { total = 12569, tax_total = 1379 }, US),
  case("tax after the order's", { { 1000, 2, clothes }, { 5604, 1, mugs } },
    { by("order_fixed", 1010, nil, when { contains_skus_any = { "B" } }) }, { total = 7479, tax_total = 885 }, US),
  case("tax after two of the order's", { { 5605, 1, mugs }, { 1000, 1, clothes } },
    { by("order_fixed", 1010), by("order_fixed", 500) }, { total = 5704, tax_total = 609 }, US),
  case("contained tax after the order's", { { 1000, 2, clothes }, { 5690, 1, mugs } }, { by("order_fixed", 1000) },
    { total = 6690, tax_included_total = 775 }, US_INCLUDED),
  case("contained tax after two of the order's", { { 5695, 1, mugs }, { 1000, 1, clothes } },
    { by("order_fixed", 1000), by("order_fixed", 500) }, { total = 5195, tax_included_total = 547 }, US_INCLUDED),
  case("contained tax of each line", { { 1970, 1, clothes }, { 1970, 1, clothes } }, NONE,
    { total = 3940, tax_included_total = 656 }, taxed { rate("clothes", 20, true) }),
  case("contained tax of them together", { { 1970, 1, clothes }, { 1970, 1, clothes } }, NONE,
    { total = 3940, tax_included_total = 657 },
    taxed({ rate("clothes", 20, true) }, { settings = { tax_rounding = "total" } })),
  case("tax of a reduced fee, half up", { { 1000 } }, { by("shipping_percent", 10) }, { total = 6055, tax_total = 460 },
    taxed({ rate("post", 10) }, fee(5106, "post"))),
  case("contained tax of a reduced fee", { { 1000 } }, { by("shipping_percent", 10) },
    { total = 6125, tax_included_total = 466 }, taxed({ rate("post", 10, true) }, fee(5695, "post"))),
  case("added and contained tax in one order", { { 1000, 1, mugs } }, { by("shipping_percent", 10) },
    { total = 5730, tax_total = 230, tax_included_total = 409 },
    taxed({ rate("mugs", 23), rate("post", 10, true) }, fee(5000, "post"))),
  case("the rate of where it is sent", { { 10000, 1, clothes } }, NONE, { total = 11000, tax_total = 1000 },
    taxed({ rate("clothes", 23, false, "US"), rate("clothes", 10, false, "world") },
      { zone = "world", settings = { default_zone = "US" } })),
  case("the rate of the default zone", { { 10000, 1, clothes }, { 5000, 2, mugs } }, NONE,
    { total = 20500, tax_total = 500 }, taxed({ rate("clothes", 0, false, "US"), rate("mugs", 5, false, "US"),
      rate("clothes", 23, false, "world") }, { settings = { default_zone = "US" } })),
  case("no zone, no tax", { { 10000, 1, clothes } }, NONE, { total = 10000, tax_total = 0 },
    taxed { rate("clothes", 23, false, "US") }),
}

-- ---- Vendure -------------------------------------------------------------------------------------------------------

local standard, reduced = { tax_category = "standard" }, { tax_category = "reduced" }
local NET = taxed { rate("standard", 20), rate("reduced", 10), rate("zero", 0) }
local GROSS = taxed { rate("standard", 20, true), rate("reduced", 10, true), rate("zero", 0, true) }

local vendure = { name = "Vendure",
  case("tax of one unit", { { 123, 1, standard } }, NONE, { total = 148 }, NET),
  case("tax of three units", { { 123, 3, standard } }, NONE, { total = 443 }, NET),
  case("half off an odd price", { { 8333, 1, standard } }, { by("item_percent", 50) },
    { line_totals = { 4167 }, total = 5000 }, NET),
  case("half off, tax contained", { { 1400, 1, standard }, { 650, 2, reduced } }, { by("item_percent", 50) },
    { total = 1350, tax_included_total = 176 }, GROSS),
  case("an order's price", { { 1230, 1, standard } }, { by("order_price", 420) }, { line_totals = { 420 },
    total = 504 },
    NET),
  case("an order's price, tax contained", { { 1230, 1, standard } }, { by("order_price", 420) },
    { total = 420, tax_included_total = 70 }, GROSS),
  case("an order's price from a total", { { 500, 2, standard } },
    { by("order_price", 420, nil, when { min_items_total = 1000 }) }, { total = 504 }, NET),
  case("an order's price below the total", { { 500, 1, standard } },
    { by("order_price", 420, nil, when { min_items_total = 1000 }) }, { total = 500, tax_included_total = 83 }, GROSS),
  case("an amount over two rates", { { 2000, 1, standard }, { 1000, 2, reduced } }, { by("order_fixed", 500) },
    { total = 3500 }, GROSS),
  case("an amount over a rate and none", { { 500, 1, standard }, { 500, 1, { tax_category = "zero" } } },
    { by("order_fixed", 500) }, { line_totals = { 250, 250 }, total = 500 }, GROSS),
  case("one promotion takes the other's ground away", { { 500, 3, standard } },
    { by("order_percent", 50, nil, when { min_line_quantity = 3 }),
      by("order_percent", 10, nil, when { min_items_total = 1000 }) }, { line_totals = { 750 }, total = 900 }, NET),
  case("two percentages, one after the other", { { 800, 3, standard } },
    { by("order_percent", 50, nil, when { min_line_quantity = 3 }),
      by("order_percent", 10, nil, when { min_items_total = 1000 }) }, { line_totals = { 1080 }, total = 1296 }, NET),
  case("an item's and an order's percentage", { { 155880, 1, standard } },
    { by("order_percent", 10), by("item_percent", 25) }, { line_totals = { 105219 }, total = 126263 }, NET),
  case("an item's percentage and an amount over three lines", { { 1000, 2, standard }, { 3499, 1, reduced }, { 255, 4,
    reduced } },
    { by("item_percent", 15, priced(1000, 1000)), by("order_fixed", 500) }, { total = 5719 }, GROSS),
  case("a tenth and a half of a percent", { { 5000, 1, standard } }, { by("order_percent", 10.5) }, { total = 5370 },
    NET),
  case("more off than the order costs, with a fee", { { 100, 1, standard } }, { by("order_fixed", 1000) },
    { total = 500, line_totals = { 0 } }, taxed(NET.tax_rates, fee(500))),
  case("an amount off a line, once", { { 1000, 3, standard } }, { by("line_fixed", 1000) }, { total = 2400 }, NET),
  case("free delivery", { { 5000, 1, standard } }, { by("free_shipping") }, { total = 6000, shipment_totals = { 0 } },
    taxed(NET.tax_rates, fee(345, "standard"))),
  case("delivery with tax contained", { { 5000, 1, standard } }, NONE,
    { total = 5345, shipment_taxes_included = { 57 } }, taxed(GROSS.tax_rates, fee(345, "standard"))),
  case("two shipments", { { 100, 1, standard } }, NONE, { total = 1320, shipment_taxes = { 100, 100 } },
    taxed(NET.tax_rates, { shipping = { { method = "a", fee = 500, tax_category = "standard" },
      { method = "b", fee = 500, tax_category = "standard" } } })),
  case("lines of no price get no share", { { 0, 1, standard }, { 100, 1, standard } }, { by("order_percent", 20) },
    { line_totals = { 0, 80 }, total = 96 }, NET),
  case("never below zero", { { 100, 2, standard } }, { by("item_fixed", 1000) }, { total = 0, tax_total = 0 }, NET),
}

-- ---- Medusa --------------------------------------------------------------------------------------------------------

local two_fees = { shipping = { { method = "express", fee = 50000 }, { method = "standard", fee = 10000 },
  { method = "snail", fee = 20000 } } }
local both = { filters = { methods_any = { "express", "standard" } } }
local across = { allocation = "across", filters = both.filters }
local BUDGET = { type = "spend", limit = 100000, used = 0 }
local WHOLE = { buy_quantity = 2, get_quantity = 2, buy_filters = sku("A").filters, filters = sku("A").filters }

local function row(amount, least, most, rules, currency)
  return { currency = currency or "PLN", amount = amount, min_quantity = least, max_quantity = most, rules = rules }
end
local PLN = { row(1000, 1, 10), row(400, 1, 5, { customer_group = "firm" }), row(300, 1, 4, { zone = "PL" }),
  row(999, 1, 10, { zone = "PL", customer_group = "firm" }), row(250, 4, 10, { zone = "PL" }),
  row(200, 1, 3, { zone = "PL", customer_group = "firm" }, "EUR"),
  row(50, 4, 10, { zone = "PL", customer_group = "firm" }, "EUR") }

local function listed(name, quantity, amount, more)
  return case(name, { { nil, quantity, { prices = PLN } } }, NONE, { unit_prices = { amount } }, more)
end

local medusa = { name = "Medusa",
  case("an amount off one unit of each line", { { 10000 }, { 15000, 5 } },
    { by("item_fixed", 20000, { max_quantity = 1 }) }, { item_discounts = { 10000, 15000 } }),
  case("two amounts, as far as a unit goes", { { 5000 }, { 15000 } }, { by("item_fixed", 3000, { max_quantity = 2 }),
    by("item_fixed", 5000, { max_quantity = 1 }) }, { item_discounts = { 5000, 8000 } }),
  case("a percentage of one unit of each line", { { 10000 }, { 15000, 5 } },
    { by("item_percent", 10, { max_quantity = 1 }) }, { item_discounts = { 1000, 1500 } }),
  case("an amount across lines", { { 10000, 1 }, { 10000, 3 } }, { by("order_fixed", 40000) },
    { order_discounts = { 10000, 30000 }, total = 0 }),
  case("a percentage across lines", { { 10000 }, { 20000, 2 } }, { by("order_percent", 10) },
    { order_discounts = { 1000, 4000 } }),
  case("two percentages across lines", { { 5000 }, { 15000 } }, { by("order_percent", 10), by("order_percent", 10) },
    { order_discounts = { 950, 2850 } }),
  case("a budget that would not last blocks all of it", { { 100000, 5 } },
    { by("order_fixed", 150000, nil, { budget = BUDGET }) }, { discount_total = 0 }),
  case("a budget of uses that are used up", { { 10000 } },
    { by("order_fixed", 1000, nil, { budget = { type = "usage", limit = 1000, used = 1000 } }) },
    { discount_total = 0 }),
  case("an amount off each fee", { { 0 } }, { by("shipping_fixed", 20000, both) },
    { shipment_totals = { 30000, 0, 20000 } }, two_fees),
  case("an amount across fees, by what is left of them", { { 0 } }, { by("shipping_fixed", 20000, across),
    by("shipping_fixed", 20000, across) }, { shipment_totals = { 16666, 3334, 20000 } }, two_fees),
  case("more than the fees together", { { 0 } }, { by("shipping_fixed", 100000, across) },
    { shipment_totals = { 0, 0, 20000 } }, two_fees),
  case("a tenth of the fees twice", { { 0 } }, { by("shipping_percent", 10, both), by("shipping_percent", 10, both) },
    { shipment_totals = { 40500, 8100, 20000 } }, two_fees),
  case("buy one of these, get the dearest of those", { { 500, 2, { categories = { "shirts" } } },
    { 1000, 2, { categories = { "shirts" } } }, { 1000, 2, { categories = { "sweaters" } } } },
    { by("buy_x_get_y", 100, { buy_quantity = 1, get_quantity = 1, buy_filters = of("sweaters").filters,
      filters = of("shirts").filters }) }, { item_discounts = { 0, 1000, 0 } }),
  case("buy two get two of the same", { { 250, 4 }, { 1000, 2 } }, { by("buy_x_get_y", 100, WHOLE) },
    { item_discounts = { 500, 0 } }),
  case("buy two get two, over four lines", { { 500 }, { 500 }, { 1000 }, { 1000 } },
    { by("buy_x_get_y", 100, { buy_quantity = 2, get_quantity = 2 }) }, { item_discounts = { 500, 500, 0, 0 } }),
  case("buy two get two, but there are three", { { 333, 3 } }, { by("buy_x_get_y", 100, WHOLE) },
    { discount_total = 0 }),
  case("buy fifty get a thousand, buy ten get twenty", { { 250, 540 }, { 250, 540 } },
    { by("buy_x_get_y", 100, { buy_quantity = 50, get_quantity = 1000 }),
      by("buy_x_get_y", 100, { buy_quantity = 10, get_quantity = 20 }) },
    { item_discounts = { 127500, 122500 + 5000 } }),
  listed("a price of nobody in particular", 1, 1000, { currency = "PLN" }),
  listed("a price of a region", 1, 300, { currency = "PLN", zone = "PL" }),
  listed("a price of a region, from a quantity", 5, 250, { currency = "PLN", zone = "PL" }),
  listed("where both ranges hold the quantity, the higher one", 4, 250, { currency = "PLN", zone = "PL" }),
  listed("a price of a group", 1, 400, { currency = "PLN", customer = { group = "firm" } }),
  listed("a price of a group that is past its quantity", 6, 1000, { currency = "PLN", customer = { group = "firm" } }),
  listed("most rules win, though it is dearer", 1, 999, { currency = "PLN", zone = "PL",
    customer = { group = "firm" } }),
  listed("another group has the price of all", 1, 1000, { currency = "PLN", customer = { group = "else" } }),
  listed("another currency's price", 2, 200, { currency = "EUR", zone = "PL", customer = { group = "firm" } }),
  listed("another currency's price, from a quantity", 5, 50,
    { currency = "EUR", zone = "PL", customer = { group = "firm" } }),
}

-- ---- Solidus, Saleor, django-oscar ---------------------------------------------------------------------------------

local function book(percent, included) return taxed({ rate("books", percent, included) }, fee(800, "books")) end
local books = { tax_category = "books" }

local solidus = { name = "Solidus",
  case("an amount over equal lines", { { 5000 }, { 5000 }, { 5000 } }, { by("order_fixed", 1500) },
    { order_discounts = { 500, 500, 500 } }),
  case("an amount over equal lines that does not divide", { { 5000 }, { 5000 }, { 5000 } }, { by("order_fixed", 1000) },
    { order_discounts = { 334, 333, 333 } }),
  case("an amount by what lines cost", { { 5000, 3 }, { 5000 }, { 5000, 2 } }, { by("order_fixed", 1500) },
    { order_discounts = { 750, 250, 500 } }),
  case("a reduced rate that is contained, and its fee", { { 2000, 1, books } }, NONE,
    { total = 2800, taxes_included = { 131 }, shipment_taxes_included = { 52 } }, book(7, true)),
  case("a contained rate of 19", { { 3000, 1, books } }, NONE, { taxes_included = { 479 } }, book(19, true)),
  case("a contained rate of 9", { { 500, 1, books } }, NONE, { taxes_included = { 41 } }, book(9, true)),
  case("a contained rate of 24", { { 1042, 1, books } }, NONE, { taxes_included = { 202 } }, book(24, true)),
  case("an added rate, and its fee", { { 1000, 1, books } }, NONE, { taxes = { 200 }, total = 1440 },
    taxed({ rate("books", 20) }, fee(200, "books"))),
  case("an added rate of 15, and its fee", { { 2000, 1, books } }, NONE, { taxes = { 300 }, shipment_taxes = { 120 } },
    book(15)),
}

-- A percentage off the cheapest unit of all.
local function cheapest(percent, more)
  return by("buy_x_get_y", percent, { buy_quantity = 0, get_quantity = 1, pick = "cheapest" }, more)
end

local function sale(price, quantity, type, value, by_code, off, total)
  return case(("%s %s and %s %s"):format(type, value, by_code, off), { { price, quantity } },
    { by(type, value), by(by_code, off, nil, { coupon = "V" }) }, { total = total }, { coupons = { "V" } })
end

local saleor = { name = "Saleor",
  sale(1999, 1, "catalog_percent", 13, "order_percent", 13, 1513),
  sale(1999, 2, "catalog_percent", 13, "order_percent", 13, 3026),
  sale(3000, 2, "catalog_fixed", 1000, "order_fixed", 500, 3500),
  sale(5650, 1, "catalog_fixed", 1999, "order_percent", 33, 2446),
  sale(5650, 2, "catalog_fixed", 1999, "order_percent", 33, 4892),
  sale(7777, 1, "catalog_percent", 17.5, "order_fixed", 2500, 3916),
  sale(7777, 2, "catalog_percent", 17.5, "order_fixed", 2500, 10332),
  case("a catalogue's percentage of several prices", { { 1333, 2 }, { 1600, 3 }, { 999, 4 }, { 2050 } },
    { by("catalog_percent", 13, sku("A", "B", "C")) }, { unit_prices = { 1160, 1392, 869, 2050 }, total = 12022 }),
  case("an amount of the voucher off each unit", { { 1000, 3 } }, { by("item_fixed", 300) }, { total = 2100 }),
  case("a percentage off the cheapest article", { { 1999 }, { 10999 } }, { cheapest(15) },
    { item_discounts = { 300, 0 } }),
  case("a percentage from a total on", { { 299, 4 } }, { by("order_percent", 20, nil,
    when { min_items_total = 1000 }) },
    { total = 957 }),
  case("a voucher above the total leaves the fee", { { 1000 } }, { by("order_fixed", 10000) }, { total = 1000 },
    fee(1000)),
  case("contained tax after the catalogue", { { 3333, 2, standard }, { 11350, 2, standard } },
    { by("catalog_percent", 30) }, { line_totals = { 4666, 15890 }, taxes_included = { 424, 1445 } },
    taxed { rate("standard", 10, true) }),
}

local function oscar_case(name, lines, promotion, off) return case(name, lines, { promotion },
{ discount_total = off }) end
local function three_for_two(times) return by("buy_x_get_y", 100, { buy_quantity = 2, get_quantity = 1,
pick = "cheapest",
  times = times }) end

local oscar = { name = "django-oscar",
  oscar_case("an amount from two units", { { 1200 }, { 1200 } }, by("order_fixed", 300, nil, when { min_quantity = 2 }),
    300),
  oscar_case("an amount above the total", { { 100 }, { 150 } }, by("order_fixed", 300), 250),
  oscar_case("an amount over three equal lines", { { 200 }, { 200 }, { 200 } }, by("order_fixed", 400), 400),
  case("an amount over the units of a line", { { 1200, 2 } }, { by("order_fixed", 300) },
    { unit_discounts = { { 150, 150 } } }),
  oscar_case("an amount from a total", { { 400, 3 } }, by("order_fixed", 300, nil, when { min_items_total = 1000 }),
    300),
  oscar_case("a percentage of all units", { { 1200, 3 } }, by("item_percent", 20), 720),
  oscar_case("a percentage of one unit of a line", { { 1200, 2 } }, by("item_percent", 20, { max_quantity = 1 }), 240),
  oscar_case("three for two", { { 1200, 3 } }, three_for_two(), 1200),
  oscar_case("three for two, the cheapest, once", { { 400, 4 }, { 200, 4 } }, three_for_two(), 200),
  oscar_case("an amount off each unit", { { 1200, 2 }, { 1000, 2 } }, by("item_fixed", 300), 1200),
  oscar_case("an amount off each unit above some prices", { { 200, 2 }, { 400 } }, by("item_fixed", 300), 700),
  oscar_case("an amount off each unit above all prices", { { 200 }, { 200 }, { 200 } }, by("item_fixed", 400), 600),
  oscar_case("more than a line costs, twice", { { 2000 } }, by("order_fixed", 10000), 2000),
  oscar_case("an order's price", { { 700 }, { 700 }, { 700 } }, by("order_price", 2000, nil, when { min_quantity = 3 }),
    100),
  oscar_case("an order's price above the total", { { 600, 3 } }, by("order_price", 2000), 0),
}

-- ---- WooCommerce, PrestaShop, Magento, Odoo ------------------------------------------------------------------------

local function woo_case(name, lines, off, ...) return case(name, lines, { ... }, { discount_total = off }) end

local WOO_VAT = taxed { rate("standard", 20, true) }

local woocommerce = { name = "WooCommerce",
  woo_case("a percentage", { { 1000 } }, 200, by("item_percent", 20)),
  woo_case("an amount of the cart", { { 1000, 2 } }, 1000, by("order_fixed", 1000)),
  woo_case("an amount over three lines", { { 1000, 2 }, { 1000, 3 }, { 1000, 2 } }, 1000, by("order_fixed", 1000)),
  woo_case("an amount over eleven lines", { { 1000 }, { 1000 }, { 1000 }, { 1000 }, { 1000 }, { 1000 }, { 1000 },
    { 1000 }, { 1000 }, { 1000 }, { 1000 } }, 1000, by("order_fixed", 1000)),
  woo_case("two percentages of the price", { { 1000, 2 }, { 500 } }, 750, by("item_percent", 10), by("item_percent",
    20)),
  woo_case("two percentages in sequence", { { 1000, 2 }, { 500 } }, 700, by("order_percent", 10),
    by("order_percent", 20)),
  woo_case("an amount off each unit", { { 1395, 3 } }, 3000, by("item_fixed", 1000)),
  woo_case("an amount off each unit above its price", { { 1395, 3 } }, 4185, by("item_fixed", 2000)),
  woo_case("an amount off one unit", { { 1395, 3 } }, 1000, by("item_fixed", 1000, { max_quantity = 1 })),
  woo_case("an amount off one unit above its price", { { 1395, 3 } }, 1395, by("item_fixed", 1500,
    { max_quantity = 1 })),
  woo_case("an amount off units of which some cost less", { { 1395, 3 }, { 180, 5 } }, 3900, by("item_fixed", 1000)),
  woo_case("an amount that a float would miss", { { 895 } }, 895, by("item_fixed", 1000)),
  case("an amount off, tax contained, beside a fee", { { 899, 1, standard } }, { by("order_fixed", 500) },
    { total = 1358, tax_included_total = 66 }, taxed(WOO_VAT.tax_rates, fee(959))),
  case("an odd price that contains tax", { { 999, 1, standard } }, NONE, { tax_included_total = 166, total = 999 },
    WOO_VAT),
  case("a tenth off it", { { 999, 1, standard } }, { by("item_percent", 10) },
    { tax_included_total = 150, total = 899 }, WOO_VAT),
  case("half off it", { { 999, 1, standard } }, { by("item_percent", 50) }, { tax_included_total = 83, total = 500 },
    WOO_VAT),
  case("all of it", { { 999, 1, standard } }, { by("item_percent", 100) }, { tax_included_total = 0, total = 0 },
    WOO_VAT),
  case("a tenth off what contains a tenth", { { 2995, 1, standard } }, { by("item_percent", 10) },
    { total = 2696, tax_included_total = 2696 - 2451 }, taxed { rate("standard", 10, true) }),
  case("forty percent off, then tax", { { 5186, 1, standard } }, { by("item_percent", 40) },
    { line_totals = { 3112 }, total = 3369 }, taxed { rate("standard", 8.25) }),
  woo_case("sale items are left out of a percentage", { { 2000 }, { 2000 } }, 200, by("catalog_fixed", 1000, sku("B")),
    by("item_percent", 10, nil, { applies_to_discounted = false })),
  woo_case("sale items with a percentage", { { 2000 }, { 2000 } }, 300, by("catalog_fixed", 1000, sku("B")),
    by("item_percent", 10)),
  woo_case("sale items are left out of an amount", { { 2000 }, { 2000 } }, 500, by("catalog_fixed", 1000, sku("B")),
    by("item_fixed", 500, nil, { applies_to_discounted = false })),
}

-- Prices of three places, as that shop has them: of a currency that has three.
local DINAR = { currency = "KWD", shipping = { { method = "post", fee = 7000 } } }
local FIVE, TEN, HUNDREDS = by("order_fixed", 5000), by("order_fixed", 10000), by("order_fixed", 500000)
local HALF, TENTH = by("order_percent", 50), by("order_percent", 10)
local SEVERAL = { { 32388, 2 }, { 19812, 3 }, { 31188 } }

local function presta_case(name, lines, total, ...) return case(name, lines, { ... }, { total = total }, DINAR) end

local prestashop = { name = "PrestaShop",
  presta_case("two amounts", { { 19812 } }, 11812, FIVE, TEN),
  presta_case("two amounts, three units", { { 19812, 3 } }, 51436, FIVE, TEN),
  presta_case("two amounts, several lines", SEVERAL, 147400, FIVE, TEN),
  presta_case("a percentage and an amount", { { 19812 } }, 11906, HALF, FIVE),
  presta_case("a percentage and too great an amount", { { 19812, 3 } }, 7000, HALF, HUNDREDS),
  presta_case("an amount and a percentage", { { 19812, 3 } }, 34218, FIVE, HALF),
  presta_case("too great an amount and a percentage", { { 19812, 3 } }, 7000, HUNDREDS, HALF),
  presta_case("a percentage and free delivery", { { 19812 } }, 17831, TENTH, by("free_shipping")),
  presta_case("a percentage not for specific prices", SEVERAL, 105418, by("catalog_fixed", 3000, sku("B")),
    by("order_percent", 50, nil, { applies_to_discounted = false })),
  presta_case("half off the cheapest", SEVERAL, 152494, cheapest(50)),
  presta_case("half off the cheapest, whose price is a specific one", SEVERAL, 127494,
    by("catalog_fixed", 10000, sku("B")), cheapest(50)),
  presta_case("half off the cheapest of those that have no specific price", SEVERAL, 116806,
    by("catalog_fixed", 10000, sku("B")), cheapest(50, { applies_to_discounted = false })),
  presta_case("two percentages of an article", SEVERAL, 126773, by("order_percent", 50, sku("A")),
    by("order_percent", 10, sku("A"))),
  presta_case("an amount of an article", SEVERAL, 157400, by("order_fixed", 5000, sku("A"))),
  presta_case("more than an article costs", SEVERAL, 97624, by("order_fixed", 500000, sku("A"))),
  presta_case("a percentage of an article, not for specific prices", SEVERAL, 121012,
    by("catalog_fixed", 3000, sku("B")), by("order_percent", 50, sku("A"), { applies_to_discounted = false })),
}

local TEXAS = { rate("standard", 8.25) }
local function rounded_by(how) return taxed(TEXAS, { settings = { tax_rounding = how } }) end

local magento = { name = "Magento",
  case("tax of two lines, by line", { { 1000, 1, standard }, { 1100, 1, standard } }, NONE, { tax_total = 174 },
    rounded_by "line"),
  case("tax of two lines, by unit", { { 1000, 1, standard }, { 1100, 1, standard } }, NONE, { taxes = { 83, 91 } },
    rounded_by "unit"),
  case("tax of two units, each", { { 1000, 2, standard } }, NONE, { tax_total = 166, total = 2166 }, rounded_by "unit"),
  case("tax of half the goods, and of all of the fee", { { 1000, 2, standard } }, { by("item_percent", 50) },
    { tax_total = 275, total = 2275 }, taxed({ rate("standard", 20), rate("post", 7.5) }, fee(1000, "post"))),
  case("contained tax of two units together", { { 999, 2, standard } }, NONE,
    { tax_included_total = 333, total = 1998 }, taxed { rate("standard", 20, true) }),
  case("tax of two lines, in total", { { 1000, 1, standard }, { 1100, 1, standard } }, NONE,
    { tax_total = 173, total = 2273 }, rounded_by "total"),
}

local function cards(...)
  local facts = { gift_cards = {} }
  for i, balance in ipairs { ... } do facts.gift_cards[i] = { code = "G" .. i, balance = balance } end
  return facts
end

local FIFTEEN = taxed { rate("standard", 15) }
local cabinet = by("item_percent", 20, sku("A"))

local odoo = { name = "Odoo",
  case("a gift card after a percentage", { { 10000 } }, { by("order_percent", 10) },
    { total = 9000, gift_card_total = 5000, due = 4000 }, cards(5000)),
  case("a gift card above what a percentage leaves", { { 10000 } }, { by("order_percent", 10) },
    { gift_card_total = 9000, due = 0 }, cards(10000)),
  case("two gift cards", { { 10000, 20 } }, NONE, { due = 200000 - 20000 }, cards(10000, 10000)),
  case("an article's percentage before its tax", { { 32000, 1, standard } }, { cabinet }, { total = 29440 }, FIFTEEN),
  case("an article's percentage beside what is not taxed", { { 32000, 1, standard }, { 2500, 10 } }, { cabinet },
    { total = 54440 }, FIFTEEN),
  case("an article's percentage, eight of them", { { 32000, 8, standard }, { 2500, 10 } }, { cabinet },
    { total = 260520 }, FIFTEEN),
  case("a percentage of what is paid for", { { 32000, 4 } },
    { by("buy_x_get_y", 100, { buy_quantity = 3, get_quantity = 1 }), by("order_percent", 10) }, { total = 86400 }),
}

-- ---- Shopware, Lunar, Workarea -------------------------------------------------------------------------------------

-- Lines { price, percent }, whose taxes are contained.
local function contained(name, given, taxes, total)
  local lines, rates, known = {}, {}, {}
  for i, each in ipairs(given) do
    local category = "of " .. each[2]
    lines[i] = { each[1], 1, { tax_category = category } }
    if not known[category] then rates[#rates + 1] = rate(category, each[2], true) end
    known[category] = true
  end
  return case(name, lines, NONE, { taxes_included = taxes, tax_included_total = total }, taxed(rates))
end

local shopware = { name = "Shopware",
  contained("taxes of one rate", { { 1950, 19 }, { 1420, 19 } }, { 311, 227 }, 538),
  contained("taxes of two rates", { { 1950, 19 }, { 1420, 7 } }, { 311, 93 }, 404),
  contained("taxes of two rates, two lines each", { { 1950, 19 }, { 3330, 19 }, { 1950, 7 }, { 3330, 7 } },
    { 311, 532, 128, 218 }, 1189),
  contained("taxes of five rates", { { 1950, 19 }, { 3330, 19 }, { 1950, 18 }, { 3330, 18 }, { 1950, 17 }, { 3330, 17 },
    { 1950, 7 }, { 3330, 7 }, { 3330, 1 } }, { 311, 532, 297, 508, 283, 484, 128, 218, 33 }, 2794),
  contained("taxes of small lines", { { 167, 19 }, { 238, 19 }, { 1460, 19 }, { 300, 19 }, { 450, 19 } },
    { 27, 38, 233, 48, 72 }, 418),
  case("an amount and all of the rest", { { 6000, 5, standard } }, { by("order_fixed", 2000), by("order_percent",
    100) },
    { total = 0, tax_included_total = 0 }, taxed { rate("standard", 19, true) }),
}

local LUNAR = taxed { rate("standard", 20) }
local function ten(quantity) return { 1000, quantity, standard } end
local function for_thirty(bought, given)
  return { 1064, bought, standard }, { 2280, given, standard },
    by("buy_x_get_y", 100, { buy_quantity = 30, get_quantity = 1, times = ALL, buy_filters = sku("A").filters,
      filters = sku("B").filters })
end

local lunar = { name = "Lunar",
  case("an amount over three lines", { ten(), ten(), ten() }, { by("order_fixed", 1000) },
    { order_discounts = { 334, 333, 333 } }, LUNAR),
  case("an amount and its tax", { ten(2) }, { by("order_fixed", 1050) }, { total = 1140, tax_total = 190 }, LUNAR),
  case("a percentage of an article and its tax", { ten(), ten() }, { by("item_percent", 10, sku("B")) },
    { discount_total = 100, total = 2280 }, LUNAR),
  case("from a sum on", { ten(10) }, { by("order_fixed", 1000, nil, when { min_items_total = 5000 }) },
    { total = 10800, tax_total = 1800 }, LUNAR),
  case("a code that was used as often as it may", { ten(2) },
    { by("order_fixed", 1000, nil, { coupon = "C", usage = { limit = 10, used = 10 } }) },
    { total = 2400, accepted = { false }, reasons = { "used_up" } }, taxed(LUNAR.tax_rates, { coupons = { "C" } })),
  case("two of these, one of those, and a percentage", { ten(2), { 500, 2, standard } },
    { by("buy_x_get_y", 100, { buy_quantity = 2, get_quantity = 1, buy_filters = sku("A").filters,
      filters = sku("B").filters }), by("item_percent", 10, sku("A")) }, { item_discounts = { 200, 500 } }, LUNAR),
}

for _, each in ipairs { { 60, 3, 4560 }, { 60, 4, 4560 }, { 120, 4, 9120 }, { 120, 1, 2280 } } do
  local a, b, offer = for_thirty(each[1], each[2])
  lunar[#lunar + 1] = case(("one for thirty: %d and %d"):format(each[1], each[2]), { a, b }, { offer },
    { item_discounts = { 0, each[3] } }, LUNAR)
end

local function some(name, quantity, buy, percent, times, off)
  return case(name, { { 600, quantity } },
    { by("buy_x_get_y", percent, { buy_quantity = buy, get_quantity = 1, times = times }) }, { discount_total = off })
end

local workarea = { name = "Workarea",
  some("buy one get one", 2, 1, 100, ALL, 600), some("buy one get one, twice", 4, 1, 100, ALL, 1200),
  some("buy one get one, once at most", 4, 1, 100, 1, 600), some("buy three, one at half", 5, 3, 50, ALL, 300),
  some("buy three, one at half, twice at most", 9, 3, 50, 2, 600),
  case("buy two get one, then an amount", { { 500, 3 } },
    { by("buy_x_get_y", 100, { buy_quantity = 2, get_quantity = 1, times = ALL }), by("order_fixed", 200) },
    { total = 800 }),
}

-- ---- money.allocate: amount, weights, shares; of moneyphp/money, brick/money, RubyMoney and Sylius -----------------

local allocations = {
  { 100, { 1, 1, 1 }, { 34, 33, 33 } }, { 101, { 1, 1, 1 }, { 34, 34, 33 } },
  { -1000, { 1, 1, 1 }, { -334, -333, -333 } },
  { 5, { 3, 7 }, { 2, 3 } }, { 5, { 7, 3 }, { 4, 1 } }, { 5, { 7, 0, 3 }, { 4, 0, 1 } },
  { 5, { 0, 3, 7 }, { 0, 2, 3 } },
  { 5, { 0, 0, 1 }, { 0, 0, 5 } }, { 0, { 0, 0, 1 }, { 0, 0, 0 } }, { 1, { 1, 1 }, { 1, 0 } },
  { 101, { 3, 7 }, { 30, 71 } }, { 101, { 7, 3 }, { 71, 30 } }, { 15, { 1, 1 }, { 8, 7 } },
  { 10, { 1, 1, 1 }, { 4, 3, 3 } },
  { 100, { 2, 3, 1 }, { 33, 50, 17 } }, { 9999, { 100, 100 }, { 5000, 4999 } }, { 3, { 75, 25 }, { 2, 1 } },
  { 10000, { 30, 20, 40 }, { 3333, 2222, 4445 } }, { 10000, { 30, 20, 40, 40 }, { 2308, 1538, 3077, 3077 } },
  { 10000, { 30, 20, 40, 0, 0, 40 }, { 2308, 1538, 3077, 0, 0, 3077 } },
  { -10000, { 30, 20, 40, 40 }, { -2308, -1538, -3077, -3077 } }, { 2, { 1, 1, 1, 1 }, { 1, 1, 0, 0 } },
  { 2, { 1, 1, 3, 1 }, { 1, 0, 1, 0 } }, { 100, { 1, 1, 1, 1, 1, 1 }, { 17, 17, 17, 17, 16, 16 } },
  { 10, { 1, 2, 1 }, { 3, 5, 2 } }, { 10, { 1, 1, 2 }, { 3, 2, 5 } }, { 300, { 4000, 2000, 2000 }, { 150, 75, 75 } },
  { -300, { 4000, 2000, 2000 }, { -150, -75, -75 } },
}

return { allocations = allocations, sylius, vendure, medusa, solidus, saleor, oscar, woocommerce, prestashop, magento,
    odoo, shopware, lunar,
  workarea }
