-- second_half_price: of every two, the cheaper one at half price. Of the units that are left, the dearest and the
-- cheapest make the next pair.
return rule {
  doc = "Cushions and textiles: the second one, the cheaper, at half price.",
  stage = "item",
  when = { at_least(2, category "home/textiles") },
  apply = function(cart) cart:cheapest_free { every = 2, percent = 50, of = category "home/textiles" } end,
  examples = {
    { "one alone", cart = { CUSHION = { 1, 1500 } }, total = 1500 },
    { "the cheaper one at half", cart = { CUSHION = { 1, 1500 }, MAT = { 1, 1000 } }, total = 2000 },
    { "three hold one pair", cart = { CUSHION = { 3, 1000 } }, total = 2500 },
    { "half a penny is rounded up", cart = { MAT = { 2, 99 } }, total = 149 },
  },
}
