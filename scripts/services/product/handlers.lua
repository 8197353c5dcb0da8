-- handlers: one function per route of the product service. Orders reserve through the internal ones, which all lock the
-- order's reservation first and stock rows after it, in the order of sku.

local problem = require "lib.problem"
local cache = require "platform.cache"
local database = require "platform.db"
local outbox = require "platform.outbox"
local request = require "platform.request"
local store = require "services.product.store"
local stock = require "services.product.stock"
local view = require "services.product.view"

local M = {}

-- A change is seen by everybody within a second: what is cached lives a little less, and is not made from a replica
-- that may still be behind the change (a replica that is more than a second behind is not asked).
local CACHE = { ttl_ms = 800, settle_ms = 1000 }

-- Neither page nor proxy keeps what has a price or a stock in it: both change without the version.
local FRESH = "no-store"

local function db()
  return database.open("product")
end

local function shop_currency()
  return fastr.setting("shop.currency", "GBP")
end

-- Facts of one product, from the cache or a replica; false where there is none. Who has just written reads past the
-- cache, from a replica that has his change.
local function product_facts(sku, currency)
  local function read() return store.product(db(), sku, currency, fastr.time.now()) end
  if fastr.task.get("lsn") then return read() end
  return cache.fetch("product:" .. currency .. ":" .. sku, CACHE, read)
end

function M.show(ctx)
  local facts, failed = product_facts(ctx.params.sku, ctx.query.currency or shop_currency())
  if failed then return nil, failed end
  if not facts then return nil, view.not_found(ctx.params.sku) end
  local items
  items, failed = view.products({ facts })
  if not items then return nil, failed end
  return 200, items[1], { ETag = request.etag(facts.version), ["Cache-Control"] = FRESH }
end

function M.categories()
  local items = {}
  for i, row in ipairs(store.categories(db())) do
    items[i] = { path = row.path, name = view.category_name(row.path), products = row.products }
  end
  return 200, { items = fastr.json.array(items), next_cursor = fastr.json.null }
end

-- One row more than the page tells whether there is another page.
function M.list(ctx)
  local filter = {}
  for name, value in pairs(ctx.query) do filter[name] = value end
  filter.sort = filter.sort or (filter.q and "relevance" or "name")
  if filter.sort == "relevance" and not filter.q then filter.sort = "name" end
  local size = filter.limit or 20
  filter.limit = size + 1
  if filter.cursor then
    filter.after = view.read_cursor(filter.cursor, filter.sort)
    if not filter.after then return nil, problem.new("cursor_invalid") end
  end
  local rows = store.list(db(), filter, filter.currency or shop_currency(), fastr.time.now())
  local more = rows[size + 1] ~= nil
  rows[size + 1] = nil
  local items, failed = view.products(rows)
  if not items then return nil, failed end
  local last = rows[size]
  return 200, { items = fastr.json.array(items),
    next_cursor = more and view.cursor(filter.sort, last.sort_key, last.sku) or fastr.json.null }
end

-- ---- staff --------------------------------------------------------------------------------------------------------

local function announce_product(tx, product)
  outbox.add(tx, { topic = "product", key = product.sku, type = "product.changed.v1", sequence = product.version,
    data = { sku = product.sku, version = product.version, name = product.name, tax_category = product.tax_category,
      categories = fastr.json.array(product.categories), price = product.price } })
end

-- Once the change is committed, nobody is shown what was cached before it.
local function forget(tx, sku, ...)
  local keys = { "product:" .. shop_currency() .. ":" .. sku }
  for _, currency in ipairs { ... } do
    if currency ~= shop_currency() then keys[#keys + 1] = "product:" .. currency .. ":" .. sku end
  end
  tx.after_commit.cache = function() cache.forget(unpack(keys)) end
end

-- Categories are paths of names: nil, or the problem of the first that is none.
local function malformed(categories)
  for i, path in ipairs(categories) do
    if ("/" .. path .. "/"):find("/%s*/") then
      local text = "must be names with one / between them: home/lighting"
      return problem.new("validation", { detail = path .. " " .. text, errors = fastr.json.array { {
        ["in"] = "body", path = ("categories[%d]"):format(i - 1), problem = text } } })
    end
  end
end

function M.put(ctx)
  local body, sku = ctx.body, ctx.params.sku
  if not pcall(fastr.money.exponent, body.price.currency) then
    return nil, problem.new("currency_not_supported", { detail = body.price.currency .. " is not in ISO 4217." })
  end
  local wrong = malformed(body.categories)
  if wrong then return nil, wrong end
  local old = store.lock_product(ctx.tx, sku)
  local fresh, stale = request.matches(ctx, old and old.version or 0)
  if not fresh then return nil, stale end
  -- "standard" is the field's default, a name; what rate it carries, and where, the rules' definitions say.
  local product = { sku = sku, name = body.name, description = body.description or "", categories = body.categories,
    category_paths = view.with_ancestors(body.categories), tax_category = body.tax_category or "standard",
    price = body.price }
  product.version = store.put_product(ctx.tx, product, fastr.time.now())
  announce_product(ctx.tx, product)
  forget(ctx.tx, sku, product.price.currency)
  local items, failed = view.products({ store.product_in(ctx.tx, sku, body.price.currency, fastr.time.now()) })
  if not items then return nil, failed end
  return old and 200 or 201, items[1], { ETag = request.etag(product.version) }
end

-- ---- price lists

local function given(value)
  if value == fastr.json.null then return nil end
  return value
end

local function shown_row(row)
  return { price = { amount = row.amount, currency = row.currency }, min_quantity = given(row.min_quantity),
    max_quantity = given(row.max_quantity), customer_group = given(row.customer_group), zone = given(row.zone),
    from = given(row.starts_at), to = given(row.ends_at) }
end

function M.price_list(ctx)
  local rows, items = store.price_rows(db(), ctx.params.sku), {}
  if not rows then return nil, view.not_found(ctx.params.sku) end
  for i, row in ipairs(rows) do items[i] = shown_row(row) end
  return 200, { rows = fastr.json.array(items) }
end

local YEAR_1, YEAR_10000 = -62135596800000, 253402300800000 -- milliseconds since 1970

-- The same moment by UTC's clock, which every reader of the table takes; nil stays nil, false is beyond the years 1 to
-- 9999.
local function utc(time)
  if time == nil then return nil end
  local ms = fastr.text.time(time)
  return ms ~= nil and ms >= YEAR_1 and ms < YEAR_10000 and fastr.time.iso(ms)
end

local function refused(path, text)
  return problem.new("validation", { detail = path .. ": " .. text, errors = fastr.json.array { {
    ["in"] = "body", path = path, problem = text } } })
end

-- Nil, or the problem that pricing has with the rows: what cannot be priced is refused here, with the same words.
local function unusable(sku, rows)
  local prices = {}
  for i, row in ipairs(rows) do
    for _, name in ipairs { "from", "to" } do
      if utc(row[name]) == false then
        return refused(("rows[%d].%s"):format(i - 1, name), "is beyond the years 1 to 9999")
      end
    end
    prices[i] = { currency = row.price.currency, amount = row.price.amount, min_quantity = row.min_quantity,
      max_quantity = row.max_quantity, rules = { customer_group = row.customer_group, zone = row.zone,
      from = row.from, to = row.to } }
  end
  local line = { sku = sku, quantity = 1, unit_price = 0, prices = fastr.json.array(prices) }
  local decision, message, code = fastr.rules.decide("price.cart", { currency = shop_currency(),
    now = fastr.time.now(), lines = { line } })
  if decision then return nil end
  if code ~= "facts_invalid" then return problem.new(code, { detail = message }) end
  local number, field, text = message:match("^lines%[1%]%.prices%[(%d+)%]([^:]*): (.*)$")
  if not number then return problem.new("validation", { detail = message }) end
  return refused(("rows[%d]%s"):format(number - 1, (field:gsub("%.rules", ""))), text)
end

function M.put_price_list(ctx)
  local sku, rows = ctx.params.sku, ctx.body.rows
  local wrong = unusable(sku, rows)
  if wrong then return nil, wrong end
  if not store.lock_product(ctx.tx, sku) then return nil, view.not_found(sku) end
  local kept, currencies = {}, {}
  for i, row in ipairs(rows) do
    kept[i] = { currency = row.price.currency, amount = row.price.amount, min_quantity = row.min_quantity,
      max_quantity = row.max_quantity, customer_group = row.customer_group, zone = row.zone, starts_at = utc(row.from),
      ends_at = utc(row.to) }
    currencies[i] = row.price.currency
  end
  for _, old in ipairs(store.put_price_rows(ctx.tx, sku, kept, fastr.time.now())) do
    currencies[#currencies + 1] = old.currency
  end
  forget(ctx.tx, sku, unpack(currencies))
  return 200, { rows = rows }
end

function M.adjust(ctx)
  local sku = ctx.params.sku
  local counts, failed = stock.adjust(ctx.tx, sku, ctx.body.delta, ctx.body.reason, ctx.principal.id)
  if not counts then return nil, failed end
  outbox.add(ctx.tx, { topic = "stock", key = sku, type = "stock.adjusted.v1",
    data = { sku = sku, delta = ctx.body.delta, on_hand = counts.on_hand, reason = ctx.body.reason } })
  forget(ctx.tx, sku, shop_currency())
  return 200, counts
end

-- ---- for the other services ---------------------------------------------------------------------------------------

function M.facts(ctx)
  local body = ctx.body
  local rows, items = store.facts(db(), body.skus, body.currency, fastr.time.now(), body.fresh), {}
  for i, row in ipairs(rows) do -- rows know more than their list, which JSON would not take
    row.prices = view.rows(row.prices)
    items[i] = row
  end
  return 200, { items = fastr.json.array(items) }
end

-- Runs one of stock's functions in a transaction and answers with the reservation it leaves.
local function reserve(step, body)
  local reservation, failed = db():transaction(function(tx) return step(tx, body, fastr.time.now()) end)
  if not reservation then return nil, failed end
  return 200, { order = reservation.order, state = reservation.state, expires_at = reservation.expires_at }
end

function M.hold(ctx) return reserve(stock.hold, ctx.body) end
function M.extend(ctx) return reserve(stock.extend, ctx.body) end
function M.commit(ctx) return reserve(stock.commit, ctx.body) end
function M.release(ctx) return reserve(stock.release, ctx.body) end
function M.restock(ctx) return reserve(stock.restock, ctx.body) end

return M
