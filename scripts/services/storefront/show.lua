-- show: what the services answer, as the templates show it: words, prices, pictures and addresses of pages.

local art = require "services.storefront.art"
local sorted = require "lib.sorted"
local url = require "lib.url"
local words = require "services.storefront.words"

local M = {}

local FEW = 10

-- ---- words --------------------------------------------------------------------------------------------------------

-- The catalogue shouts: "WHITE HANGING HEART" -> "White hanging heart". What has a small letter stays as it is.
function M.name(text)
  if text:find("%l") then return text end
  return (text:lower():gsub("^%l", string.upper))
end

-- "home/wall-clocks" -> "Wall clocks"
function M.category(path)
  return ((path:match("([^/]*)$"):gsub("-", " "):gsub("^%l", string.upper)))
end

function M.category_href(path)
  return "/products?" .. url.query { category = path }
end

-- The steps to a category: {called, href} of each ancestor and of itself.
function M.path_to(category)
  local list, path = {}, nil
  for part in (category or ""):gmatch("[^/]+") do
    path = path and path .. "/" .. part or part
    list[#list + 1] = { called = M.category(path), href = M.category_href(path) }
  end
  return list
end

-- ---- pictures -----------------------------------------------------------------------------------------------------

-- The address of a picture says how it is drawn, and of what: what it shows never changes.
local DRAWING = fastr.crypto.sha256(fastr.asset("services/storefront/art.lua")):sub(1, 8) .. ".svg"

function M.art(name)
  return "/art/" .. DRAWING .. "?" .. url.query { name = name }
end

-- The picture of such an address; nil: it is not of this drawing.
function M.drawing(file, name)
  if file == DRAWING and name then return art.draw(name) end
end

-- ---- products -----------------------------------------------------------------------------------------------------

local function stock(language, available)
  if available <= 0 then return words.say(language, "out_of_stock"), "none" end
  if available <= FEW then return words.say(language, "few_left", { n = available }), "few" end
  return words.say(language, "in_stock", { n = available }), "good"
end

local function lowest(language, product)
  local money = product.lowest_price_30d
  if type(money) ~= "table" then return false end
  return words.say(language, "lowest", { price = words.money(language, money) })
end

-- A product's card, and most of its page.
function M.product(language, product)
  local says, level = stock(language, product.available)
  -- Without a lowest price it never cost more, and is not said to have.
  local is_reduced = product.list_price.amount > product.price.amount and type(product.lowest_price_30d) == "table"
  return { sku = product.sku, name = M.name(product.name), href = "/products/" .. url.encode(product.sku),
    art = M.art(product.name), price = words.money(language, product.price),
    was = is_reduced and words.money(language, product.list_price) or false,
    lowest = is_reduced and lowest(language, product), stock = says, level = level }
end

function M.products(language, products)
  local list = {}
  for i, product in ipairs(products) do list[i] = M.product(language, product) end
  return list
end

-- ---- lines and sums -----------------------------------------------------------------------------------------------

function M.line(language, line)
  local saved = line.discount.amount > 0
    and words.say(language, "saved", { amount = words.money(language, line.discount) })
  local path = url.encode(line.sku)
  return { sku = line.sku, name = M.name(line.name), href = "/products/" .. path, set = "/cart/lines/" .. path,
    art = M.art(line.name), quantity = ("%d"):format(line.quantity), saved = saved or false, trouble_here = false,
    each = words.say(language, "each", { price = words.money(language, line.unit_price) }),
    line_total = words.money(language, line.total) }
end

local function negative(language, money)
  return words.money(language, { amount = -money.amount, currency = money.currency })
end

-- The parts of a total in the order in which they add up; parts that are nothing are left out. `is_open`: how it is
-- sent is not known yet.
function M.sum(language, totals, is_open)
  local parts = {}
  local function add(key, text) parts[#parts + 1] = { label = words.say(language, key), amount = text } end
  add("items", words.money(language, totals.items))
  if totals.discount.amount > 0 then add("discount", negative(language, totals.discount)) end
  add("shipping_costs", is_open and words.say(language, "shipping_later")
    or totals.shipping.amount == 0 and words.say(language, "free") or words.money(language, totals.shipping))
  if totals.shipping_discount.amount > 0 then
    add("shipping_discount", negative(language, totals.shipping_discount))
  end
  if totals.tax.amount > 0 then add("tax", words.money(language, totals.tax)) end
  return parts
end

-- The sum's fields of a page.
function M.totals(language, model, totals, is_open)
  model.parts, model.total = M.sum(language, totals, is_open), words.money(language, totals.total)
  if totals.gift_cards and totals.gift_cards.amount > 0 then
    model.paid_by_gift_cards = { { amount = negative(language, totals.gift_cards),
      due = words.money(language, totals.due) } }
  end
  model.tax_included = totals.tax_included.amount > 0
    and words.say(language, "tax_included", { amount = words.money(language, totals.tax_included) })
  return model
end

-- ---- addresses ----------------------------------------------------------------------------------------------------

local ADDRESS = { "name", "line1", "line2", "city", "region", "postcode" }

M.COUNTRIES = { GB = "United Kingdom", IE = "Ireland", DE = "Deutschland", FR = "France", NL = "Nederland",
  BE = "België", AT = "Österreich", CH = "Schweiz", ES = "España", PT = "Portugal", IT = "Italia", PL = "Polska",
  NO = "Norge", SE = "Sverige", DK = "Danmark", FI = "Suomi", US = "United States", AU = "Australia", JP = "日本" }

function M.address(address)
  local list = {}
  for _, field in ipairs(ADDRESS) do
    if address[field] and address[field] ~= "" then list[#list + 1] = address[field] end
  end
  list[#list + 1] = M.COUNTRIES[address.country] or address.country
  return list
end

function M.countries(chosen)
  local list = {}
  for _, code in ipairs(sorted.keys(M.COUNTRIES)) do
    list[#list + 1] = { code = code, called = M.COUNTRIES[code], chosen = code == chosen }
  end
  table.sort(list, function(a, b) return a.called < b.called end)
  return list
end

return M
