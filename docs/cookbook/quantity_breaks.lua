-- quantity_breaks: the price list of a wholesaler: the more of one article, the less each of them costs.
local BREAKS = { { 10, 5 }, { 50, 10 }, { 100, 15 } }

return rule {
  doc = "10 or more of an article 5 % off, 50 or more 10 %, 100 or more 15 %.",
  stage = "item",
  apply = function(cart)
    for _, line in ipairs(cart:lines()) do
      local percent = tier(line.quantity, BREAKS)
      if percent then cart:percent_off { percent = percent, of = sku(line.sku) } end
    end
  end,
  examples = {
    { "nine", cart = { BOX = { 9, 100 } }, total = 900 },
    { "ten", cart = { BOX = { 10, 100 } }, total = 950 },
    { "each article by itself", cart = { BOX = { 50, 100 }, TIN = { 9, 100 } }, total = 5400 },
    { "a hundred", cart = { BOX = { 100, 99 } }, total = 8400 },
  },
}
