-- compare: what two decisions on the same facts differ in: money, lines, and the first reason. What-if, replay, watch
-- and everything else that says "this would have changed" asks here.

local M = {}

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- The first entry in which two traces differ: { index, before, after } (either may be missing), or nil.
function M.traces(before, after)
  for i = 1, math.max(#before, #after) do
    if not same(before[i], after[i]) then return { index = i, before = before[i], after = after[i] } end
  end
end

local function lines(before, after)
  local changed = {}
  for i, line in ipairs(after.lines or {}) do
    local old = before.lines and before.lines[i]
    if old and old.total ~= line.total then
      changed[#changed + 1] = { number = i, sku = line.sku, quantity = line.quantity, delta = line.total - old.total }
    end
  end
  table.sort(changed, function(a, b)
    if math.abs(a.delta) ~= math.abs(b.delta) then return math.abs(a.delta) > math.abs(b.delta) end
    return a.number < b.number
  end)
  return changed
end

-- What differs between two decisions of price.cart: nil if nothing, else { delta (minor units, positive: dearer), lines
-- = list of {number, sku, quantity, delta}, largest first, trace }.
function M.decisions(before, after)
  local trace = M.traces(before.trace, after.trace)
  local delta = after.total - before.total
  local changed = lines(before, after)
  if delta == 0 and not trace and #changed == 0 then return nil end
  return { delta = delta, lines = changed, trace = trace }
end

return M
