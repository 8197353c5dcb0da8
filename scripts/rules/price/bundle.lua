-- bundle: units of several lines that cost less together than apart. The dearest units of each part go first, the later
-- line first where they cost the same, as in other promotions that pick units.

-- The lines of a part, in the order in which their units are picked; those before `from` have none left.
local function by_price(lines)
  lines.from = 1
  table.sort(lines, function(a, b)
    if a.unit_price ~= b.unit_price then return a.unit_price > b.unit_price end
    return a.number > b.number
  end)
  return lines
end

-- Adds `units` untouched units of a part to `picked` (line number -> units); false if there are too few.
local function pick(part, units, free, picked)
  while part[part.from] and free[part[part.from].number] == 0 do part.from = part.from + 1 end
  for i = part.from, #part do
    local number = part[i].number
    local taken = math.min(units, free[number] - (picked[number] or 0))
    if taken > 0 then picked[number] = (picked[number] or 0) + taken end
    units = units - taken
    if units == 0 then return true end
  end
  return false
end

-- One bundle: line number -> units, or nil if the units left make none.
local function next_bundle(parts, how, free)
  local picked = {}
  for i, part in ipairs(parts) do
    if not pick(part, how.parts[i][1], free, picked) then return nil end
  end
  return picked
end

-- How often the same bundle can be made of what is untouched.
local function repeated(picked, free, most)
  local times = most
  for number, units in pairs(picked) do times = math.min(times, math.floor(free[number] / units)) end
  return times
end

local function reduction(how, sum)
  if how.price then return math.max(0, sum - how.price) end
  return how.amount and math.min(how.amount, sum) or money.percent(sum, how.percent)
end

-- Takes the reduction of `times` such bundles off their lines, in proportion to what their units cost.
local function give(cart, how, picked, times, unit_price, free)
  local numbers, costs, sum = {}, {}, 0
  for number, units in pairs(picked) do
    numbers[#numbers + 1], costs[#costs + 1] = number, units * unit_price[number]
    sum = sum + costs[#costs]
    free[number] = free[number] - units * times
  end
  local off = reduction(how, sum)
  if off == 0 then return false end
  for i, part in ipairs(money.allocate(money.multiply(off, times), costs)) do
    cart.ledger:line_off(numbers[i], part)
  end
  return true
end

local function check(how)
  local ways = (how.price and 1 or 0) + (how.amount and 1 or 0) + (how.percent and 1 or 0)
  if ways ~= 1 then error("needs one of 'price', 'amount' and 'percent'", 0) end
  for _, part in ipairs(how.parts) do
    if type(part) ~= "table" or type(part[1]) ~= "number" or part[1] < 1 then
      error("a part is { units, what }", 0)
    end
  end
end

-- Gives a bundle of `how` as often as it fits: parts = list of { units, what }; price, amount or percent; times.
return function(cart, how)
  local parts, free, unit_price = {}, {}, {}
  check(how)
  for i, part in ipairs(how.parts) do
    parts[i] = by_price(cart:lines(part[2]))
    for _, line in ipairs(parts[i]) do free[line.number], unit_price[line.number] = line.quantity, line.unit_price end
  end
  local left = how.times or math.huge
  while left > 0 do
    local picked = next_bundle(parts, how, free)
    if not picked then return end
    local times = repeated(picked, free, left)
    if not give(cart, how, picked, times, unit_price, free) then return end
    left = left - times
  end
end
