-- decision: what price.cart costs from facts table to decision table, copies between states included, beside a plain
-- Lua function of five simple rules that neither checks, rounds, caps nor explains. Run by bin/bench:
--
--   fastr run bench.decision time CASE SECONDS   -> nanoseconds a call
--   fastr run bench.decision count CASE CALLS    -> nothing: calls it so often, for valgrind to count in
--
-- Cases: plain; pack.LEVEL (the five promotions and the tax rates are the pack's, as in the shop) and facts.LEVEL (they
-- come with the facts, as in a quote), LEVEL none, applied or full; lines.N (and 50 promotions), promotions.N (and
-- 600 lines) and matching.N (of N promotions 20 could apply to the cart), with explain applied.

local M = {}

local PROMOTIONS = "definitions/promotions.lua"
local NO_RULE = [[return rule { doc = "Never.", stage = "item", when = { at_least(1, sku "none") },
  apply = function() end, examples = { { "nothing", cart = {}, total = 0 } } }]]

local function facts_of_quote()
  local text = assert(fastr.files.read("bench/load/cart.json"))
  return assert(fastr.json.decode(text))
end

-- A Lua literal of plain data, as a file of the pack would hold it.
local function literal(value)
  if value == fastr.json.null then return "1000000" end -- the one null of the cart: `times`, as often as it fits
  if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
  local out = {}
  for key, each in pairs(value) do
    out[#out + 1] = type(key) == "number" and literal(each) or ("[%q] = %s"):format(key, literal(each))
  end
  return "{ " .. table.concat(out, ", ") .. " }"
end

local function pack_with(promotions)
  local pack = assert(fastr.rules.open("scripts/rules"))
  if not promotions then return pack end
  pack = assert(pack:with("promotions/three_for_two_candles.lua", NO_RULE))
  return assert(pack:with(PROMOTIONS, "return " .. literal(promotions)))
end

-- ---- the plain function ----------------------------------------------------------------------------------------

local function within(line, category)
  for _, each in ipairs(line.categories) do
    if each == category or each:sub(1, #category + 1) == category .. "/" then return true end
  end
  return false
end

-- The five promotions of bench/load/cart.json as one would write them down for oneself, in floating point.
local function plain(facts)
  local subtotal, discount, toys, candles, cheapest, fee = 0, 0, 0, 0, math.huge, 0
  for _, line in ipairs(facts.lines) do
    local amount = line.unit_price * line.quantity
    subtotal = subtotal + amount
    if within(line, "home/decor") then discount = discount + math.floor(amount * 0.1 + 0.5) end
    if within(line, "toys") then toys = toys + line.quantity end
    if within(line, "lighting/candles") then
      candles = candles + line.quantity
      cheapest = math.min(cheapest, line.unit_price)
    end
  end
  if candles >= 3 then discount = discount + math.floor(candles / 3) * cheapest end
  if toys >= 10 then discount = discount + 100 end
  if subtotal - discount >= 15000 then discount = discount + math.floor((subtotal - discount) * 0.075 + 0.5) end
  for _, shipment in ipairs(facts.shipping) do fee = fee + shipment.fee end
  if facts.coupons[1] == "WELCOME" and subtotal - discount >= 5000 then fee = 0 end
  return { subtotal = subtotal, discount = discount, shipping = fee, total = subtotal - discount + fee }
end

-- ---- the cases ----------------------------------------------------------------------------------------

local function decide(pack, facts, explain)
  local options = { explain = explain }
  return function() return assert(pack:decide("price.cart", facts, options)) end
end

local function of_facts(explain) return decide(pack_with(), facts_of_quote(), explain) end

local function of_pack(explain)
  local facts = facts_of_quote()
  local pack = pack_with(facts.promotions)
  facts.promotions, facts.tax_rates = nil, nil
  return decide(pack, facts, explain)
end

-- `lines` lines of ten categories, and `count` promotions that take off one of them each.
local function large(lines, count)
  local facts, promotions = { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = {} }, {}
  for i = 1, lines do
    facts.lines[i] = { sku = "S" .. i, quantity = i % 7 + 1, unit_price = 100 + i, tax_category = "standard",
      categories = { "top/c" .. i % 10 } }
  end
  for i = 1, count do
    promotions[i] = { id = "p" .. i, priority = i, conditions = { min_quantity = 2 },
      actions = { { type = i % 2 == 0 and "item_percent" or "order_percent", value = 1,
        filters = { categories_any = { "top/c" .. i % 10 } } } } }
  end
  return decide(pack_with(promotions), facts, "applied")
end

-- Twenty lines, each of which one promotion of the `count` needs.
local function matching(count)
  local facts, promotions = { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = {} }, {}
  for i = 1, 20 do facts.lines[i] = { sku = "S" .. i, quantity = 2, unit_price = 100 + i } end
  for i = 1, count do
    promotions[i] = { id = "p" .. i, conditions = { contains_skus_any = { "S" .. i } },
      actions = { { type = "item_percent", value = 1, filters = { skus_any = { "S" .. i } } } } }
  end
  return decide(pack_with(promotions), facts, "applied")
end

local function of_plain()
  local facts = facts_of_quote()
  jit.off(plain)
  jit.off(within)
  return function() return plain(facts) end
end

local cases = { plain = of_plain, pack = of_pack, facts = of_facts,
  matching = function(count) return matching(tonumber(count)) end,
  lines = function(count) return large(tonumber(count), 50) end,
  promotions = function(count) return large(600, tonumber(count)) end }

local function case_of(name)
  local kind, detail = name:match("^(%a+)%.?(%w*)$")
  return assert(cases[kind], "unknown case")(detail)
end

-- ---- measuring ----------------------------------------------------------------------------------------

-- The least that a call took in rounds of a few milliseconds each: what else runs only ever adds.
local function best(call, seconds)
  local least, stop, times = math.huge, os.clock() + seconds, 1
  repeat
    local begun = os.clock()
    for _ = 1, times do call() end
    local took = os.clock() - begun
    if took >= 0.002 then least = math.min(least, took / times) else times = times * 2 end
  until os.clock() > stop
  return least
end

function M.main(arguments)
  local what, case, number = arguments[1], arguments[2], tonumber(arguments[3])
  local call = case_of(case)
  if what == "time" then
    print(("%.0f"):format(best(call, number) * 1e9))
  else
    for _ = 1, number do call() end
  end
end

return M
