-- promotion: a definition (data) or a rule file (code) made ready: checked, its conditions compiled, its actions by
-- stage.

local actions = require "price.actions"
local conditions = require "price.conditions"
local window = require "engine.window"

local M = {}

local function check_value(kind, action, path)
  if kind.value == "none" then return end
  if action.value == nil then refuse(path .. ".value: is missing") end
  if kind.value == "percent" then
    local good = pcall(money.less_percent, 0, action.value)
    if not good then refuse(path .. ".value: a percentage from 0 to 100 with up to 4 places is expected") end
  else
    local good = pcall(money.check, action.value)
    if not good or action.value < 0 then refuse(path .. ".value: an amount in minor units from 0 is expected") end
  end
end

local function check_action(definition, action, path)
  local kind = rawget(actions, action.type)
  if not kind then refuse(("%s.type: there is no action type '%s'"):format(path, action.type)) end
  check_value(kind, action, path)
  if action.type == "buy_x_get_y" then
    if not action.buy_quantity then refuse(path .. ".buy_quantity: is missing") end
    if not action.get_quantity then refuse(path .. ".get_quantity: is missing") end
  end
  if definition.level and (definition.level == "catalog") ~= (kind.stage == "catalog") then
    refuse(("%s.type: '%s' does not belong to level '%s'"):format(path, action.type, definition.level))
  end
  return kind
end

-- A promotion of `definition`, the index-th of its list; `path` begins the messages about it.
function M.compile(definition, index, path)
  local stages = {}
  for i, action in ipairs(definition.actions) do
    local kind = check_action(definition, action, ("%s.actions[%d]"):format(path, i))
    local list = stages[kind.stage] or {}
    stages[kind.stage] = list
    list[#list + 1] = { kind = kind, action = action, filters = action.filters }
  end
  local usage, budget = definition.usage or {}, definition.budget
  return {
    id = definition.id or ("promotion " .. index), doc = definition.doc, index = index,
    priority = definition.priority or 0,
    exclusive = definition.exclusive, coupon = definition.coupon, currency = definition.currency,
    off = definition.enabled == false, undiscounted = definition.applies_to_discounted == false,
    usage = usage, budget = budget, conditions = conditions.compile(definition.conditions), stages = stages,
    period = window.period(definition.starts_at, definition.ends_at, path, "starts_at", "ends_at"),
  }
end

-- Priority high to low, then in order of creation.
function M.sort(list)
  table.sort(list, function(a, b)
    if a.priority ~= b.priority then return a.priority > b.priority end
    return a.index < b.index
  end)
  return list
end

return M
