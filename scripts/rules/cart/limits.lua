-- limits: how much of something one cart may hold, definitions/limits.lua, checked when the pack is loaded.

local definitions = require "engine.definitions"
local shape = require "engine.shape"
local window = require "engine.window"
local optional = shape.optional

local LIMIT = shape.object { id = shape.text { max = 60 }, doc = shape.text { max = 200 },
  most = shape.count { min = 1 }, per = optional(shape.text { values = { "line", "cart" } }),
  skus = optional(shape.texts),
  categories = optional(shape.texts), customer_groups = optional(shape.texts), zones = optional(shape.texts),
  starts_at = optional(shape.time), ends_at = optional(shape.time) }

local function set_of(list)
  if not list then return nil end
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

local function below_one_of(category, wanted)
  for _, name in ipairs(wanted) do
    if category == name or text.starts_with(category, name .. "/") then return true end
  end
  return false
end

local M, once = { list = {} }, definitions.once "id"

definitions.read("definitions/limits", LIMIT, function(limit, path)
  once(limit.id, path)
  M.list[#M.list + 1] = { id = limit.id, doc = limit.doc, most = limit.most, per = limit.per or "line",
    skus = set_of(limit.skus), categories = limit.categories, groups = set_of(limit.customer_groups),
    zones = set_of(limit.zones), period = window.period(limit.starts_at, limit.ends_at, path, "starts_at", "ends_at") }
end)

-- Is the limit for this cart: its customer, zone and moment (milliseconds; nil: none is known)?
function M.is_for(limit, facts, now)
  if limit.groups and not rawget(limit.groups, facts.customer and facts.customer.group or "none") then return false end
  if limit.zones and not rawget(limit.zones, facts.zone or "") then return false end
  return now == nil or window.outside(limit.period, now) == nil
end

-- Is it about this line? Without skus and categories it is about every one.
function M.is_about(limit, line)
  if not limit.skus and not limit.categories then return true end
  if limit.skus and rawget(limit.skus, line.sku) then return true end
  for _, category in ipairs(limit.categories and line.categories or {}) do
    if below_one_of(category, limit.categories) then return true end
  end
  return false
end

return M
