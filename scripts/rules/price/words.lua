-- words: what a rule file says what it is about and when it holds with. Besides Lua and the pack's modules a rule file
-- can name these; `rule` itself is one of them.

local M = {}

-- ---- what a condition or an adjustment is about --------------------------------------------------------------------

local function texts(word, list)
  if #list == 0 then error(word .. " needs at least one name", 3) end
  for _, each in ipairs(list) do
    if type(each) ~= "string" then error(("%s takes texts, not a %s"):format(word, type(each)), 3) end
  end
  return list
end

-- What is named, as category and the others give it.
local function lines_meant(word, of, level)
  if of ~= nil and (type(of) ~= "table" or not (of.categories_any or of.skus_any or of.but or of.full_price)) then
    error(("%s: of what? category \"...\", sku \"...\", except or full_price say it, not a %s"):format(word, type(of)),
      level or 3)
  end
  return of
end

M.lines_meant = lines_meant

-- Lines of any of these categories, or below one of them.
function M.category(...) return { categories_any = texts("category", { ... }) } end

-- Lines of any of these SKUs.
function M.sku(...) return { skus_any = texts("sku", { ... }) } end

-- What `of` names (the whole cart without it), but not what `what` names.
function M.except(what, of)
  if what == nil then error("except needs what is left out", 2) end
  return { but = lines_meant("except", what), of = lines_meant("except", of) }
end

-- What `of` names (the whole cart without it), as far as nothing has been taken off its lines yet.
function M.full_price(of) return { full_price = true, of = lines_meant("full_price", of) } end

-- The ledger's selection of the lines that are meant; 0 is the whole cart.
function M.select(cart, of)
  if not of then return 0 end
  if of.but then return (cart.ledger:without(M.select(cart, of.of), M.select(cart, of.but))) end
  if of.full_price then return (cart.ledger:undiscounted(M.select(cart, of.of))) end
  return cart.lines_for(of)
end

-- The categories that are named, for lines of examples that name none.
function M.categories(of)
  if not of then return {} end
  return of.categories_any or M.categories(of.of)
end

local function named(of)
  if not of then return "the cart" end
  if of.but then return named(of.of) .. " except " .. named(of.but) end
  if of.full_price then return named(of.of) .. " at full price" end
  return table.concat(of.categories_any or of.skus_any, " or ")
end

-- ---- conditions: { name, function(cart) -> holds, actual, wanted; of =, unit =, what =, need = } --------------------

-- What a cart must have for a condition of at least `n` to hold: for the index.
local function need(n, of)
  if not of or n < 1 then return nil end
  if of.but or of.full_price then return need(n, of.of) end
  return { kind = of.skus_any and "skus" or "categories", keys = of.skus_any or of.categories_any }
end

local function number(word, value)
  if type(value) ~= "number" then error(("%s needs a number, not a %s"):format(word, type(value)), 3) end
  return value
end

-- At least n units of what is named (of the whole cart without it).
function M.at_least(n, of)
  number("at_least", n)
  lines_meant("at_least", of)
  return { "at_least " .. n .. " of " .. named(of), function(cart)
    local actual = cart.ledger:quantity(M.select(cart, of))
    return actual >= n, actual, n
  end, of = of, unit = "units", what = named(of), need = need(n, of) }
end

-- What is named costs at least the amount now.
function M.spend_at_least(amount, of)
  number("spend_at_least", amount)
  lines_meant("spend_at_least", of)
  return { "spend_at_least " .. amount .. " on " .. named(of), function(cart)
    local actual = cart.ledger:total(M.select(cart, of))
    return actual >= amount, actual, amount
  end, of = of, unit = "money", what = named(of), need = need(amount, of) }
end

local function one_of(word, list, kind, read)
  local among, wanted = {}, table.concat(list, " or ")
  for _, each in ipairs(list) do among[each] = true end
  return { word .. " " .. wanted, function(cart)
    local actual = read(cart)
    return actual ~= nil and rawget(among, actual) == true, actual or "none", wanted
  end, need = kind and { kind = kind, keys = list } }
end

-- The customer is of one of these groups.
function M.customer_in(...)
  return one_of("customer_in", texts("customer_in", { ... }), "groups", function(cart)
    return cart.customer and cart.customer.group
  end)
end

-- The goods are sent to one of these zones.
function M.in_zone(...)
  return one_of("in_zone", texts("in_zone", { ... }), nil, function(cart) return cart.zone end)
end

local function orders_placed(cart) return cart.customer and cart.customer.orders_placed end

-- The n-th order of a known customer.
function M.nth_order(n)
  number("nth_order", n)
  return { "nth_order " .. n, function(cart)
    local placed = orders_placed(cart)
    return placed ~= nil and placed + 1 == n, placed and placed + 1 or 0, n
  end }
end

-- A known customer who has placed at least n orders before this one.
function M.orders_at_least(n)
  number("orders_at_least", n)
  return { "orders_at_least " .. n, function(cart)
    local placed = orders_placed(cart)
    return placed ~= nil and placed >= n, placed or 0, n
  end }
end

-- ---- the hours of a week -------------------------------------------------------------------------------------------

local DAYS = { "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday" }
local DAY_MINUTES, MINUTE_MS, THURSDAY = 24 * 60, 60000, 3 -- 1970 began on a Thursday

-- Minutes of "17:30" since midnight; "24:00" is the day's end. `level` is that of the rule file, for its line.
local function minutes(value, level)
  local hour = type(value) == "string" and #value == 5 and value:sub(3, 3) == ":" and tonumber(value:sub(1, 2))
  local minute = hour and tonumber(value:sub(4, 5))
  if not minute or minute > 59 or hour * 60 + minute > DAY_MINUTES then
    error(("during: '%s' is not a time of day such as 17:30"):format(tostring(value)), level)
  end
  return hour * 60 + minute
end

local function offset_of(value)
  if value == nil then return 0 end
  local sign = type(value) == "string" and value:sub(1, 1)
  if sign ~= "+" and sign ~= "-" then error("during: an offset is such as +01:00", 3) end
  return minutes(value:sub(2), 4) * (sign == "-" and -1 or 1)
end

local function days_of(list)
  local set = {}
  for _, day in ipairs(DAYS) do set[day] = list == nil end
  for _, day in ipairs(list or {}) do
    if rawget(set, day) == nil then error(("during: '%s' is not a day such as monday"):format(tostring(day)), 3) end
    set[day] = true
  end
  return set
end

-- On these days of the week, from one time of day until before another (past midnight if it is the earlier one), as
-- clocks show them that are `offset` ahead of UTC: during { days = { "friday" }, from = "17:00", to = "19:00",
-- offset = "+01:00" }. All days, all day and UTC if they are not said.
function M.during(when)
  local days, offset = days_of(when.days), offset_of(when.offset)
  local from, to = minutes(when.from or "00:00", 3), minutes(when.to or "24:00", 3)
  local wanted = ("%s %s-%s"):format(when.days and table.concat(when.days, ",") or "daily", when.from or "00:00",
    when.to or "24:00")
  return { "during " .. wanted, function(cart)
    local minute = math.floor(cart.now / MINUTE_MS) + offset
    local at, day = minute % DAY_MINUTES, DAYS[(math.floor(minute / DAY_MINUTES) + THURSDAY) % 7 + 1]
    local inside = from <= to and at >= from and at < to or from > to and (at >= from or at < to)
    return days[day] and inside, ("%s %02d:%02d"):format(day, math.floor(at / 60), at % 60), wanted
  end }
end

-- ---- help for `apply` ----------------------------------------------------------------------------------------------

-- What stands beside the highest step that `value` reaches, or nil: tier(n, { { 10, 5 }, { 50, 8 } }) is 5 from 10
-- to 49.
function M.tier(value, steps)
  local best
  for _, step in ipairs(steps) do
    if value >= step[1] and (not best or step[1] > best[1]) then best = step end
  end
  return best and best[2]
end

function M.rule(definition) return definition end

return M
