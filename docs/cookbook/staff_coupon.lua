-- staff_coupon: a code that is good for one group of customers only, whoever else may have got hold of it, and that no
-- other promotion comes on top of.
return rule {
  doc = "Staff: 25 % off everything with the code STAFF25, instead of other promotions.",
  stage = "order", coupon = "STAFF25", exclusive = true,
  when = { customer_in("staff", "family") },
  apply = function(cart) cart:order_percent_off { percent = 25 } end,
  examples = {
    { "staff with the code", customer = { group = "staff" }, cart = { LAMP = { 1, 2000 } }, total = 1500 },
    { "staff without it", customer = { group = "staff" }, coupons = {}, cart = { LAMP = { 1, 2000 } }, total = 2000 },
    { "the code in other hands", customer = { group = "retail" }, cart = { LAMP = { 1, 2000 } }, total = 2000 },
    { "written otherwise it is another code", customer = { group = "staff" }, coupons = { "staff25" },
      cart = { LAMP = { 1, 2000 } }, total = 2000 },
  },
}
