-- gift_with_purchase: a gift above an amount. Rules take something off and add nothing, so the shopper (or the shop's
-- page) puts the gift into the cart; one of it is free, and it does not count towards the amount.
local GIFT = sku "GIFTBAG"

return rule {
  doc = "A gift bag with 35.00 or more of other goods.",
  stage = "item",
  when = { at_least(1, GIFT), spend_at_least(3500, except(GIFT)) },
  apply = function(cart) cart:percent_off { percent = 100, of = GIFT, max_quantity = 1 } end,
  examples = {
    { "the gift is free", cart = { LAMP = { 1, 3500 }, GIFTBAG = { 1, 300 } }, total = 3500 },
    { "one of it", cart = { LAMP = { 1, 3500 }, GIFTBAG = { 3, 300 } }, total = 4100 },
    { "the gift does not pay for itself", cart = { LAMP = { 1, 3400 }, GIFTBAG = { 1, 300 } }, total = 3700 },
    { "who takes none gets none", cart = { LAMP = { 1, 3500 } }, total = 3500 },
  },
}
