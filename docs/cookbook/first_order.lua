-- first_order: a welcome for who orders for the first time and has an account; a guest's orders are not known.
return rule {
  doc = "5.00 off a first order of 30.00 or more.",
  stage = "order", currency = "GBP",
  when = { nth_order(1), spend_at_least(3000) },
  apply = function(cart) cart:order_amount_off { amount = 500 } end,
  examples = {
    { "the first order", customer = { orders_placed = 0 }, cart = { LAMP = { 1, 3000 } }, total = 2500 },
    { "the second", customer = { orders_placed = 1 }, cart = { LAMP = { 1, 3000 } }, total = 3000 },
    { "a guest", cart = { LAMP = { 1, 3000 } }, total = 3000 },
    { "too small", customer = { orders_placed = 0 }, cart = { LAMP = { 1, 2999 } }, total = 2999 },
  },
}
