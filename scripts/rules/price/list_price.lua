-- list_price: which row of a price table is a line's list price. The row for the currency whose quantities hold the
-- line's and all of whose rules match; most rules first, then the highest least quantity, then the lowest amount. Rows
-- that nothing of this tells apart are refused.

local window = require "engine.window"

local function one_of(value, wanted)
  if type(wanted) ~= "table" then return value == wanted end
  for _, each in ipairs(wanted) do
    if each == value then return true end
  end
  return false
end

-- The number of rules if all of them match, else nil.
local function rules_matched(rules, facts, zone, now, path)
  local count = 0
  if not rules then return 0 end
  local period = window.period(rules.from, rules.to, path .. ".rules")
  if period.from or period.to then
    if window.outside(period, now) then return nil end
    count = (period.from and 1 or 0) + (period.to and 1 or 0)
  end
  if rules.customer_group then
    if not (facts.customer and one_of(facts.customer.group, rules.customer_group)) then return nil end
    count = count + 1
  end
  if rules.zone then
    if not one_of(zone, rules.zone) then return nil end
    count = count + 1
  end
  return count
end

local function better(row, rules, best, best_rules)
  if rules ~= best_rules then return rules > best_rules end
  local least, best_least = row.min_quantity or 0, best.min_quantity or 0
  if least ~= best_least then return least > best_least end
  return row.amount < best.amount
end

-- Is it a text, or a list of some texts and of nothing else?
local function is_texts(value)
  if type(value) == "string" then return true end
  if type(value) ~= "table" or #value == 0 then return false end
  local count = 0
  for _, each in pairs(value) do
    if type(each) ~= "string" then return false end
    count = count + 1
  end
  return count == #value
end

local function check(row, path)
  if (row.min_quantity or 0) > (row.max_quantity or math.huge) then
    refuse(path .. ".max_quantity: is below min_quantity")
  end
  if not pcall(money.exponent, row.currency) then
    refuse(("%s.currency: '%s' is no currency whose minor units are known"):format(path, row.currency))
  end
  for _, name in ipairs { "customer_group", "zone" } do
    local wanted = row.rules and row.rules[name]
    if wanted ~= nil and not is_texts(wanted) then
      refuse(("%s.rules.%s: a text or a list of texts is expected"):format(path, name))
    end
  end
end

-- The texts in a defined order, so that lists of the same are the same.
local function joined(value)
  if type(value) ~= "table" then return value or "" end
  local list = {}
  for i, each in ipairs(value) do list[i] = each end
  table.sort(list)
  return table.concat(list, "|")
end

-- Equal for rows that nothing tells apart, not even the amount. A moment is the same in each zone of time.
local function key_of(row, path)
  local rules = row.rules or {}
  local period = window.period(rules.from, rules.to, path .. ".rules")
  return table.concat({ row.currency, row.amount, row.min_quantity or 0, row.max_quantity or "",
    joined(rules.customer_group), joined(rules.zone), period.from or "", period.to or "" }, "\n")
end

-- Rows of different amounts, as nearly all are, need no key.
local function amounts_differ(rows)
  local seen = {}
  for i = 1, #rows do
    local amount = rows[i].amount
    if seen[amount] then return false end
    seen[amount] = true
  end
  return true
end

local function refuse_twins(rows, path)
  if amounts_differ(rows) then return end
  local seen = {}
  for i, row in ipairs(rows) do
    local here = ("%s.prices[%d]"):format(path, i)
    check(row, here)
    local key = key_of(row, here)
    if rawget(seen, key) then refuse(("%s: ties with prices[%d], which says the same"):format(here, seen[key])) end
    seen[key] = i
  end
end

local function pick(line, facts, zone, now, path)
  local best, best_rules
  if line.prices[2] then refuse_twins(line.prices, path) end
  for i, row in ipairs(line.prices) do
    local here = ("%s.prices[%d]"):format(path, i)
    check(row, here)
    local rules = rules_matched(row.rules, facts, zone, now, here)
    local holds = row.currency == facts.currency and line.quantity >= (row.min_quantity or 0)
      and line.quantity <= (row.max_quantity or math.huge)
    if holds and rules and (not best or better(row, rules, best, best_rules)) then best, best_rules = row, rules end
  end
  return best
end

-- Sets the list price of every line that has a price table. A row's zone is where the cart is sent, else the default.
return function(facts, zone, now)
  local lines = facts.lines
  for i = 1, #lines do
    local line = lines[i]
    if line.prices then
      local row = pick(line, facts, zone, now, ("lines[%d]"):format(i))
      if row then line.unit_price = row.amount end
    end
    if not line.unit_price then
      refuse(("lines[%d].unit_price: there is no price of '%s' in %s"):format(i, line.sku, facts.currency))
    end
  end
end
