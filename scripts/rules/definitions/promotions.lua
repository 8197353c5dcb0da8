-- promotions: the promotions that are data. Amounts are in minor units; a definition with a currency applies to it
-- alone.
return {
  { id = "ten_off_over_150", doc = "10 % off orders of 150.00 or more.", currency = "GBP", priority = 10,
    starts_at = "2026-11-01T00:00:00Z", ends_at = "2027-01-31T23:59:59Z", conditions = { min_items_total = 15000 },
    actions = { { type = "order_percent", value = 10 } } },
  { id = "welcome", doc = "5 % off everything on a customer's first order, with the code WELCOME.", coupon = "WELCOME",
    conditions = { nth_order = 1 }, actions = { { type = "item_percent", value = 5 } } },
}
