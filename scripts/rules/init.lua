-- init: what this pack decides. Each decision point is a file, found by its name: price.cart is price/cart.lua.

local check_needs = require "engine.needs"
local prove = require "engine.prove"

local points = {
  ["price.cart"] = require "price.cart",
  ["cart.accept"] = require "cart.accept",
  ["shipping.options"] = require "shipping.options",
  ["order.accept"] = require "order.accept",
  ["order.transition"] = require "order.transition",
  ["payment.route"] = require "payment.route",
  ["notify.select"] = require "notification.select",
}

check_needs(points)

return {
  points = points,
  prove = function(check) return prove(points, check) end,
  -- Per decision; instructions and values grow with the facts (per_value: for each value in them).
  budget = { instructions = 4000000, per_value = 4000, ms = 200, memory_kb = 32768, values = 3000000 },
}
