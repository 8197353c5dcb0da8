-- three_for_two_candles: of every three candles the cheapest is free.
return rule {
  doc = "Three for two on candles: the cheapest is free.",
  stage = "item",
  from = "2026-11-20T00:00:00Z", to = "2027-01-06T23:59:59Z",
  when = { at_least(3, category "lighting/candles") },
  apply = function(cart) cart:cheapest_free { every = 3, of = category "lighting/candles" } end,
  examples = {
    { "two candles, none free", cart = { CANDLE = { 2, 100 } }, total = 200 },
    { "six candles, two free", cart = { CANDLE = { 6, 100 } }, total = 400 },
    { "the cheapest is the free one", cart = { TALL = { 2, 300 }, SMALL = { 1, 100 } }, total = 600 },
    { "other things do not count", cart = { CANDLE = { 2, 100 }, MUG = { 5, 200, "kitchen" } }, total = 1200 },
  },
}
