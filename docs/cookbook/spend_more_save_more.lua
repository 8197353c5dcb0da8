-- spend_more_save_more: thresholds on what is spent, the higher the more: 5 % from 50.00, 10 % from 100.00, 15 % from
-- 200.00, each of the whole order.
local STEPS = { { 5000, 5 }, { 10000, 10 }, { 20000, 15 } }

return rule {
  doc = "Spend more, save more: 5 % off from 50.00, 10 % from 100.00, 15 % from 200.00.",
  stage = "order",
  when = { spend_at_least(5000) },
  apply = function(cart) cart:order_percent_off { percent = tier(cart:total(), STEPS) } end,
  examples = {
    { "a penny short", cart = { LAMP = { 1, 4999 } }, total = 4999 },
    { "the first step", cart = { LAMP = { 1, 5000 } }, total = 4750 },
    { "the second", cart = { LAMP = { 2, 5000 } }, total = 9000 },
    { "the third, of everything", cart = { LAMP = { 5, 5000 } }, total = 21250 },
  },
}
