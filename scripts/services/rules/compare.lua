-- compare: what two decisions on the same facts differ in: money, lines, and the first reason. What-if, replay, watch
-- and everything else that says "this would have changed" asks here.

local M = {}

local WORDING = { says = true, doc = true } -- of an entry: what people read, not what was decided

-- Is all that `before` has in `after` too? What `after` has beyond it did not exist yet, or was not kept. Lists must be
-- of one length.
local function holds(before, after, but)
  if before == after then return true end
  if type(before) ~= "table" or type(after) ~= "table" or #before ~= #after then return false end
  for key, value in pairs(before) do
    if not (but and but[key]) and not holds(value, after[key]) then return false end
  end
  return true
end

-- The first entry in which two traces differ: { index, before, after } (either may be missing), or nil. Wording is none
-- of it, unless `words` is true.
function M.traces(before, after, words)
  for i = 1, math.max(#before, #after) do
    if not holds(before[i], after[i], not words and WORDING) then
      return { index = i, before = before[i], after = after[i] }
    end
  end
end

local function has_rule(trace, rule)
  for _, entry in ipairs(trace) do
    if entry.rule == rule then return true end
  end
  return false
end

-- A difference of traces, told of the rule that one of them lacks rather than of two rules that have nothing to do with
-- each other.
local function of_one_rule(found, before, after)
  local old, new = found.before, found.after
  if not old or not new or old.rule == new.rule then return found end
  if not has_rule(before, new.rule) then return { index = found.index, after = new } end
  if not has_rule(after, old.rule) then return { index = found.index, before = old } end
  return found
end

-- ---- field by field -----------------------------------------------------------------------------------------------

-- The fields by name; those that hold more come first, for they say more closely what is other.
local function names_of(object)
  local names = {}
  for name in pairs(object) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    local first, second = type(object[a]) == "table", type(object[b]) == "table"
    if first ~= second then return first end
    return a < b
  end)
  return names
end

local first_of

local function first_of_list(before, after, path)
  for i = 1, math.max(#before, #after) do
    local found = first_of(before[i], after[i], ("%s[%d]"):format(path, i))
    if found then return found end
  end
end

function first_of(before, after, path)
  if before == after then return nil end
  if type(before) ~= "table" or type(after) ~= "table" then return { field = path, before = before, after = after } end
  if #before > 0 or #after > 0 then return first_of_list(before, after, path) end
  for _, name in ipairs(names_of(before)) do
    local found = first_of(before[name], after[name], path == "" and name or path .. "." .. name)
    if found then return found end
  end
end

-- The first field of `before`, a decision as far as it was kept, that `after` has otherwise: { field = "lines[2].tax",
-- before, after }, or nil. What `after` has beyond it is no difference: it was not kept, or did not exist yet.
function M.fields(before, after)
  return first_of(before, after, "")
end

-- ---- money --------------------------------------------------------------------------------------------------------

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

local function but_pack(decision)
  local rest = {}
  for name, value in pairs(decision) do
    if name ~= "pack" and name ~= "trace" then rest[name] = value end
  end
  return rest
end

-- What differs between two decisions of price.cart: nil if nothing, else { delta (minor units, positive: dearer), lines
-- = list of {number, sku, quantity, delta}, largest first, trace = as of M.traces, or, where the traces agree, first =
-- as of M.fields }.
function M.decisions(before, after)
  local trace = M.traces(before.trace, after.trace)
  local first = not trace and M.fields(but_pack(before), but_pack(after)) or nil
  if not trace and not first then return nil end
  trace = trace and of_one_rule(trace, before.trace, after.trace)
  return { delta = after.total - before.total, lines = lines(before, after), trace = trace, first = first }
end

return M
