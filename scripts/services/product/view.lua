-- view: how a product is shown: described in a sentence where staff wrote none.

local problem = require "lib.problem"

local M = {}

-- The last part of a category's path as words: "home/wall-clocks" -> "wall clocks".
function M.category_name(path)
  return (path:match("([^/]*)$"):gsub("-", " "))
end

-- Categories with all their ancestors, each once: {"a/b"} -> {"a", "a/b"}.
function M.with_ancestors(categories)
  local seen, all = {}, {}
  for _, path in ipairs(categories) do
    local prefix
    for part in path:gmatch("[^/]+") do
      prefix = prefix and prefix .. "/" .. part or part
      if not seen[prefix] then
        seen[prefix], all[#all + 1] = true, prefix
      end
    end
  end
  return all
end

-- What can truthfully be said of a product when only its name and its categories are known.
local function sentence(product)
  local category = product.categories[1]
  local name = product.name:lower():gsub("^%l", string.upper)
  if not category then return name .. "." end
  return name .. ", from our " .. M.category_name(category):lower() .. " range."
end

local function show(row, priced)
  local lowest = priced.lowest and { amount = priced.lowest, currency = row.currency }
  return {
    sku = row.sku, name = row.name, description = row.description ~= "" and row.description or sentence(row),
    categories = fastr.json.array(row.categories), tax_category = row.tax_category,
    price = { amount = priced.price, currency = row.currency },
    list_price = { amount = row.price, currency = row.currency }, lowest_price_30d = lowest or fastr.json.null,
    available = row.available, version = row.version,
  }
end

-- Rows of the store as products of the API; `priced`: what they cost (prices.shown).
function M.products(rows, priced)
  local items = {}
  for i, row in ipairs(rows) do items[i] = show(row, priced[i]) end
  return items
end

-- There is no such product.
function M.not_found(sku)
  return problem.new("product_not_found", { detail = "There is no product " .. sku })
end

-- ---- cursors ------------------------------------------------------------------------------------------------------

-- Where the next page begins: the sort it belongs to, and the last row's sort key (a text: it may be a number that a
-- double does not hold) and sku.
function M.cursor(sort, key, sku)
  return fastr.crypto.base64url(fastr.json.encode({ sort, key, sku }))
end

-- {key, sku} of a cursor of this sort, else nil.
function M.read_cursor(cursor, sort)
  local text = fastr.crypto.unbase64url(cursor)
  local parts = text and fastr.json.decode(text)
  if type(parts) ~= "table" or parts[1] ~= sort then return nil end
  if type(parts[2]) ~= "string" or type(parts[3]) ~= "string" then return nil end
  if sort ~= "name" and sort ~= "-name" and (#parts[2] > 18 or not parts[2]:find("^-?%d+$")) then return nil end
  return { parts[2], parts[3] }
end

return M
