-- loyal_customers: the more orders somebody has placed, the more off, by steps: bronze, silver, gold.
local STEPS = { { 3, 3 }, { 10, 5 }, { 25, 8 } }

return rule {
  doc = "Loyalty: 3 % off after 3 orders, 5 % after 10, 8 % after 25.",
  stage = "order",
  when = { orders_at_least(3) },
  apply = function(cart) cart:order_percent_off { percent = tier(cart.customer.orders_placed, STEPS) } end,
  examples = {
    { "two orders so far", customer = { orders_placed = 2 }, cart = { LAMP = { 1, 1000 } }, total = 1000 },
    { "three", customer = { orders_placed = 3 }, cart = { LAMP = { 1, 1000 } }, total = 970 },
    { "gold", customer = { orders_placed = 40 }, cart = { LAMP = { 1, 1000 } }, total = 920 },
    { "a guest", cart = { LAMP = { 1, 1000 } }, total = 1000 },
  },
}
