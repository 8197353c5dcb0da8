-- tax_rates: the rates that this pack holds, definitions/tax_rates.lua, checked when it is loaded.

local definitions = require "engine.definitions"
local facts = require "price.facts"
local window = require "engine.window"

local once = definitions.once "category"

return definitions.read("definitions/tax_rates", facts.tax_rate, function(rate, path)
  definitions.percent(rate.percent, path)
  window.period(rate.from, rate.to, path)
  -- Of two in force the later one counts: two that begin at once would be told by chance.
  once(("%s in %s from %s"):format(rate.category, rate.zone or "any zone", rate.from or "the beginning"), path)
end)
