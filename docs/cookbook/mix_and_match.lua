-- mix_and_match: two of one category with one of another, whichever they are; the dearest ones go together first.
return rule {
  doc = "Two notebooks and a gift wrap of your choice: 20 % off the three.",
  stage = "item",
  when = { at_least(2, category "stationery/notebooks"), at_least(1, category "stationery/gift-wrap") },
  apply = function(cart)
    cart:bundle { parts = { { 2, category "stationery/notebooks" }, { 1, category "stationery/gift-wrap" } },
      percent = 20 }
  end,
  examples = {
    { "one of each is not enough", cart = { BOOK = { 1, 400, "stationery/notebooks" },
      WRAP = { 1, 200, "stationery/gift-wrap" } }, total = 600 },
    { "two and one", cart = { BOOK = { 2, 400, "stationery/notebooks" }, WRAP = { 1, 200, "stationery/gift-wrap" } },
      total = 800 },
    { "a third notebook at its price, the cheapest", cart = { BOOK = { 2, 400, "stationery/notebooks" },
      JOTTER = { 1, 100, "stationery/notebooks" }, WRAP = { 2, 200, "stationery/gift-wrap" } }, total = 1100 },
  },
}
