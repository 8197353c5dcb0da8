-- carts: facts of price.cart to try rules with, made up from the catalogue: the same in every run, so that what fails
-- once fails again.

local catalogue = require "services.rules.catalogue"

local M = {}

local array = fastr.json.array

local CARTS = 200

-- carts.sequence(seed) -> function(most): numbers from 1 to `most`, the same ones in every run.
function M.sequence(seed)
  return function(most)
    seed = (seed * 16807) % 2147483647
    return seed % most + 1
  end
end

local COUPONS = { "WELCOME", "nonsense" }
local ZONES = { "GB", "DE", "US" }

local function made_up(next_number, products)
  local lines, seen = array {}, {}
  for _ = 1, next_number(12) do
    local product = products[next_number(#products)]
    if not seen[product.sku] then
      seen[product.sku] = true
      lines[#lines + 1] = { sku = product.sku, quantity = next_number(next_number(4) == 1 and 500 or 6),
        unit_price = product.price, categories = array(product.categories), tax_category = "standard" }
    end
  end
  return { currency = "GBP", now = ("2026-%02d-%02dT12:00:00Z"):format(next_number(12), next_number(28)),
    zone = ZONES[next_number(3)], lines = lines, coupons = array { COUPONS[next_number(2)] },
    customer = { orders_placed = next_number(3) - 1 },
    shipping = array { { method = "standard", fee = 395, tax_category = "standard" } } }
end

-- Facts to try a pack with: made-up carts of the catalogue, then those of recorded orders.
function M.with(orders)
  local list, next_number, products = {}, M.sequence(20261127), catalogue.all()
  for i = 1, CARTS do list[i] = made_up(next_number, products) end
  for _, order in ipairs(orders) do list[#list + 1] = order.facts end
  return list
end

return M
