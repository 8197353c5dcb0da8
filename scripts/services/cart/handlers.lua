-- handlers: one function per route of the cart service. Every change locks the cart's row, applies a delta to what it
-- then reads, asks the rules, prices, and counts the version up: two shoppers on one cart never lose each other's
-- lines.

local explain = require "lib.explain"
local problem = require "lib.problem"
local database = require "platform.db"
local request = require "platform.request"
local shape = require "lib.shape"
local gift_cards = require "services.cart.gift_cards"
local checkout = require "services.cart.checkout"
local coupons = require "services.cart.coupons"
local limits = require "services.cart.limits"
local merge = require "services.cart.merge"
local money = require "lib.money"
local pricing = require "services.cart.pricing"
local store = require "services.cart.store"
local view = require "services.cart.view"

local M = {}

local array, null = fastr.json.array, fastr.json.null

local function db()
  return database.open("cart")
end

local function given(value)
  if value == null then return nil end
  return value
end

local function not_found()
  return problem.new("cart_not_found")
end

-- ---- before a change: what waits ----------------------------------------------------------------------------------

-- A cart whose checkout ended without a word (its process died) is open again unless order still works on it, or has
-- sold it and cannot say so yet. Returns when that checkout began, false, or nil and a problem.
local function is_abandoned(cart)
  if cart.state ~= "paying" or checkout.may_run(cart) then return false end
  local reply, failed = fastr.call("order", "of_cart", { cart = cart.id })
  if not reply then return nil, failed end
  return not reply.in_flight and not reply.outcome and cart.paying_since
end

-- Who will own the cart: whoever changes it while he is signed in, if nobody does.
local function shopper(ctx)
  return ctx.principal.kind == "customer" and ctx.principal.id or nil
end

-- The cart of the path, and what decisions on it need of others; or nil and a problem. `options` as pricing.gather's.
local function look(ctx, options)
  local cart = store.load(db(), ctx.params.id)
  if not cart then return nil, not_found() end
  local gathered, failed = pricing.gather(db(), cart, options)
  if not gathered then return nil, failed end
  return cart, gathered
end

local function gather(ctx, options)
  options.customer = options.customer or shopper(ctx)
  local cart, gathered = look(ctx, options)
  if not cart then return nil, gathered end
  local failed
  gathered.abandoned, failed = is_abandoned(cart)
  if failed then return nil, failed end
  return gathered
end

function M.prepare(ctx)
  return gather(ctx, { email = ctx.body and given(ctx.body.email) })
end

function M.prepare_coupon(ctx)
  return gather(ctx, { coupons = { ctx.body.code } })
end

function M.prepare_gift_card(ctx)
  local card, failed = gift_cards.find(ctx.body.code)
  if not card then return nil, failed end
  local gathered
  gathered, failed = gather(ctx, { gift_cards = { card } })
  if not gathered then return nil, failed end
  gathered.card = card
  return gathered
end

-- The lines of the body as a list, whichever form it has.
local function wanted_lines(body)
  return body.sku and { body } or body
end

-- Their paths are those of the body as it was sent.
local function unknown_products(lines, products, body)
  local errors = {}
  for i, line in ipairs(lines) do
    if not products[line.sku] then
      errors[#errors + 1] = { path = body.sku and "sku" or ("[%d].sku"):format(i - 1),
        problem = "there is no product " .. line.sku }
    end
  end
  if #errors == 0 then return nil end
  return problem.new("product_not_found", { detail = errors[1].problem, errors = array(errors) })
end

function M.prepare_lines(ctx)
  local lines, skus = wanted_lines(ctx.body), {}
  for i, line in ipairs(lines) do skus[i] = line.sku end
  local gathered, failed = gather(ctx, { skus = skus })
  if not gathered then return nil, failed end
  failed = unknown_products(lines, gathered.products, ctx.body)
  if failed then return nil, failed end
  return gathered
end

-- ---- a change -----------------------------------------------------------------------------------------------------

-- Nil if the cart can be changed, else the problem.
local function closed(cart, gathered)
  if cart.state == "done" then return problem.new("cart_checked_out", { order = cart.order }) end
  if cart.state == "paying" and gathered.abandoned ~= cart.paying_since then
    return problem.new("checkout_running", { retry_after = 2 })
  end
end

-- Nothing keeps a cart: its prices change without its version.
local function reply(status, cart, priced, full)
  return status, view.cart(cart, priced, full), { ETag = request.etag(cart.version), ["Cache-Control"] = "no-store" }
end

-- Prices a changed cart and writes it with its next version.
local function save(tx, cart, gathered)
  local priced, failed = pricing.price(cart, gathered)
  if not priced then return nil, failed end
  cart.version = cart.version + 1
  cart.pricing = { facts = priced.facts, decision = priced.decision, trace = priced.trace, abi = priced.abi }
  cart.pack = priced.pack
  store.save(tx, cart, fastr.time.now())
  return priced
end

-- Locks the cart, lets `apply(cart)` change it (true, or nil and a problem), prices and stores it.
local function change(ctx, apply)
  local cart = store.lock(ctx.tx, ctx.params.id)
  if not cart then return nil, not_found() end
  local failed = closed(cart, ctx.prepared)
  if failed then return nil, failed end
  local ok
  ok, failed = request.matches(ctx, cart.version)
  if not ok then return nil, failed end
  if cart.state == "paying" then checkout.open(ctx.tx, cart) end
  cart.customer = cart.customer or shopper(ctx)
  ok, failed = apply(cart)
  if not ok then return nil, failed end
  local priced
  priced, failed = save(ctx.tx, cart, ctx.prepared)
  if not priced then return nil, failed end
  return reply(200, cart, priced)
end

local function find_line(cart, sku)
  for i, line in ipairs(cart.lines) do
    if line.sku == sku then return line, i end
  end
end

-- ---- lines --------------------------------------------------------------------------------------------------------

-- Adds one line's units to the cart; returns the line that was changed or made.
local function add_line(cart, wanted, facts)
  local line = find_line(cart, wanted.sku)
  if not line then
    cart.last_position = cart.last_position + 1
    line = { sku = wanted.sku, position = cart.last_position, quantity = 0 }
    cart.lines[#cart.lines + 1] = line
  end
  line.quantity, line.facts = line.quantity + wanted.quantity, facts
  return line
end

function M.add_lines(ctx)
  local wanted, gathered = wanted_lines(ctx.body), ctx.prepared
  return change(ctx, function(cart)
    local touched, seen = {}, {}
    for _, each in ipairs(wanted) do
      local line = add_line(cart, each, gathered.products[each.sku])
      if not seen[line.sku] then
        seen[line.sku], touched[#touched + 1] = true, line
      end
    end
    local ok, failed = pricing.accept(cart, { kind = "add", lines = array(wanted) }, gathered)
    if not ok then return nil, failed end
    store.put_lines(ctx.tx, cart.id, touched)
    return true
  end)
end

local function line_not_found(sku)
  return problem.new("line_not_found", { detail = "The cart has no line " .. sku })
end

function M.set_line(ctx)
  local sku, quantity = ctx.params.sku, ctx.body.quantity
  return change(ctx, function(cart)
    local line = find_line(cart, sku)
    if not line then return nil, line_not_found(sku) end
    line.quantity, line.facts = quantity, ctx.prepared.products[sku] or line.facts
    local set = { kind = "set", lines = array { { sku = sku, quantity = quantity } } }
    local ok, failed = pricing.accept(cart, set, ctx.prepared)
    if not ok then return nil, failed end
    store.put_lines(ctx.tx, cart.id, { line })
    return true
  end)
end

function M.remove_line(ctx)
  local sku = ctx.params.sku
  return change(ctx, function(cart)
    local line, i = find_line(cart, sku)
    if not line then return nil, line_not_found(sku) end
    table.remove(cart.lines, i)
    store.drop_line(ctx.tx, cart.id, sku)
    return true
  end)
end

-- ---- the rest of the cart -----------------------------------------------------------------------------------------

function M.create(ctx)
  local home = fastr.setting("shop.currency", "GBP")
  local currency = ctx.body and ctx.body.currency or home
  if currency ~= home then
    return nil, problem.new("currency_not_supported", { detail = "Prices are in " .. home .. ", not in " .. currency })
  end
  local cart = { id = fastr.crypto.base64url(fastr.crypto.random(16)), currency = currency, customer = shopper(ctx),
    version = 0, state = "open", lines = {}, coupons = {}, gift_cards = {}, last_position = 0 }
  store.create(ctx.tx, cart, fastr.time.now())
  local priced, failed = save(ctx.tx, cart, { asked = {}, products = {}, codes = {}, limits = {}, gift_cards = {} })
  if not priced then return nil, failed end
  local status, body, headers = reply(201, cart, priced)
  headers.Location = "/api/v1/carts/" .. cart.id
  return status, body, headers
end

function M.show(ctx)
  local cart, gathered = look(ctx, {})
  if not cart then return nil, gathered end
  local priced, failed = pricing.price(cart, gathered)
  if not priced then return nil, failed end
  return reply(200, cart, priced, ctx.query.explain == "full")
end

-- For who explains a price: what it is decided from. Tools ask with the cart's id, which is the capability to see it.
function M.facts(ctx)
  ctx.params = { id = ctx.body.cart }
  local cart, gathered = look(ctx, {})
  if not cart then return nil, gathered end
  local priced, failed = pricing.price(cart, gathered)
  if not priced then return nil, failed end
  return 200, { facts = priced.facts, version = cart.version, pack = priced.pack }
end

local function offered(cart, gathered)
  local options, failed = pricing.shipping_options(cart, gathered)
  if not options then return nil, failed end
  for _, option in ipairs(options) do
    if option.method == cart.shipping_method then return true end
  end
  return nil, problem.new("shipping_method_unknown", {
    detail = ("There is no method %s here; this cart's are at GET /api/v1/carts/{id}/shipping-options")
      :format(cart.shipping_method) })
end

-- A field of a PATCH: absent leaves the old value, null takes it away.
local function patched(new, old)
  if new == nil then return old end
  return given(new)
end

function M.patch(ctx)
  local body = ctx.body
  return change(ctx, function(cart)
    cart.email = patched(body.email, cart.email)
    cart.shipping_address = patched(body.shipping_address, cart.shipping_address)
    cart.shipping_method = patched(body.shipping_method, cart.shipping_method)
    if not body.shipping_method or body.shipping_method == null then return true end
    return offered(cart, ctx.prepared)
  end)
end

-- ---- claimed at sign-in -------------------------------------------------------------------------------------------

function M.prepare_claim(ctx)
  if ctx.principal.kind == "guest" then return nil, problem.new("unauthenticated") end
  local me = ctx.principal.id
  return gather(ctx, { customer = me, skus = store.skus_of_others(db(), me, ctx.params.id),
    coupons = store.codes_of_others(db(), me, ctx.params.id),
    gift_cards = store.gift_cards_of_others(db(), me, ctx.params.id) })
end

-- The shopper's other open carts go into this one; their ids lead here from now on.
function M.claim(ctx)
  local me, refused = ctx.principal.id, {}
  store.lock_customer(ctx.tx, me)
  local status, body, headers = change(ctx, function(cart)
    cart.customer = cart.customer or me
    if cart.customer ~= me then return nil, not_found() end -- another customer's: as if it did not exist
    local stayed_out, failed = merge.into(ctx.tx, cart, store.lock_others(ctx.tx, me, cart.id), ctx.prepared)
    if not stayed_out then return nil, failed end
    refused = stayed_out
    return true
  end)
  if not status then return nil, body end
  for _, each in ipairs(refused) do body.problems[#body.problems + 1] = each end
  return status, body, headers
end

function M.shipping_options(ctx)
  local cart, gathered = look(ctx, {})
  if not cart then return nil, gathered end
  local options, failed = pricing.shipping_options(cart, gathered)
  if not options then return nil, failed end
  local items = {}
  for i, option in ipairs(options) do
    items[i] = { method = option.method, name = option.name or option.method,
      fee = { amount = option.fee, currency = cart.currency } }
  end
  return 200, { items = array(items), next_cursor = null }
end

-- ---- coupons ------------------------------------------------------------------------------------------------------

local function index_of(list, value)
  for i, each in ipairs(list) do
    if each == value then return i end
  end
end

-- What the rules say of this code in this cart: true, or nil and the problem with their reason.
local function accepted(cart, code, gathered)
  local priced, failed = pricing.price(cart, gathered)
  if not priced then return nil, failed end
  for _, coupon in ipairs(priced.coupons) do
    if coupon.code == code and not coupon.accepted then
      return nil, problem.new("coupon_refused", { reason = coupon.reason, coupon = code,
        detail = explain.refused_coupon(code, coupon.reason) })
    end
  end
  return true
end

function M.add_coupon(ctx)
  local code = ctx.body.code
  return change(ctx, function(cart)
    if index_of(cart.coupons, code) then return true end
    cart.coupons[#cart.coupons + 1] = code
    return accepted(cart, code, ctx.prepared)
  end)
end

function M.remove_coupon(ctx)
  return change(ctx, function(cart)
    local i = index_of(cart.coupons, ctx.params.code)
    if not i then
      return nil, problem.new("coupon_not_found", { detail = "The cart has no coupon " .. ctx.params.code })
    end
    table.remove(cart.coupons, i)
    return true
  end)
end

-- ---- gift cards ---------------------------------------------------------------------------------------------------

function M.add_gift_card(ctx)
  return change(ctx, function(cart) return gift_cards.add(cart, ctx.prepared.card, ctx.prepared) end)
end

function M.remove_gift_card(ctx)
  return change(ctx, function(cart) return gift_cards.remove(cart, ctx.params.card) end)
end

-- ---- staff issue coupons ------------------------------------------------------------------------------------------

local function show_coupon(row)
  return { code = row.code, coupon = row.coupon, batch = row.batch or null, limit = row.limit or null,
    limit_per_customer = row.limit_per_customer or null, used = row.used }
end

function M.put_coupon(ctx)
  local body = ctx.body
  local row, is_new = store.put_coupon(ctx.tx, ctx.params.code, given(body.limit), given(body.limit_per_customer),
    fastr.time.now())
  return is_new and 201 or 200, show_coupon(row)
end

function M.show_coupon(ctx)
  local row = store.coupon(db(), ctx.params.code)
  if not row then return nil, problem.new("coupon_not_found") end
  return 200, show_coupon(row)
end

-- A page of coupons: rows, and the next page's cursor or nil; or nil and a problem. A cursor is the last code, in
-- letters that need no escape in a query.
local function page_of_coupons(batch, cursor, size)
  local after = cursor and fastr.crypto.unbase64url(cursor) or not cursor and ""
  if not after or (cursor and after == "") or not shape.is_utf8(after) or after:find("%c") then
    return nil, problem.new("cursor_invalid")
  end
  local rows = store.coupons(db(), batch, after, size + 1)
  local more = table.remove(rows, size + 1)
  return rows, more and fastr.crypto.base64url(rows[size].code)
end

function M.list_coupons(ctx)
  local rows, cursor = page_of_coupons(ctx.query.batch, ctx.query.cursor, ctx.query.limit or 20)
  if not rows then return nil, cursor end
  local items = {}
  for i, row in ipairs(rows) do items[i] = show_coupon(row) end
  return 200, { items = array(items), next_cursor = cursor or null }
end

-- The promotions of the rules in force that have limits, and what was used of them.
function M.promotion_uses()
  local limited, failed = limits.of {}
  if not limited then return nil, failed end
  local ids, items, m = {}, {}, money.of(fastr.setting("shop.currency", "GBP"))
  for i, entry in ipairs(limited) do ids[i] = entry.promotion end
  local totals = store.totals_of_use(db(), ids)
  for i, entry in ipairs(limited) do
    local total, limit, budget = totals[entry.promotion], coupons.limits_of(entry)
    items[i] = { promotion = entry.promotion, coupon = entry.coupon or null, used = total.used, limit = limit or null,
      limit_per_customer = entry.limit_per_customer or null, spent = m(total.spent),
      budget = budget and m(budget) or null }
  end
  return 200, { items = array(items), next_cursor = null }
end

-- ---- batches of codes ---------------------------------------------------------------------------------------------

local function show_batch(row)
  return { id = row.id, coupon = row.coupon, prefix = row.prefix or null, count = row.count, limit = row.limit or null,
    limit_per_customer = row.limit_per_customer or null, blocked = row.blocked, created_at = row.created_at }
end

-- Issues codes that nobody can guess, for a promotion that there is; each may be used once unless the body says
-- otherwise. They are not in the reply, which is kept for who repeats it: GET /coupons?batch= has them.
function M.issue(ctx)
  local body = ctx.body
  local is_known, failed = pricing.knows_coupon(body.coupon, fastr.setting("shop.currency", "GBP"))
  if failed then return nil, failed end
  if not is_known then
    local said = "is the code of no promotion; upper and lower case differ"
    return nil, problem.new("validation", { detail = "coupon " .. said,
      errors = array { { ["in"] = "body", path = "coupon", problem = said } } })
  end
  local batch = { id = fastr.crypto.uuid7(), coupon = body.coupon, prefix = body.prefix,
    limit_per_customer = given(body.limit_per_customer) }
  batch.limit = body.limit == nil and 1 or given(body.limit)
  local row = store.add_batch(ctx.tx, batch, coupons.new_codes(body.count, body.prefix), fastr.time.now())
  return 201, show_batch(row), { Location = "/api/v1/coupon-batches/" .. row.id }
end

local function no_batch()
  return problem.new("coupon_not_found", { detail = "There is no such batch of coupons" })
end

function M.show_batch(ctx)
  local row = store.batch(db(), ctx.params.id)
  if not row then return nil, no_batch() end
  return 200, show_batch(row)
end

function M.list_batches(ctx)
  local size = ctx.query.limit or 20
  local rows, items = store.batches(db(), ctx.query.cursor, size + 1), {}
  local more = table.remove(rows, size + 1)
  for i, row in ipairs(rows) do items[i] = show_batch(row) end
  return 200, { items = array(items), next_cursor = more and rows[size].id or null }
end

function M.change_batch(ctx)
  local row = store.block_batch(ctx.tx, ctx.params.id, ctx.body.blocked, fastr.time.now())
  if not row then return nil, no_batch() end
  return 200, show_batch(row)
end

-- A batch's codes as CSV (RFC 4180), a page at a time: the header Link leads to the next (RFC 8288).
function M.export_batch(ctx)
  if not store.batch(db(), ctx.params.id) then return nil, no_batch() end
  local size = ctx.query.limit or 1000
  local rows, cursor = page_of_coupons(ctx.params.id, ctx.query.cursor, size)
  if not rows then return nil, cursor end
  local lines = { "code,limit,used" }
  for i, row in ipairs(rows) do lines[i + 1] = ("%s,%s,%d"):format(row.code, row.limit or "", row.used) end
  lines[#lines + 1] = ""
  local next_page = cursor and ("</api/v1/coupon-batches/%s/codes?limit=%d&cursor=%s>; rel=\"next\""):format(
    ctx.params.id, size, cursor)
  return 200, table.concat(lines, "\r\n"), { ["Content-Type"] = "text/csv; charset=utf-8", Link = next_page,
    ["Cache-Control"] = "no-store" }
end

-- ---- checkout -----------------------------------------------------------------------------------------------------

function M.checkout(ctx)
  return checkout.run(db(), ctx)
end

-- The stored reply, with the headers that are not stored.
function M.replay_checkout(ctx)
  return ctx.stored.status, ctx.stored.body, checkout.headers(ctx.stored.body, ctx.stored.headers)
end

function M.settle(ctx)
  local state = db():transaction(function(tx)
    return checkout.settle(tx, ctx.body)
  end)
  return 200, { state = state }
end

return M
