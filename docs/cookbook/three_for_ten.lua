-- three_for_ten: any three of a shelf for a round price, mixed as one likes. The dearest three go first; a three that
-- costs less than that anyway stays as it is.
return rule {
  doc = "Any three frames for 10.00.",
  stage = "item", currency = "GBP",
  when = { at_least(3, category "home/frames") },
  apply = function(cart) cart:bundle { parts = { { 3, category "home/frames" } }, price = 1000 } end,
  examples = {
    { "two are not three", cart = { FRAME = { 2, 450 } }, total = 900 },
    { "three of a kind", cart = { FRAME = { 3, 450 } }, total = 1000 },
    { "mixed, and a fourth at its price", cart = { FRAME = { 3, 450 }, SMALL = { 1, 295 } }, total = 1295 },
    { "six are two threes", cart = { FRAME = { 6, 450 } }, total = 2000 },
    { "cheap ones stay cheap", cart = { SMALL = { 3, 295 } }, total = 885 },
  },
}
