-- catalogue: the products of the checkout's own data files, for tools that price without a shop.

local M = {}

local FOLDER = "data"

local products -- sku in upper case -> { sku, name, price, currency, categories }

local function load()
  package.path = FOLDER .. "/?.lua;" .. package.path
  local csv, categories = require "csv", require "categories"
  products = {}
  for row in csv.rows(FOLDER .. "/retail-products.csv") do
    products[row.sku:upper()] = { sku = row.sku, name = row.name, price = tonumber(row.price_minor),
      currency = row.currency, categories = categories.of(row.name) }
  end
end

-- The product, or nil.
function M.find(sku)
  if not products then load() end
  return products[sku:upper()]
end

return M
