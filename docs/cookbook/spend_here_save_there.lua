-- spend_here_save_there: what is spent on one category earns a percentage off another.
return rule {
  doc = "Spend 30.00 on lamps and candles are a quarter off.",
  stage = "item",
  when = { spend_at_least(3000, category "lighting/lamps") },
  apply = function(cart) cart:percent_off { percent = 25, of = category "lighting/candles" } end,
  examples = {
    { "enough on lamps", cart = { LAMP = { 1, 3000, "lighting/lamps" }, CANDLE = { 4, 200, "lighting/candles" } },
      total = 3600 },
    { "not enough", cart = { LAMP = { 1, 2900, "lighting/lamps" }, CANDLE = { 4, 200, "lighting/candles" } },
      total = 3700 },
    { "candles do not count as lamps", cart = { CANDLE = { 20, 200, "lighting/candles" } }, total = 4000 },
  },
}
