-- catalogue: the products of the checkout's own data files, for tools that price without a shop.

local M = {}

local FOLDER = "data"

local products -- sku in upper case -> { sku, name, price, currency, categories }
local list     -- the same, in the order of the file

local function load()
  local csv, categories = require "data.csv", require "data.categories"
  products, list = {}, {}
  for row in csv.rows(FOLDER .. "/retail-products.csv") do
    local product = { sku = row.sku, name = row.name, price = tonumber(row.price_minor), currency = row.currency,
      categories = categories.of(row.name) }
    products[row.sku:upper()], list[#list + 1] = product, product
  end
end

-- All products.
function M.all()
  if not products then load() end
  return list
end

-- Their SKUs in upper case, as keys.
function M.skus()
  if not products then load() end
  return products
end

-- The product, or nil.
function M.find(sku)
  if not products then load() end
  return products[sku:upper()]
end

return M
