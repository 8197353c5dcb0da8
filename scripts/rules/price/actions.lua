-- actions: the kinds of promotion actions, one file each in price/actions/, found by file name: item_percent is
-- price/actions/item_percent.lua. A file returns { stage = "catalog" | "item" | "order" | "shipping", value =
-- "percent" |
-- "amount", apply = function(cart, action, lines) }. Adding a kind is adding a file.

local M = {}

for _, file in ipairs(pack.files "price/actions") do
  local name = file:sub(#"price/actions/" + 1, -5)
  M[name] = require("price/actions/" .. name)
end

return M
