-- free_shipping_by_zone: free delivery above an amount that is another one for each zone, and by the standard method
-- alone.
local FROM = { GB = 4000, IE = 6000, FR = 8000, DE = 8000 }

return rule {
  doc = "Free standard delivery: from 40.00 in the UK, 60.00 to Ireland, 80.00 to France and Germany.",
  stage = "shipping", currency = "GBP",
  when = {
    in_zone("GB", "IE", "FR", "DE"),
    { "spend enough for the zone", function(cart)
      return cart:total() >= FROM[cart.zone], cart:total(), FROM[cart.zone]
    end, unit = "money" },
  },
  apply = function(cart) cart:free_shipping { method = "standard" } end,
  examples = {
    { "enough at home", zone = "GB", cart = { LAMP = { 1, 4000 } }, shipping = { { method = "standard", fee = 395 } },
      total = 4000 },
    { "not enough for France", zone = "FR", cart = { LAMP = { 1, 4000 } },
      shipping = { { method = "standard", fee = 995 } }, total = 4995 },
    { "enough for France", zone = "FR", cart = { LAMP = { 2, 4000 } },
      shipping = { { method = "standard", fee = 995 } }, total = 8000 },
    { "never express", zone = "GB", cart = { LAMP = { 1, 4000 } }, shipping = { { method = "express", fee = 795 } },
      total = 4795 },
    { "nor elsewhere", zone = "US", cart = { LAMP = { 9, 4000 } }, shipping = { { method = "standard", fee = 1295 } },
      total = 37295 },
  },
}
