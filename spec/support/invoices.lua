-- invoices: the retailer's real invoices as facts of price.cart, without a shop: what rules are proved on in specs.
--
-- M.orders(pack, most): at most so many, as recorded orders that `pack` (of fastr.rules.open) decided, in the order of
-- the file.

local catalogue = require "services.rules.catalogue"

local M = {}

local array = fastr.json.array

local function grouped()
  local list, by_number = {}, {}
  for row in require("data.csv").rows("data/retail-orders.csv") do
    local product, quantity = catalogue.find(row.sku), tonumber(row.quantity)
    if product and quantity > 0 and quantity < 10000 then
      if not by_number[row.invoice] then
        by_number[row.invoice] = { number = row.invoice, at = row.at, lines = array {} }
        list[#list + 1] = by_number[row.invoice]
      end
      local lines = by_number[row.invoice].lines
      lines[#lines + 1] = { sku = product.sku, quantity = quantity, unit_price = product.price,
        categories = array(product.categories), tax_category = "standard" }
    end
  end
  return list
end

function M.orders(pack, most)
  local orders = {}
  for i, invoice in ipairs(grouped()) do
    if i > most then break end
    local facts = { currency = "GBP", now = "2026-11-23T10:00:00Z", zone = "GB", lines = invoice.lines,
      shipping = array { { method = "standard", fee = 395, tax_category = "standard" } } }
    local decision, message = pack:decide("price.cart", facts)
    if not decision then error(invoice.number .. ": " .. message) end
    orders[i] = { id = ("00000000-0000-7000-8000-%012d"):format(i), number = invoice.number, placed_at = invoice.at,
      total = decision.total, due = decision.due, currency = "GBP", facts = facts, decision = decision,
      pack = pack:hash(), abi = 1 }
  end
  return orders
end

return M
