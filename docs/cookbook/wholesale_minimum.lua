-- wholesale_minimum: trade terms: a group of customers, above a least order value and a least quantity.
return rule {
  doc = "Trade customers: 15 % off orders of 250.00 or more and 50 pieces or more.",
  stage = "order", priority = 20,
  when = { customer_in "wholesale", at_least(50), spend_at_least(25000) },
  apply = function(cart) cart:order_percent_off { percent = 15 } end,
  examples = {
    { "a trade order", customer = { group = "wholesale" }, cart = { LAMP = { 50, 600 } }, total = 25500 },
    { "too few pieces", customer = { group = "wholesale" }, cart = { LAMP = { 49, 600 } }, total = 29400 },
    { "too little", customer = { group = "wholesale" }, cart = { CARD = { 60, 400 } }, total = 24000 },
    { "everybody else", cart = { LAMP = { 50, 600 } }, total = 30000 },
  },
}
