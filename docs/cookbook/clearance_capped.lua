-- clearance_capped: a percentage that ends at an amount, so that a reseller does not empty the shelf at 40 % off.
return rule {
  doc = "Clearance: 40 % off, at most 50.00 an order.",
  stage = "order", currency = "GBP",
  when = { at_least(1, category "clearance") },
  apply = function(cart) cart:order_percent_off { percent = 40, of = category "clearance", at_most = 5000 } end,
  examples = {
    { "40 %", cart = { LAMP = { 1, 2500 } }, total = 1500 },
    { "the cap is just reached", cart = { LAMP = { 5, 2500 } }, total = 7500 },
    { "and holds", cart = { LAMP = { 10, 2500 } }, total = 20000 },
    { "other goods keep their price", cart = { LAMP = { 1, 2500 }, VASE = { 1, 1000, "home/vases-and-flowers" } },
      total = 2500 },
  },
}
