-- five_off_every_fifty: an amount for each full amount spent, but not on what is reduced already.
local EACH, OFF = 5000, 500

return rule {
  doc = "5.00 off for every full 50.00 spent on goods at full price.",
  stage = "order", currency = "GBP",
  when = { spend_at_least(EACH, full_price()) },
  apply = function(cart)
    local goods = full_price()
    cart:order_amount_off { amount = math.floor(cart:total(goods) / EACH) * OFF, of = goods }
  end,
  examples = {
    { "49.99", cart = { LAMP = { 1, 4999 } }, total = 4999 },
    { "50.00", cart = { LAMP = { 1, 5000 } }, total = 4500 },
    { "149.99", cart = { LAMP = { 1, 14999 } }, total = 13999 },
    { "150.00", cart = { LAMP = { 3, 5000 } }, total = 13500 },
  },
}
