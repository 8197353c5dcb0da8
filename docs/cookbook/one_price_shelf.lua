-- one_price_shelf: everything on a shelf at one price; what is cheaper already stays so.
return rule {
  doc = "Everything for the garden at 5.00.",
  stage = "item", currency = "GBP",
  when = { at_least(1, category "garden") },
  apply = function(cart) cart:price_each { price = 500, of = category "garden" } end,
  examples = {
    { "dear ones", cart = { POT = { 2, 895 } }, total = 1000 },
    { "a cheap one", cart = { POT = { 1, 895 }, GLOVES = { 1, 250 } }, total = 750 },
    { "in a category below it", cart = { TROWEL = { 1, 695, "garden/tools" } }, total = 500 },
    { "elsewhere", cart = { VASE = { 1, 895, "home/vases-and-flowers" } }, total = 895 },
  },
}
