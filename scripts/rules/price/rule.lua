-- rule: a hand-written promotion, made ready. Its words are those of price/words.lua, what it can give is in
-- price/offers.lua. See promotions/ and docs/cookbook/ for rules, and docs/rules.md.
--
--   return rule { doc =, stage =, from =, to =, when = { conditions }, apply = function(cart) end, examples = { } }

local conditions = require "price.conditions"
local definitions = require "engine.definitions"
local facts = require "price.facts"
local near = require "lib.near"
local offers = require "price.offers"
local promotion = require "price.promotion"
local window = require "engine.window"
local words = require "price.words"

local M = { words = words }

M.fields = { doc = "string", says = "string", stage = "string", from = "string", to = "string", when = "table",
  apply = "function", examples = "table", priority = "number", exclusive = "boolean",
  coupon = "string", currency = "string", usage = "table", budget = "table" }
M.example_fields = { [1] = "string", cart = "table", total = "number", now = "string", zone = "string",
  customer = "table", coupons = "table", shipping = "table" }
M.stages = { item = true, order = true, shipping = true }

M.needed = { "doc", "stage", "apply", "examples" }
local EXAMPLE_NEEDED = { 1, "cart", "total" }

-- Raises unless every field of `value` is known and of its kind, and none of `needed` is missing.
local function check_fields(value, fields, needed, where, of)
  for name, each in pairs(value) do
    local kind = rawget(fields, name)
    if not kind then
      error(("%s: unknown field '%s' of %s%s"):format(where, tostring(name), of, near(name, fields)), 0)
    end
    if type(each) ~= kind then
      error(("%s: field '%s' is a %s, not a %s"):format(where, tostring(name), kind, type(each)), 0)
    end
  end
  for _, name in ipairs(needed) do
    if value[name] == nil then error(("%s: %s needs '%s'"):format(where, of, tostring(name)), 0) end
  end
end

local function check_conditions(list, where)
  for i, condition in ipairs(list) do
    if type(condition) ~= "table" or type(condition[1]) ~= "string" or type(condition[2]) ~= "function" then
      error(("%s: when[%d] is not a condition: { \"its name\", function(cart) ... end }, or one of the words")
        :format(where, i), 0)
    end
  end
end

local function is_count(value, least) return type(value) == "number" and value % 1 == 0 and value >= least end

local function check_example(example, i, where)
  if type(example) ~= "table" then error(("%s: examples[%d] is not a table"):format(where, i), 0) end
  local of = ("example %d (%s)"):format(i, tostring(example[1]))
  check_fields(example, M.example_fields, EXAMPLE_NEEDED, where, of)
  for sku, line in pairs(example.cart) do
    if type(line) ~= "table" or not is_count(line[1], 1) or not is_count(line[2], 0) then
      error(("%s: %s: '%s' is { quantity, unit price in minor units }"):format(where, of, tostring(sku)), 0)
    end
  end
end

-- Limits are those of a definition (price/facts).
local function check_limits(definition, where)
  local fields, limits = {}, {}
  for _, name in ipairs { "usage", "budget" } do
    fields[name], limits[name] = facts.definition.fields[name], definition[name]
  end
  local good, message = pcall(pack.check, { kind = "object", fields = fields }, limits)
  if not good then error(("%s: a rule's %s"):format(where, message), 0) end
end

local function check(definition, file)
  local where = file .. ":1"
  if type(definition) ~= "table" then error(where .. ": a rule file returns rule { ... }", 0) end
  check_fields(definition, M.fields, M.needed, where, "a rule")
  if not rawget(M.stages, definition.stage) then
    error(("%s: '%s' is no stage: item, order or shipping%s"):format(where, definition.stage,
      near(definition.stage, M.stages)), 0)
  end
  definitions.currency(definition.currency, where .. ": a rule")
  check_limits(definition, where)
  check_conditions(definition.when or {}, where)
  if #definition.examples == 0 then error(where .. ": 'examples' has none: what does a cart cost with it?", 0) end
  for i, example in ipairs(definition.examples) do check_example(example, i, where) end
end

-- The rule's conditions on the cart as rules see it.
local function seen_by_rules(list)
  local out = {}
  for i, condition in ipairs(list) do
    local test = condition[2]
    out[i] = { condition[1], function(cart) return test(offers.face(cart)) end, of = condition.of,
      unit = condition.unit, what = condition.what, need = condition.need }
  end
  return out
end

-- The promotion of a rule file.
function M.compile(definition, file, index)
  check(definition, file)
  local apply = definition.apply
  local kind = { stage = definition.stage, apply = function(cart) apply(offers.face(cart)) end }
  return {
    id = file:sub(#"promotions/" + 1, -5), doc = definition.doc, says = promotion.says(definition),
    index = index, priority = definition.priority or 0,
    exclusive = definition.exclusive, coupon = definition.coupon, currency = definition.currency,
    usage = definition.usage or {}, budget = definition.budget,
    conditions = conditions.sorted(seen_by_rules(definition.when or {})),
    period = window.period(definition.from, definition.to, file .. ":1: a rule"),
    stages = { [definition.stage] = { { kind = kind, action = {} } } },
    examples = definition.examples, from = definition.from, to = definition.to, file = file,
  }
end

return M
