-- init: what this pack decides. Each decision point is a file, found by its name: price.cart is price/cart.lua.

local check_needs = require "engine.needs"
local prove = require "engine.prove"

local points = {
  ["price.cart"] = require "price.cart",
  ["price.limits"] = require "price.limits",
  ["price.definitions"] = require "price.definitions",
  ["price.taxed"] = require "price.taxed",
  ["cart.accept"] = require "cart.accept",
  ["shipping.options"] = require "shipping.options",
  ["order.accept"] = require "order.accept",
  ["order.transition"] = require "order.transition",
  ["payment.route"] = require "payment.route",
  ["notify.select"] = require "notification.select",
}

check_needs(points)

-- What follows when a decision goes past its budget: "refuse" (503 with the rule's name), "previous" (the version
-- before is asked once, then it is refused), or an answer that stands until the rule is mended. A point says so itself.
local breach = {}
for name, point in pairs(points) do
  breach[name] = point.breach or "previous"
  if type(breach[name]) == "table" then pack.check(point.answer, breach[name]) end
end

return {
  points = points,
  breach = breach,
  prove = function(check) return prove(points, check) end,
  -- Per decision; instructions and values grow with the facts (per_value: for each value in them).
  budget = { instructions = 4000000, per_value = 4000, ms = 200, memory_kb = 32768, values = 3000000 },
}
