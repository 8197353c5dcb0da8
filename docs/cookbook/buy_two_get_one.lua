-- buy_two_get_one: buy two, get one free: of every three mugs and cups the cheapest costs nothing.
return rule {
  doc = "Mugs and cups: buy two, get one free.",
  stage = "item",
  when = { at_least(3, category "kitchen/mugs-and-cups") },
  apply = function(cart) cart:cheapest_free { every = 3, of = category "kitchen/mugs-and-cups" } end,
  examples = {
    { "two are not three", cart = { MUG = { 2, 250 } }, total = 500 },
    { "the cheapest of three is free", cart = { MUG = { 2, 250 }, CUP = { 1, 150 } }, total = 500 },
    { "seven hold two threes", cart = { MUG = { 7, 250 } }, total = 1250 },
    { "other goods do not count", cart = { MUG = { 2, 250 }, VASE = { 4, 900, "home/vases-and-flowers" } },
      total = 4100 },
  },
}
