-- examples: the examples of rule files, proved: { "name", cart = { SKU = { quantity, unit price [, category, floor =] }
-- }, total = }. Each meets its rule alone; one that does not hold is shown with what the rule did instead.

local promotions = require "price.promotions"
local window = require "engine.window"
local words = require "price.words"

local SHOWN = 4 -- lines of a cart: a message has its room

local function line_of(rule, sku, line)
  local categories = { line[3] }
  for _, condition in ipairs(rule.conditions) do
    for _, name in ipairs(not line[3] and words.categories(condition.of) or {}) do
      categories[#categories + 1] = name
    end
  end
  return { sku = sku, quantity = line[1], unit_price = line[2], categories = categories, floor_price = line.floor }
end

local function facts_of(rule, example)
  local lines = {}
  for sku, line in pairs(example.cart) do lines[#lines + 1] = line_of(rule, sku, line) end
  return { currency = rule.currency or "GBP", now = example.now or rule.from or "2026-11-23T12:00:00Z", lines = lines,
    zone = example.zone, customer = example.customer, coupons = example.coupons or { rule.coupon },
    shipping = example.shipping }
end

local function total_of(cart)
  local total = cart.ledger:total()
  for i = 1, cart.shipments do total = total + cart.ledger:fee_left(i) end
  return total
end

-- What became of the rule: "applied -40", "not applied: at_least 5 of mugs: has 4, needs 5".
local function outcome(cart, rule, given)
  if cart.barred[rule] then return "not applied: " .. cart.barred[rule] end
  if cart.failed[1] then
    local name, actual, wanted = unpack(cart.failed)
    return ("not applied: %s: has %s, needs %s"):format(name, tostring(actual), tostring(wanted))
  end
  return given == 0 and "applied, and took nothing off" or "applied -" .. given
end

local function told(cart, rule, before, total)
  local parts = {}
  for i = 1, math.min(cart.count, SHOWN) do
    local line = cart.ledger:line(i)
    parts[i] = ("\n    %s  %d x %d  %d"):format(line.sku, line.quantity, line.list_price, line.total)
  end
  if cart.count > SHOWN then parts[#parts + 1] = ("\n    and %d more lines"):format(cart.count - SHOWN) end
  parts[#parts + 1] = ("\n    %s  %s"):format(rule.id, outcome(cart, rule, before - total))
  return table.concat(parts)
end

local function prove_one(open_cart, rule, example, i)
  local facts = facts_of(rule, example)
  local cart = open_cart(facts, window.time(facts.now, "now"), "none", {})
  cart.failed = {}
  local before = total_of(cart)
  promotions.apply(cart, { rule })
  local total = total_of(cart)
  if total ~= example.total then
    refuse(("%s:1: example %d (%s): total is %d, expected %d%s"):format(rule.file, i, example[1], total, example.total,
      told(cart, rule, before, total)))
  end
end

-- Proves the examples of the promotions that are on: how many there are. `open_cart`(facts, now, explain, blocked).
return function(open_cart, list)
  local count = 0
  for _, rule in ipairs(list) do
    for i, example in ipairs(not rule.off and rule.examples or {}) do
      prove_one(open_cart, rule, example, i)
      count = count + 1
    end
  end
  return count
end
