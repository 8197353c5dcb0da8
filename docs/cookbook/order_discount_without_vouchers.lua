-- order_discount_without_vouchers: an order discount that some goods take no part in, neither in reaching the threshold
-- nor in what is taken off.
local GOODS = except(category "gifts/vouchers")

return rule {
  doc = "10 % off 60.00 or more of anything but gift vouchers.",
  stage = "order",
  when = { spend_at_least(6000, GOODS) },
  apply = function(cart) cart:order_percent_off { percent = 10, of = GOODS } end,
  examples = {
    { "goods", cart = { LAMP = { 1, 6000, "lighting/lamps" } }, total = 5400 },
    { "a voucher keeps its price", cart = { LAMP = { 1, 6000, "lighting/lamps" },
      VOUCHER = { 1, 2000, "gifts/vouchers" } }, total = 7400 },
    { "a voucher does not help to reach it", cart = { LAMP = { 1, 5000, "lighting/lamps" },
      VOUCHER = { 1, 2000, "gifts/vouchers" } }, total = 7000 },
  },
}
