-- last_units: half price on what is left of a range, but never below the article's floor price, which comes with the
-- cart: whatever a rule takes off, the ledger stops there.
return rule {
  doc = "Last units at half price, at most three of each, never below cost.",
  stage = "item",
  when = { at_least(1, category "clearance/last-units") },
  apply = function(cart)
    cart:percent_off { percent = 50, of = category "clearance/last-units", max_quantity = 3 }
  end,
  examples = {
    { "half price", cart = { CLOCK = { 1, 2000 } }, total = 1000 },
    { "the floor holds", cart = { CLOCK = { 1, 2000, floor = 1400 } }, total = 1400 },
    { "three of each", cart = { CLOCK = { 4, 2000 }, MIRROR = { 2, 1000 } }, total = 6000 },
  },
}
