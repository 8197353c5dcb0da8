-- happy_hour: quiet hours of quiet weekdays. The shop's clocks are those of London; this is for the winter, when they
-- show UTC (in summer: offset = "+01:00").
return rule {
  doc = "Happy hour: 10 % off everything on Tuesdays and Thursdays from 17:00 to 19:00.",
  stage = "order",
  from = "2026-11-01T00:00:00Z", to = "2027-03-27T23:59:59Z",
  when = { during { days = { "tuesday", "thursday" }, from = "17:00", to = "19:00" } },
  apply = function(cart) cart:order_percent_off { percent = 10 } end,
  examples = {
    { "it begins", now = "2026-11-24T17:00:00Z", cart = { LAMP = { 1, 2000 } }, total = 1800 },
    { "a moment before it ends", now = "2026-11-26T18:59:59Z", cart = { LAMP = { 1, 2000 } }, total = 1800 },
    { "it is over", now = "2026-11-24T19:00:00Z", cart = { LAMP = { 1, 2000 } }, total = 2000 },
    { "not on a Wednesday", now = "2026-11-25T18:00:00Z", cart = { LAMP = { 1, 2000 } }, total = 2000 },
  },
}
