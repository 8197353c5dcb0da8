-- browse: the pages on which one looks around: the start, categories and searches, a product.

local page = require "services.storefront.page"
local problem = require "lib.problem"
local show = require "services.storefront.show"
local url = require "lib.url"
local visits = require "services.storefront.visit"
local words = require "services.storefront.words"

local M = {}

local SHELVES, FROM_EACH = 6, 2 -- on the start page
local ON_PAGE = 24

-- What was done by the form before, in words; false: nothing.
function M.notice(visit, query)
  local key = query.notice and query.notice:match("^[%l_]+$")
  return key and words.find(visit.language, "notice_" .. key, { about = query.about or "" }) or false
end

local function many(visit, n)
  return words.say(visit.language, "found", { n = n })
end

local function is_root(path)
  return not path:find("/", 1, true)
end

-- The categories right below `parent` (nil: the roots), as links.
local function below(visit, categories, parent)
  local list = {}
  for _, each in ipairs(categories) do
    local rest = parent and each.path:sub(1, #parent + 1) == parent .. "/" and each.path:sub(#parent + 2)
    if (not parent and is_root(each.path)) or (rest and is_root(rest)) then
      list[#list + 1] = { called = show.category(each.path), href = show.category_href(each.path),
        many = many(visit, each.products), art = show.art(each.path:match("([^/]*)$")) }
    end
  end
  return list
end

-- The shelves with most on them.
local function largest(categories)
  local roots = {}
  for _, each in ipairs(categories) do
    if is_root(each.path) then roots[#roots + 1] = each end
  end
  table.sort(roots, function(a, b)
    if a.products ~= b.products then return a.products > b.products end
    return a.path < b.path
  end)
  for i = #roots, SHELVES + 1, -1 do roots[i] = nil end
  return roots
end

-- Some products of each of these categories; a shelf that cannot be read is left out.
local function along(visit, shelves)
  local asked, products = {}, {}
  for i, shelf in ipairs(shelves) do
    local query = url.query { category = shelf.path, in_stock = true, sort = "newest", limit = FROM_EACH }
    asked[i] = function() return visits.ask(visit, "product", "GET /products?" .. query) end
  end
  for _, result in ipairs(#asked > 0 and fastr.all(asked) or {}) do
    for _, product in ipairs(result[1] and result[1].items or {}) do products[#products + 1] = product end
  end
  return products
end

function M.home(visit, ctx)
  local categories, failed = visits.ask(visit, "product", "GET /categories")
  if not categories then return nil, failed end
  return page.show(visit, "home", { title = words.say(visit.language, "tagline"), notice = M.notice(visit, ctx.query),
    categories = below(visit, categories.items),
    products = show.products(visit.language, along(visit, largest(categories.items))) })
end

-- ---- a list -------------------------------------------------------------------------------------------------------

local SORTS = { { "relevance", "sort_relevance" }, { "name", "sort_name" }, { "price", "sort_price" },
  { "-price", "sort_price_down" } }

local function sorts(visit, chosen)
  local list = {}
  for i, each in ipairs(SORTS) do
    list[i] = { value = each[1], called = words.say(visit.language, each[2]), chosen = each[1] == chosen }
  end
  return list
end

local function given(text)
  return text ~= "" and text or nil
end

local function title_of(visit, q, category)
  if q then return words.say(visit.language, "results_for", { q = q }) end
  return category and show.category(category) or words.say(visit.language, "all_products")
end

function M.list(visit, ctx)
  local asked = ctx.query
  local filter = { q = given(asked.q), category = given(asked.category), sort = given(asked.sort),
    in_stock = asked.in_stock == "true" or nil }
  local query = { limit = ON_PAGE, cursor = given(asked.cursor) }
  for name, value in pairs(filter) do query[name] = value end
  local got = fastr.all {
    function() return visits.ask(visit, "product", "GET /products?" .. url.query(query)) end,
    function() return visits.ask(visit, "product", "GET /categories") end,
  }
  for _, result in ipairs(got) do
    if not result[1] then return nil, result[2] end
  end
  local found, more = got[1][1], nil
  if type(found.next_cursor) == "string" then
    filter.cursor = found.next_cursor
    more = "/products?" .. url.query(filter)
  end
  return page.show(visit, "list", { title = title_of(visit, filter.q, filter.category),
    notice = M.notice(visit, asked), words = filter.q or "", q = filter.q or false,
    category = filter.category or false, path = show.path_to(filter.category),
    children = below(visit, got[2][1].items, filter.category), sorts = sorts(visit, filter.sort or "relevance"),
    in_stock = filter.in_stock or false, products = show.products(visit.language, found.items), more = more or false })
end

-- ---- a product ----------------------------------------------------------------------------------------------------

function M.product(visit, ctx)
  local product, failed = visits.ask(visit, "product", "GET /products/" .. url.encode(ctx.params.sku))
  if not product then return nil, failed end
  local model = show.product(visit.language, product)
  model.title, model.notice = model.name, M.notice(visit, ctx.query)
  model.description = product.description
  model.article = words.say(visit.language, "article", { sku = product.sku })
  model.path = show.path_to(product.categories[1])
  model.can_buy = product.available > 0
  return page.show(visit, "product", model)
end

function M.nothing()
  return nil, problem.new("not_found")
end

-- ---- files --------------------------------------------------------------------------------------------------------

function M.art(ctx)
  local drawing = show.drawing(ctx.params.file, ctx.query.name)
  if not drawing then return nil, problem.new("not_found") end
  return page.file(drawing, "image/svg+xml")
end

function M.asset(ctx)
  local text, content_type = page.asset(ctx.params.file)
  if not text then return nil, problem.new("not_found") end
  return page.file(text, content_type)
end

return M
