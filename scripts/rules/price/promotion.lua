-- promotion: a definition (data) or a rule file (code) made ready: checked, its conditions compiled, its actions by
-- stage.

local actions = require "price.actions"
local conditions = require "price.conditions"
local near = require "lib.near"
local window = require "engine.window"

local M = {}

local is_amount, is_percent, ends_with = money.is_amount, money.is_percent, text.ends_with

-- Places are written out only for who is refused: `list`[`index`] is the promotion, its i-th action below it.
local function place(list, index, i)
  if i then return ("%s[%d].actions[%d]"):format(list, index, i) end
  return ("%s[%d]"):format(list, index)
end

-- What is wrong with the value, or nil.
local function wrong_value(kind, value)
  if kind.value == "none" then return nil end
  if value == nil then return "is missing" end
  if kind.value == "percent" then
    if is_percent(value) then return nil end
    return "a percentage from 0 to 100 with up to 4 places is expected"
  end
  if is_amount(value) and value >= 0 then return nil end
  return "an amount in minor units from 0 is expected"
end

-- Fields that only some types heed (those that an action's file `takes`).
local SOME = { "max_quantity", "buy_quantity", "get_quantity", "buy_filters", "times", "pick", "allocation" }
local OF_LINES = { "skus_any", "categories_any", "min_unit_price", "max_unit_price" }

-- The first of `names` that the table has and, if there are some, that is not among `known`; or nil.
local function first_of(names, has, known)
  for i = 1, #names do
    if has[names[i]] ~= nil and not (known and rawget(known, names[i])) then return names[i] end
  end
end

-- A filter that cannot do what it says here, and why; or nil.
local function wrong_filter(stage, filters, name)
  local least, most = filters.min_unit_price, filters.max_unit_price
  if stage == "shipping" then
    local other = first_of(OF_LINES, filters)
    if other then return name .. "." .. other, "is not for shipping" end
  elseif filters.methods_any then
    return name .. ".methods_any", "is for shipping"
  end
  if least and most and least > most then return name .. ".max_unit_price", "is below min_unit_price" end
end

-- Most actions have none of SOME: asked at once, it costs least.
local function has_some(action)
  return action.max_quantity or action.buy_quantity or action.get_quantity or action.buy_filters or action.times
    or action.pick or action.allocation
end

-- A field that the action would not heed, and why: who wrote it meant something else.
local function idle_field(kind, action)
  if kind.takes and has_some(action) then
    local idle = first_of(SOME, action, kind.takes)
    if idle then return idle, ("is not for '%s'"):format(action.type) end
    if action.buy_filters then
      local field, problem = wrong_filter(kind.stage, action.buy_filters, "buy_filters")
      if field then return field, problem end
    end
  end
  if action.filters then return wrong_filter(kind.stage, action.filters, "filters") end
end

-- The name of a field that is wrong and what is wrong with it, or nil.
local function wrong_action(definition, action, kind)
  if not kind then return "type", ("there is no action type '%s'%s"):format(action.type, near(action.type, actions)) end
  local problem = wrong_value(kind, action.value)
  if problem then return "value", problem end
  local field
  field, problem = idle_field(kind, action)
  if field then return field, problem end
  if action.type == "buy_x_get_y" then
    if not action.buy_quantity then return "buy_quantity", "is missing" end
    if not action.get_quantity then return "get_quantity", "is missing" end
  end
  if definition.level and (definition.level == "catalog") ~= (kind.stage == "catalog") then
    return "type", ("'%s' does not belong to level '%s'"):format(action.type, definition.level)
  end
end

local function kind_of(definition, action, list, index, i)
  local kind = actions[action.type]
  local field, problem = wrong_action(definition, action, kind)
  if field then refuse(("%s.%s: %s"):format(place(list, index, i), field, problem)) end
  return kind
end

local NONE = {}

-- Refuses what a shape cannot say of the promotion as a whole.
local function check(definition, list, index)
  local wanted, currency = definition.conditions, definition.currency
  if wanted and wanted.max_items_total and (wanted.min_items_total or 0) > wanted.max_items_total then
    refuse(place(list, index) .. ".conditions.max_items_total: is below min_items_total")
  end
  if currency and not pcall(money.exponent, currency) then
    refuse(("%s.currency: '%s' is no currency whose minor units are known"):format(place(list, index), currency))
  end
end

local function period_of(definition, list, index)
  local from, to = definition.starts_at, definition.ends_at
  if from == nil and to == nil then return NONE end
  return window.period(from, to, place(list, index), "starts_at", "ends_at")
end

-- Could anything bar it, besides being switched off?
local function is_open(definition)
  return not (definition.coupon or definition.currency or definition.starts_at or definition.ends_at
    or definition.usage or definition.budget)
end

-- What a customer reads of a promotion: its `says`, or its `doc` without the full stop.
function M.says(definition)
  local doc = definition.doc
  if definition.says or not doc then return definition.says end
  return ends_with(doc, ".") and doc:sub(1, -2) or doc
end

local function part_of(definition, list, index, i)
  local action = definition.actions[i]
  return { kind = kind_of(definition, action, list, index, i), action = action, filters = action.filters }
end

-- Its actions by stage. Most promotions have one: tables that are made with what they hold need not grow.
local function stages_of(definition, list, index)
  local first = part_of(definition, list, index, 1)
  local stages = { [first.kind.stage] = { first } }
  for i = 2, #definition.actions do
    local part = part_of(definition, list, index, i)
    local parts = stages[part.kind.stage]
    if parts then parts[#parts + 1] = part else stages[part.kind.stage] = { part } end
  end
  return stages
end

-- A promotion of `definition`, the index-th of `list`, whose name begins the messages about it.
function M.compile(definition, index, list)
  check(definition, list, index)
  local stages = stages_of(definition, list, index)
  return {
    id = definition.id or ("promotion " .. index), doc = definition.doc, says = M.says(definition),
    index = index, priority = definition.priority or 0, open = is_open(definition),
    exclusive = definition.exclusive, coupon = definition.coupon, currency = definition.currency,
    off = definition.enabled == false, undiscounted = definition.applies_to_discounted == false,
    usage = definition.usage or NONE, budget = definition.budget,
    conditions = definition.conditions and conditions.compile(definition.conditions) or NONE, stages = stages,
    period = period_of(definition, list, index),
  }
end

local function sooner(a, b)
  if a.priority ~= b.priority then return a.priority > b.priority end
  return a.index < b.index
end

-- Priority high to low, then in order of creation.
function M.sort(list)
  for i = 2, #list do
    if sooner(list[i], list[i - 1]) then
      table.sort(list, sooner)
      break
    end
  end
  return list
end

return M
