-- bundle_price: some articles that belong together cost less than apart.
return rule {
  doc = "Teapot, milk jug and sugar bowl together for 25.00.",
  stage = "item",
  when = { at_least(1, sku "TEAPOT"), at_least(1, sku "JUG"), at_least(1, sku "BOWL") },
  apply = function(cart)
    cart:bundle { parts = { { 1, sku "TEAPOT" }, { 1, sku "JUG" }, { 1, sku "BOWL" } }, price = 2500 }
  end,
  examples = {
    { "the set", cart = { TEAPOT = { 1, 1800 }, JUG = { 1, 700 }, BOWL = { 1, 600 } }, total = 2500 },
    { "without the bowl there is no set", cart = { TEAPOT = { 1, 1800 }, JUG = { 1, 700 } }, total = 2500 },
    { "two sets and a third pot", cart = { TEAPOT = { 3, 1800 }, JUG = { 2, 700 }, BOWL = { 2, 600 } }, total = 6800 },
    { "in a sale they may be cheaper apart", cart = { TEAPOT = { 1, 1200 }, JUG = { 1, 700 }, BOWL = { 1, 500 } },
      total = 2400 },
  },
}
