-- methods: the shipping methods that this pack holds, definitions/shipping.lua, checked when it is loaded.
--
-- A method costs a flat `fee`, or by the items' total one of `fees` ({ from =, fee = }, ascending from 0), nothing from
-- `free_from`. Another fee in other zones is another definition of the same method with those zones.

local definitions = require "engine.definitions"
local shape = require "engine.shape"
local tax_rates = require "price.tax_rates"
local count, optional = shape.count, shape.optional

local METHOD = shape.object { method = shape.text { max = 40 }, name = shape.text { max = 80 },
  zones = optional(shape.list(shape.text { max = 20 }, { min = 1, max = 300 })),
  currency = shape.text { min = 3, max = 3 }, fee = optional(count()),
  fees = optional(shape.list(shape.object { from = count(), fee = count() }, { min = 1, max = 50 })),
  free_from = optional(count { min = 1 }), tax_category = optional(shape.text()) }

local function wrong(path, reason) error(path .. ": " .. reason, 0) end

local function check_fees(method, path)
  if (method.fee == nil) == (method.fees == nil) then wrong(path, "either fee or fees is needed") end
  for i, step in ipairs(method.fees or {}) do
    local before = method.fees[i - 1]
    local is_good = step.from == 0
    if before then is_good = step.from > before.from end
    if not is_good then wrong(("%s.fees[%d].from"):format(path, i), "the first is from 0, each next one from more") end
  end
end

local categories = {}
for _, rate in ipairs(tax_rates) do categories[rate.category] = true end

local once = definitions.once "method"

return definitions.read("definitions/shipping", METHOD, function(method, path)
  definitions.currency(method.currency, path)
  definitions.known(method.tax_category, categories, path, "tax_category")
  check_fees(method, path)
  for _, zone in ipairs(method.zones or { "every other zone" }) do
    once(("%s in %s for %s"):format(method.method, zone, method.currency), path)
  end
end)
