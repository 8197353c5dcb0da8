-- report: what a pack would have changed in recorded orders, summed up in money.

local compare = require "services.rules.compare"
local words = require "services.rules.words"

local M = {}

function M.new()
  return { orders = 0, sums = {}, deltas = {}, changes = {}, failures = {}, instructions = 0 }
end

-- The order's decision as far as it was recorded.
local function as_placed(order)
  local lines = {}
  for i, total in ipairs(order.line_totals) do lines[i] = { total = total } end
  return { total = order.total, trace = order.trace, lines = lines }
end

M.as_placed = as_placed

-- Adds one recorded order and what pack:decide made of its facts: `after`, `info` (nil and a message if it failed).
-- `before`: the decision to compare with; nil: what was charged. Returns `after`.
function M.add(tally, order, before, after, info)
  tally.orders = tally.orders + 1
  tally.sums[order.currency] = (tally.sums[order.currency] or 0) + order.total
  if not after then
    tally.failures[#tally.failures + 1] = { number = order.number, message = info }
    return
  end
  tally.instructions = tally.instructions + info.instructions
  local difference = compare.decisions(before or as_placed(order), after)
  if not difference then return after end
  difference.number, difference.currency = order.number, order.currency
  tally.changes[#tally.changes + 1] = difference
  tally.deltas[order.currency] = (tally.deltas[order.currency] or 0) + difference.delta
  return after
end

-- The change that moves most money, or nil.
function M.worst(tally)
  local worst
  for _, change in ipairs(tally.changes) do
    if not worst or math.abs(change.delta) > math.abs(worst.delta) then worst = change end
  end
  return worst
end

-- "536544  -18.20  84077 x 14  three_for_two: not applied ...; now applied -18.20"
function M.one(change)
  local line = change.lines[1]
  return ("%s  %s%s%s"):format(change.number, words.change(change.delta, change.currency),
    line and ("  %s x %d"):format(line.sku, line.quantity) or "",
    change.trace and "  " .. words.parting(change.trace, change.currency) or "")
end

local function money(tally)
  local parts = {}
  for currency, delta in pairs(tally.deltas) do
    local sum = tally.sums[currency]
    parts[#parts + 1] = ("%s %s (%+.1f %%)"):format(words.change(delta, currency), currency,
      sum > 0 and delta * 100 / sum or 0)
  end
  table.sort(parts)
  return table.concat(parts, ", ")
end

-- "431 real orders: 31 change, -212.40 GBP (-0.9 %)"
function M.line(tally)
  local text = ("%s real orders: "):format(words.count(tally.orders))
  if #tally.failures > 0 then
    local first = tally.failures[1]
    text = text .. ("%d FAIL, order %s: %s; "):format(#tally.failures, first.number, first.message)
  end
  if #tally.changes == 0 then return text .. "none changes" end
  return text .. ("%s change, %s"):format(words.count(#tally.changes), money(tally))
end

-- The ten changes of a sign that move most money.
local function largest(changes, sign)
  local list = {}
  for _, change in ipairs(changes) do
    if change.delta * sign > 0 then list[#list + 1] = change end
  end
  table.sort(list, function(a, b)
    if a.delta ~= b.delta then return a.delta * sign > b.delta * sign end
    return a.number < b.number
  end)
  for i = #list, 11, -1 do list[i] = nil end
  return list
end

local function show_each(title, list)
  if #list == 0 then return end
  print(title)
  for _, change in ipairs(list) do print("  " .. M.one(change)) end
end

-- Prints the sum and the ten largest changes each way.
function M.show(tally)
  print(M.line(tally))
  show_each("dearer:", largest(tally.changes, 1))
  show_each("cheaper:", largest(tally.changes, -1))
end

return M
