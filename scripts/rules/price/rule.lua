-- rule: the face of a hand-written promotion, and the words it is written in. See promotions/ for rules and
-- docs/rules.md.
--
--   return rule { doc =, stage =, from =, to =, when = { conditions }, apply = function(cart) end, examples = { } }

local conditions = require "price.conditions"
local window = require "engine.window"

local M = { words = {} }
local words = M.words

-- What a condition or an adjustment is about: lines of a category (or below it), or of some SKUs.
function words.category(name) return { categories_any = { name } } end
function words.sku(...) return { skus_any = { ... } } end

local function named(of)
  return of and table.concat(of.categories_any or of.skus_any, " or ") or "the cart"
end

-- What a cart must have for a condition of at least `n` to hold: for the index.
local function need(n, of)
  if not of or n < 1 then return nil end
  return { kind = of.skus_any and "skus" or "categories", keys = of.skus_any or of.categories_any }
end

-- At least n units of what is named (of the whole cart without it).
function words.at_least(n, of)
  return { "at_least " .. n .. " of " .. named(of), function(cart)
    local actual = cart.ledger:quantity(cart.lines_for(of))
    return actual >= n, actual, n
  end, of = of, need = need(n, of) }
end

-- What is named costs at least the amount now.
function words.spend_at_least(amount, of)
  return { "spend_at_least " .. amount .. " on " .. named(of), function(cart)
    local actual = cart.ledger:total(cart.lines_for(of))
    return actual >= amount, actual, amount
  end, of = of, unit = "money", need = need(amount, of) }
end

function words.customer_in(group)
  return { "customer_in " .. group, function(cart)
    local actual = cart.customer and cart.customer.group
    return actual == group, actual or "none", group
  end, need = { kind = "groups", keys = { group } } }
end

-- The n-th order of a known customer.
function words.nth_order(n)
  return { "nth_order " .. n, function(cart)
    local placed = cart.customer and cart.customer.orders_placed
    return placed ~= nil and placed + 1 == n, placed and placed + 1 or 0, n
  end }
end

-- ---- what `apply` may do: take something off, never set a price --------------------------------------------------

local offers = {}
offers.__index = offers

-- Of every `every` units the cheapest one is free (or `percent` off), as often as it fits.
function offers:cheapest_free(how)
  local lines = self.lines_for(how.of)
  self.ledger:pool()
  while self.ledger:take(lines, how.every - 1, "dearest") and self.ledger:take(lines, 1, "cheapest") do
    self.ledger:give_percent(how.percent or 100)
  end
end

function offers:percent_off(how) self.ledger:item_percent(self.lines_for(how.of), how.percent, how.max_quantity) end
function offers:amount_off_each(how) self.ledger:item_fixed(self.lines_for(how.of), how.amount, how.max_quantity) end

function offers:order_percent_off(how)
  local lines = self.lines_for(how.of)
  self.ledger:order(lines, money.percent(self.ledger:total(lines), how.percent))
end

function offers:order_amount_off(how)
  local lines = self.lines_for(how.of)
  self.ledger:order(lines, math.min(how.amount, self.ledger:total(lines)))
end

function offers:free_shipping()
  for i = 1, self.shipments do self.ledger:fee_off(i, self.ledger:fee_left(i)) end
end

-- The lines as they stand, as copies: { number, sku, quantity, list_price, unit_price, total, categories }.
function offers:lines()
  local list = {}
  for i = 1, self.count do list[i] = self.ledger:line(i) end
  return list
end

-- Takes an amount off one of those lines.
function offers:line_off(line, amount) self.ledger:line_off(line.number, amount) end

local function apply_rule(definition)
  return function(cart)
    definition.apply(setmetatable({ ledger = cart.ledger, lines_for = cart.lines_for, customer = cart.customer,
      shipments = cart.shipments, count = cart.count }, offers))
  end
end

local FIELDS = { doc = "string", stage = "string", from = "string", to = "string", when = "table", apply = "function",
  examples = "table", priority = "number", exclusive = "boolean", coupon = "string", currency = "string" }
local STAGES = { item = true, order = true, shipping = true }

local function check(definition, file)
  for name, value in pairs(definition) do
    local kind = rawget(FIELDS, name)
    if not kind then error(("%s:1: unknown field '%s' of a rule"):format(file, tostring(name)), 0) end
    if type(value) ~= kind then error(("%s:1: field '%s' is a %s, not a %s"):format(file, name, kind, type(value)),
      0) end
  end
  for _, name in ipairs { "doc", "stage", "apply", "examples" } do
    if definition[name] == nil then error(("%s:1: a rule needs '%s'"):format(file, name), 0) end
  end
  if not rawget(STAGES, definition.stage) then error(file .. ":1: stage is item, order or shipping", 0) end
end

function words.rule(definition) return definition end

-- The promotion of a rule file.
function M.compile(definition, file, index)
  check(definition, file)
  local id = file:sub(#"promotions/" + 1, -5)
  return {
    id = id, doc = definition.doc, index = index, priority = definition.priority or 0, exclusive = definition.exclusive,
      coupon = definition.coupon,
    currency = definition.currency, usage = {}, conditions = conditions.sorted(definition.when or {}),
    period = window.period(definition.from, definition.to, file),
    stages = { [definition.stage] = { { kind = { stage = definition.stage, apply = apply_rule(definition) },
      action = {} } } },
    examples = definition.examples, from = definition.from, file = file,
  }
end

return M
