-- words: what decisions and their differences are called on a terminal.

local explain = require "lib.explain"
local money = require "lib.money"

local M = {}

-- 1234 -> "12.34"; the places are the currency's.
M.amount = money.decimal

-- The same with a sign always: "+1.20", "-18.20".
function M.change(minor, currency)
  return (minor > 0 and "+" or "") .. M.amount(minor, currency)
end

-- 4200 -> "4,200"
function M.count(n)
  local text = ("%d"):format(n)
  local head, tail = text:match("^(-?%d%d?%d?)(%d*)$")
  while #tail % 3 ~= 0 do head, tail = text:sub(1, #head - 1), text:sub(#head) end
  return head .. tail:gsub("%d%d%d", ",%0")
end

-- "1 order", "4,200 orders"
function M.many(n, what)
  return ("%s %s%s"):format(M.count(n), what, n == 1 and "" or "s")
end

function M.hash(text)
  return text:gsub("^sha256:", ""):sub(1, 7)
end

-- An entry of a trace in words: "not applied: at_least 3 of lighting/candles: has 2, needs 3".
M.entry = explain.entry

-- Where two traces part, in words.
function M.parting(trace, currency)
  local rule = (trace.before or trace.after).rule
  if trace.before and trace.after and trace.before.rule ~= trace.after.rule then
    return ("entry %d: %s %s; now %s %s"):format(trace.index, trace.before.rule, M.entry(trace.before, currency),
      trace.after.rule, M.entry(trace.after, currency))
  end
  return ("%s: %s; now %s"):format(rule, M.entry(trace.before, currency), M.entry(trace.after, currency))
end

local function shown(value)
  if value == nil then return "nothing" end
  if type(value) == "table" then return fastr.json.canonical(value) end
  return tostring(value)
end

-- Where two decisions part in a field, { field, before, after }: "lines[2].tax: 120, now 121".
function M.field(first)
  return ("%s: %s, now %s"):format(first.field, shown(first.before), shown(first.after))
end

return M
