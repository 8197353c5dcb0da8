-- every_tenth_order: a condition of one's own, for what no word says: the tenth, twentieth, thirtieth order.
return rule {
  doc = "Every tenth order: 10.00 off.",
  stage = "order", currency = "GBP",
  when = {
    { "every tenth order", function(cart)
      local placed = cart.customer and cart.customer.orders_placed or 0
      local stamps = placed % 10
      return stamps == 9, stamps, 9
    end },
  },
  apply = function(cart) cart:order_amount_off { amount = 1000 } end,
  examples = {
    { "the ninth", customer = { orders_placed = 8 }, cart = { LAMP = { 1, 3000 } }, total = 3000 },
    { "the tenth", customer = { orders_placed = 9 }, cart = { LAMP = { 1, 3000 } }, total = 2000 },
    { "the twentieth, and never below nothing", customer = { orders_placed = 19 }, cart = { CARD = { 1, 300 } },
      total = 0 },
    { "a guest", cart = { LAMP = { 1, 3000 } }, total = 3000 },
  },
}
