-- facts: the shape of the facts of price.cart, and of the definitions that a pack holds.

local shape = require "engine.shape"

local M = {}

local text, count, optional, list, object = shape.text, shape.count, shape.optional, shape.list, shape.object
local texts = shape.texts
local amount = count()

local filters = object {
  skus_any = optional(texts), categories_any = optional(texts), methods_any = optional(texts),
  min_unit_price = optional(amount), max_unit_price = optional(amount),
}

M.conditions = object {
  min_items_total = optional(amount), max_items_total = optional(amount), min_quantity = optional(amount),
  min_line_quantity = optional(amount), contains_skus_any = optional(texts), contains_categories_any = optional(texts),
  sku_quantity = optional(object { skus = texts, min = amount }),
  category_quantity = optional(object { category = text(), min = amount }),
  category_items_total = optional(object { category = text(), min = amount }),
  customer_group = optional(texts), nth_order = optional(count { min = 1 }),
}

local action = object {
  type = text(), value = optional(shape.any()), filters = optional(filters), buy_filters = optional(filters),
  max_quantity = optional(amount), buy_quantity = optional(amount), get_quantity = optional(count { min = 1 }),
  times = optional(count { min = 1 }, 0), pick = optional(text { values = { "dearest", "cheapest" } }),
  allocation = optional(text { values = { "each", "across" } }),
}

-- What became of a promotion so far; a pack's definition has none of it, for it changes while the definition does not.
local STATE = { usage = { "used", "used_by_customer" }, budget = { "used" } }

M.promotion = object {
  id = optional(text()), doc = optional(text()), says = optional(text()),
  level = optional(text { values = { "cart", "catalog" } }),
  actions = list(action, { min = 1, max = 50 }), conditions = optional(M.conditions),
    priority = optional(shape.integer()),
  exclusive = optional(shape.boolean()), coupon = optional(text()), currency = optional(text()),
  usage = optional(object { limit = optional(amount), used = optional(amount), limit_per_customer = optional(amount),
    used_by_customer = optional(amount), give_back = optional(shape.boolean()) }),
  budget = optional(object { type = optional(text { values = { "spend", "usage" } }), limit = amount,
    used = optional(amount) }),
  starts_at = optional(shape.time), ends_at = optional(shape.time), enabled = optional(shape.boolean()),
  applies_to_discounted = optional(shape.boolean()),
}

-- A promotion as a pack holds it: with an id, by which its state is found, and without state.
local function definition_of(promotion)
  local fields = {}
  for name, field in pairs(promotion.fields) do fields[name] = field end
  fields.id = text { max = 100 }
  for name, states in pairs(STATE) do
    local limits = {}
    for each, field in pairs(fields[name].fields) do limits[each] = field end
    for _, state in ipairs(states) do limits[state] = nil end
    fields[name] = optional(object(limits))
  end
  return object(fields)
end

M.definition = definition_of(M.promotion)

-- The state of promotions, by their ids: how often used, by all and by this customer, and what was spent of a budget.
-- It goes before what an inline definition says of itself; what is in neither has not been used.
M.usage = shape.map(object { used = optional(amount), used_by_customer = optional(amount), spent = optional(amount) })

M.tax_rate = object { category = text(), percent = shape.any(), included = optional(shape.boolean()),
  zone = optional(text()),
  from = optional(shape.time), to = optional(shape.time) }

M.price_row = object { currency = text(), amount = amount, min_quantity = optional(amount),
  max_quantity = optional(amount),
  rules = optional(object { customer_group = optional(shape.any()), zone = optional(shape.any()),
    from = optional(shape.time),
    to = optional(shape.time) }) }

local line = object { sku = text(), quantity = count { min = 1, max = 9999 }, unit_price = optional(amount),
  categories = optional(texts), tax_category = optional(text()), floor_price = optional(amount),
  prices = optional(list(M.price_row, { max = 1000 })) }

M.customer = object { id = optional(text()), group = optional(text()), orders_placed = optional(amount) }

M.price = object {
  currency = text { min = 3, max = 3 }, now = shape.time, zone = optional(text()), customer = optional(M.customer),
  coupons = optional(texts), issued = optional(shape.map(text())), lines = list(line, { max = 1000 }),
  promotions = optional(list(M.promotion, { max = 2000 })), usage = optional(M.usage),
  tax_rates = optional(list(M.tax_rate, { max = 2000 })),
  shipping = optional(list(object { method = text(), fee = amount, tax_category = optional(text()) }, { max = 100 })),
  gift_cards = optional(list(object { code = text(), balance = amount }, { max = 100 })),
  settings = optional(object { tax_rounding = optional(text { values = { "line", "unit", "total" } }),
    default_zone = optional(text()) }),
}

return M
