-- The shop's opening catalogue, derived from the retailer's two files: what is sold, where it stands in the shop, and
-- how many are on the shelf. The same input always gives the same output.
--
-- usage: luajit data/catalogue.lua [FOLDER]      (from the repository's root; FOLDER of the CSV files, default data)
-- Prints one product a line, fields separated by tabs, in the text format of PostgreSQL's COPY:
-- sku, name, price in minor units, currency, categories (an array, {a,b}), units in stock.
package.path = "data/?.lua;" .. package.path
local categories = require "categories"
local csv = require "csv"

local folder = arg[1] or "data"
-- Beyond what the invoices sell, so that a visitor can still buy after they were placed.
local RESERVE = 100

-- Units that the invoices sell of each SKU (as the catalogue writes it); cancellations give nothing back.
local function sold()
  local units = {}
  for row in csv.rows(folder .. "/retail-orders.csv") do
    local quantity, sku = tonumber(row.quantity), row.sku:upper()
    if quantity > 0 then units[sku] = (units[sku] or 0) + quantity end
  end
  return units
end

local function escape(text)
  return (text:gsub("\\", "\\\\"):gsub("\t", " "):gsub("\n", " "))
end

local units = sold()
for row in csv.rows(folder .. "/retail-products.csv") do
  local name = row.name:gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", " ")
  print(table.concat({ escape(row.sku), escape(name), row.price_minor, row.currency,
    "{" .. table.concat(categories.of(name), ",") .. "}", (units[row.sku:upper()] or 0) + RESERVE }, "\t"))
end
