-- buy_one_get_other: what is bought of one kind makes as many of another kind cheaper.
return rule {
  doc = "With every teapot a tea towel at half price.",
  stage = "item",
  when = { at_least(1, sku "TEAPOT"), at_least(1, sku("TOWEL", "TOWELSET")) },
  apply = function(cart)
    cart:buy_get { buy = 1, of = sku "TEAPOT", get = 1, get_of = sku("TOWEL", "TOWELSET"), percent = 50 }
  end,
  examples = {
    { "a pot and a towel", cart = { TEAPOT = { 1, 1800 }, TOWEL = { 1, 500 } }, total = 2050 },
    { "one towel for each pot", cart = { TEAPOT = { 2, 1800 }, TOWEL = { 3, 500 } }, total = 4600 },
    { "the dearer one is the reduced one", cart = { TEAPOT = { 1, 1800 }, TOWEL = { 1, 500 }, TOWELSET = { 1, 900 } },
      total = 2750 },
    { "towels alone", cart = { TOWEL = { 2, 500 } }, total = 1000 },
  },
}
