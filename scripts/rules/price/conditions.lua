-- conditions: the named conditions of promotions. Each is compiled once to a test that answers whether it holds,
-- with both
-- operands, so that the trace can say which failed and by how much.
--
-- A test is function(cart) -> holds, actual, wanted. The cart is { ledger, customer, ... }.

local M = {}

local function at_least(read)
  return function(wanted)
    return function(cart)
      local actual = read(cart)
      return actual >= wanted, actual, wanted
    end
  end
end

-- Selected anew for each cart: the ledger knows which lines are meant.
local function lines_of(cart, skus, categories)
  return cart.ledger:select(skus, categories)
end

local function contains(kind)
  return function(wanted)
    return function(cart)
      local _, lines = lines_of(cart, kind == "skus" and wanted or nil, kind == "categories" and wanted or nil)
      return lines > 0, lines, 1
    end
  end
end

M.min_items_total = at_least(function(cart) return cart.ledger:total() end)
M.min_quantity = at_least(function(cart) return (cart.ledger:quantity()) end)
M.min_line_quantity = at_least(function(cart) return select(2, cart.ledger:quantity()) end)
M.contains_skus_any = contains "skus"
M.contains_categories_any = contains "categories"

function M.max_items_total(wanted)
  return function(cart)
    local actual = cart.ledger:total()
    return actual <= wanted, actual, wanted
  end
end

-- On the lines that `of(wanted)` names, skus and categories: what `read(ledger, lines)` says of them.
local function at_least_of(of, read)
  return function(wanted)
    local skus, categories = of(wanted)
    return function(cart)
      local actual = read(cart.ledger, (lines_of(cart, skus, categories)))
      return actual >= wanted.min, actual, wanted.min
    end
  end
end

local function of_skus(wanted) return wanted.skus, nil end
local function of_category(wanted) return nil, { wanted.category } end
local function quantity(ledger, lines) return (ledger:quantity(lines)) end
local function total(ledger, lines) return ledger:total(lines) end

M.sku_quantity = at_least_of(of_skus, quantity)
M.category_quantity = at_least_of(of_category, quantity)
M.category_items_total = at_least_of(of_category, total)

function M.customer_group(wanted)
  local among, list = {}, table.concat(wanted, "|")
  for _, group in ipairs(wanted) do among[group] = true end
  return function(cart)
    local group = cart.customer and cart.customer.group
    return group ~= nil and rawget(among, group) == true, group or "none", list
  end
end

function M.nth_order(wanted)
  return function(cart)
    local placed = cart.customer and cart.customer.orders_placed
    return placed ~= nil and placed + 1 == wanted, placed and placed + 1 or 0, wanted
  end
end

-- Tried in this order, so that the same cart always names the same failing condition. Amounts to reach come last: where
-- one is named, everything else holds, and it is true that spending more is all that is missing.
M.order = { "customer_group", "nth_order", "max_items_total", "min_quantity", "min_line_quantity",
  "contains_skus_any", "contains_categories_any", "sku_quantity", "category_quantity", "category_items_total",
  "min_items_total" }

-- What can be reached by putting more into the cart: the unit of the operands, and of what.
local REACH = {
  min_quantity = { "units", function() return "the cart" end },
  min_line_quantity = { "units", function() return "one article" end },
  sku_quantity = { "units", function(wanted) return table.concat(wanted.skus, " or ") end },
  category_quantity = { "units", function(wanted) return wanted.category end },
  category_items_total = { "money", function(wanted) return wanted.category end },
  min_items_total = { "money", function() return "the cart" end },
}
local NO_REACH = {}

local function least(kind, keys)
  return function(wanted) return wanted.min > 0 and { kind = kind, keys = keys(wanted) } or nil end
end

local function all(kind)
  return function(wanted) return { kind = kind, keys = wanted } end
end

-- What a cart must have for each of these to hold, whatever else: the index goes by it.
local NEEDS = {
  contains_skus_any = all "skus", contains_categories_any = all "categories", customer_group = all "groups",
  sku_quantity = least("skus", function(wanted) return wanted.skus end),
  category_quantity = least("categories", function(wanted) return { wanted.category } end),
  category_items_total = least("categories", function(wanted) return { wanted.category } end),
}

local KINDS = {}
for i, name in ipairs(M.order) do
  KINDS[i] = { name = name, test = M[name], need = NEEDS[name], reach = REACH[name] or NO_REACH }
end

-- List of { name, test, unit = of the operands, what = they count, need = what a cart must have } of a definition.
function M.compile(conditions)
  local list
  for i = 1, #KINDS do -- for each promotion of a quote: what is spent here is paid for by all of its conditions
    local kind = KINDS[i]
    local wanted = conditions[kind.name]
    if wanted ~= nil then
      local need, unit, what = kind.need, kind.reach[1], kind.reach[2]
      local condition = { kind.name, kind.test(wanted), unit = unit, what = what and what(wanted),
        need = need and need(wanted) }
      if list then list[#list + 1] = condition else list = { condition } end
    end
  end
  return list or {}
end

local LAST = { units = 2, money = 3 }

-- The same conditions, what can be reached last: units, then money.
function M.sorted(conditions)
  local list = {}
  for place = 1, 3 do
    for _, condition in ipairs(conditions) do
      if (condition.unit and LAST[condition.unit] or 1) == place then list[#list + 1] = condition end
    end
  end
  return list
end

return M
