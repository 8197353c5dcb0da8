-- tax: which rate applies to each tax category, by zone and moment; the ledger computes the amounts.

local window = require "engine.window"

local is_percent = money.is_percent
local ALWAYS = {}

local function period_of(rate, i)
  if rate.from == nil and rate.to == nil then return ALWAYS end
  return window.period(rate.from, rate.to, ("tax_rates[%d]"):format(i))
end

local function check(rate, i)
  if not is_percent(rate.percent) then
    refuse(("tax_rates[%d].percent: a percentage from 0 to 100 with up to 4 places is expected"):format(i))
  end
  period_of(rate, i)
end

-- Does rate `a` go before rate `b`? The zone's own before one of all zones, then the one that began later.
local function before(a, a_from, b, b_from)
  if (a.zone == nil) ~= (b.zone == nil) then return a.zone ~= nil end
  return a_from > b_from
end

-- The rate in force. Of two that nothing tells apart neither is taken: the facts are refused.
local function in_force(rates, category, zone, now)
  local best, best_from, tied
  for i = 1, #rates do
    local rate = rates[i]
    if rate.category == category and (rate.zone == nil or rate.zone == zone) then
      local period = period_of(rate, i)
      local from = period.from or -math.huge
      if not window.outside(period, now) then
        if not best or before(rate, from, best, best_from) then
          best, best_from, tied = rate, from, nil
        elseif not before(best, best_from, rate, from) then
          tied = i
        end
      end
    end
  end
  if tied then
    refuse(("tax_rates[%d]: another rate of '%s' is in force since the same time"):format(tied, category))
  end
  return best
end

-- Tells the ledger the rates of the categories that the facts name.
return function(ledger, facts, rates, zone, now)
  local seen, lines, last = {}, facts.lines, nil
  for i, rate in ipairs(facts.tax_rates or {}) do check(rate, i) end
  local function tell(category)
    if not category or seen[category] then return end
    seen[category] = true
    local rate = in_force(rates, category, zone, now)
    if rate then ledger:rate(category, rate.percent, rate.included or false, rate.zone) end
  end
  for i = 1, #lines do
    local category = lines[i].tax_category
    if category ~= last then tell(category) end -- neighbours are mostly taxed alike
    last = category
  end
  for _, shipment in ipairs(facts.shipping or {}) do tell(shipment.tax_category) end
end
