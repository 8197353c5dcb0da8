-- handlers: one function per route of the product service. Orders reserve through the internal ones, which all lock the
-- order's reservation first and stock rows after it, in the order of sku.

local problem = require "lib.problem"
local access = require "platform.access"
local cache = require "platform.cache"
local database = require "platform.db"
local outbox = require "platform.outbox"
local request = require "platform.request"
local price_lists = require "services.product.price_lists"
local prices = require "services.product.prices"
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

local function cache_key(sku, currency) return "product:" .. currency .. ":" .. sku end

-- Facts of one product, from the cache or a replica; false where there is none. Who has just written reads past the
-- cache, from a replica that has his change.
local function product_facts(sku, currency)
  local function read() return store.product(db(), sku, currency, fastr.time.now()) end
  if fastr.task.get("lsn") then return read() end
  return cache.fetch(cache_key(sku, currency), CACHE, read)
end

-- Rows of the store as products of the API, with what they cost now; or nil and a problem if the rules fail.
local function shown(rows)
  if not rows[1] then return {} end
  local priced, failed = prices.shown(db(), rows)
  if not priced then return nil, failed end
  return view.products(rows, priced)
end

function M.show(ctx)
  local facts, failed = product_facts(ctx.params.sku, ctx.query.currency or shop_currency())
  if failed then return nil, failed end
  if not facts then return nil, view.not_found(ctx.params.sku) end
  local items
  items, failed = shown { facts }
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
  local items, failed = shown(rows)
  if not items then return nil, failed end
  local last = rows[size]
  return 200, { items = fastr.json.array(items),
    next_cursor = more and view.cursor(filter.sort, last.sort_key, last.sku) or fastr.json.null }
end

-- ---- what was paid ------------------------------------------------------------------------------------------------

local HISTORY = "history" -- what its cursors are of

-- A change of the price as it is shown: who, why and what is planned are staff's to know.
local function shown_change(row, now, is_staff)
  local until_when = row["until"]
  local public = until_when ~= nil and until_when <= now
  local lowest = row.lowest_before and { amount = row.lowest_before, currency = row.currency }
  return { price = { amount = row.amount, currency = row.currency },
    list_price = { amount = row.list_amount, currency = row.currency }, from = row.applies_from,
    to = (is_staff or public) and until_when or fastr.json.null, lowest_price_30d = lowest or fastr.json.null,
    by = is_staff and row.actor or nil, reason = is_staff and row.reason or nil }
end

-- Before which time a page of the history begins: nil for all of it, false where the cursor is none of this product.
local function history_before(ctx, is_staff, now)
  if not ctx.query.cursor then return not is_staff and fastr.time.iso(fastr.time.parse(now) + 1) or nil end
  local at = view.read_cursor(ctx.query.cursor, HISTORY)
  if not at or at[2] ~= ctx.params.sku then return false end
  local good, time = pcall(fastr.time.iso, tonumber(at[1]))
  return good and (is_staff or time <= now) and time
end

-- What everybody paid for one unit, the latest first; who looks after the catalogue sees what is planned as well.
function M.price_history(ctx)
  local sku, currency, now = ctx.params.sku, ctx.query.currency or shop_currency(), fastr.time.now()
  local is_staff = access.check(ctx.principal, "product:write") == true
  local before = history_before(ctx, is_staff, now)
  if before == false then return nil, problem.new("cursor_invalid") end
  local size = ctx.query.limit or 20
  local rows = store.price_history(db(), sku, currency, before, size + 1)
  if not rows[1] and not store.has_product(db(), sku) then return nil, view.not_found(sku) end
  local more = rows[size + 1] ~= nil
  rows[size + 1] = nil
  local items = {}
  for i, row in ipairs(rows) do items[i] = shown_change(row, now, is_staff) end
  local last = rows[size]
  return 200, { items = fastr.json.array(items), next_cursor = more and view.cursor(HISTORY,
    ("%d"):format(fastr.time.parse(last.applies_from)), sku) or fastr.json.null }, { ["Cache-Control"] = FRESH }
end

-- ---- staff --------------------------------------------------------------------------------------------------------

local function announce_product(tx, product)
  outbox.add(tx, { topic = "product", key = product.sku, type = "product.changed.v1", sequence = product.version,
    data = { sku = product.sku, version = product.version, name = product.name, tax_category = product.tax_category,
      categories = fastr.json.array(product.categories), price = product.price } })
end

-- `keys`: the set of keys of the cache that are gone with the commit.
local function forget_keys(tx, keys)
  tx.after_commit.cache = function()
    for key in pairs(keys) do cache.forget(key) end
  end
end

-- Once the change is committed, nobody is shown what was cached before it.
local function forget(tx, sku, ...)
  local keys = { [cache_key(sku, shop_currency())] = true }
  for _, currency in ipairs { ... } do keys[cache_key(sku, currency)] = true end
  forget_keys(tx, keys)
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

-- Prices have changed: what everybody pays from now on is written down with the change.
local function record(ctx, skus, reason)
  return prices.record(ctx.tx, skus, { actor = ctx.principal.id, reason = reason }, fastr.time.unix_ms())
end

-- Nil, or the problem of a tax category that no rate is for: its products would go untaxed, and nobody would notice.
-- Where the rules tax nothing, or are of before this was asked (the point is not among the setting rules.points, so
-- that these can still be gone back to), any will do.
local function untaxed(category)
  local decision, message, code = fastr.rules.decide("price.taxed", { category = category })
  if code == "facts_invalid" then return nil end
  if not decision then return problem.new(code, { detail = message }) end
  if decision.known or #decision.categories == 0 then return nil end
  local text = ("is '%s', which no tax rate is for; there are: %s"):format(category,
    table.concat(decision.categories, ", "))
  return problem.new("validation", { detail = "tax_category " .. text, errors = fastr.json.array { {
    ["in"] = "body", path = "tax_category", problem = text } } })
end

function M.put(ctx)
  local body, sku = ctx.body, ctx.params.sku
  -- "standard" is the field's default, a name; what rate it carries, and where, the rules' definitions say.
  local tax_category = body.tax_category or "standard"
  if not pcall(fastr.money.exponent, body.price.currency) then
    return nil, problem.new("currency_not_supported", { detail = body.price.currency .. " is not in ISO 4217." })
  end
  local wrong = malformed(body.categories) or untaxed(tax_category)
  if wrong then return nil, wrong end
  local old = store.lock_product(ctx.tx, sku)
  local fresh, stale = request.matches(ctx, old and old.version or 0)
  if not fresh then return nil, stale end
  local product = { sku = sku, name = body.name, description = body.description or "", categories = body.categories,
    category_paths = view.with_ancestors(body.categories), tax_category = tax_category,
    price = body.price }
  product.version = store.put_product(ctx.tx, product, fastr.time.now())
  local recorded, failed = record(ctx, { sku }, body.reason or "list price")
  if not recorded then return nil, failed end
  announce_product(ctx.tx, product)
  forget(ctx.tx, sku, product.price.currency)
  local items
  items, failed = shown { store.product_in(ctx.tx, sku, body.price.currency, fastr.time.now()) }
  if not items then return nil, failed end
  return old and 200 or 201, items[1], { ETag = request.etag(product.version) }
end

-- ---- price lists

function M.price_list(ctx)
  local rows, version = store.price_rows(db(), ctx.params.sku)
  if not rows then return nil, view.not_found(ctx.params.sku) end
  local items = {}
  for i, row in ipairs(rows) do items[i] = price_lists.shown(row) end
  return 200, { rows = fastr.json.array(items) }, { ETag = request.etag(version) }
end

function M.put_price_list(ctx)
  local sku, rows = ctx.params.sku, ctx.body.rows
  local wrong = price_lists.refusal(sku, rows)
  if wrong then return nil, wrong end
  local product = store.lock_product(ctx.tx, sku)
  if not product then return nil, view.not_found(sku) end
  local fresh, stale = request.matches(ctx, product.version)
  if not fresh then return nil, stale end
  local currencies = price_lists.replace(ctx.tx, { { sku = sku, rows = rows } }, fastr.time.now())
  local recorded, failed = record(ctx, { sku }, ctx.body.reason or "price list")
  if not recorded then return nil, failed end
  forget(ctx.tx, sku, unpack(currencies[sku]))
  return 200, { rows = rows }, { ETag = request.etag(product.version + 1) }
end

-- The rows that were sent, and what each is called: its line of the CSV text, or its number, counted from 1.
local function sent_rows(body)
  if body.csv then return price_lists.of_csv(body.csv) end
  local numbers = {}
  for i in ipairs(body.rows) do numbers[i] = i end
  return body.rows, numbers
end

local function wrong_body(text)
  return nil, problem.new("validation", { detail = text, errors = fastr.json.array { {
    ["in"] = "body", path = "", problem = text } } })
end

-- Before the transaction: many rows take their time to look through.
function M.prepare_price_lists(ctx)
  local body = ctx.body
  if (body.csv == nil) == (body.rows == nil) then return wrong_body("either rows or csv is needed") end
  local rows, numbers = sent_rows(body)
  if not rows then return nil, numbers end
  local products, report = price_lists.examine_many(rows, numbers)
  if not products then return nil, report end
  return { products = products, report = report }
end

function M.put_price_lists(ctx)
  local changed, currencies, report = price_lists.replace_many(ctx.tx, ctx.prepared.products, ctx.prepared.report)
  local skus, keys, taken = {}, {}, 0
  for i, each in ipairs(changed) do
    skus[i], taken = each.sku, taken + #each.rows
    for _, currency in ipairs(currencies[each.sku]) do keys[cache_key(each.sku, currency)] = true end
  end
  local recorded, failed = record(ctx, skus, ctx.body.reason or "price lists")
  if not recorded then return nil, failed end
  forget_keys(ctx.tx, keys)
  return 200, { products = #changed, rows = taken, failed = fastr.json.array(report) }
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
    row.prices, row.recorded, row.reduced = prices.rows(row.prices), nil, prices.reduced(row)
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

function M.taken(ctx)
  local body = ctx.body
  local rows = body.orders and store.taken(db(), body.orders)
    or store.taken_since(db(), body.since, body.after, body.limit)
  rows.affected = nil
  return 200, { items = fastr.json.array(rows) }
end

local BATCH = 1000

function M.drifted()
  local rows = store.drifted(db(), BATCH)
  rows.affected = nil
  return 200, { items = fastr.json.array(rows) }
end

return M
