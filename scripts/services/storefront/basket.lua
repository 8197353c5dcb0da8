-- basket: the cart's page and its forms.

local browse = require "services.storefront.browse"
local page = require "services.storefront.page"
local show = require "services.storefront.show"
local url = require "lib.url"
local visits = require "services.storefront.visit"
local words = require "services.storefront.words"

local M = {}

-- ---- the cart of this visit ---------------------------------------------------------------------------------------

-- Its cart, priced now; false if it has none; nil and the problem. One that has been bought is forgotten.
function M.load(visit)
  if not visit.cart then return false end
  local cart, failed = visits.ask(visit, "cart", "GET /carts/" .. visit.cart)
  if not cart then
    if failed.status ~= 404 then return nil, failed end
    visits.forget_cart(visit)
    return false
  end
  if cart.id ~= visit.cart then visits.note_cart(visit, cart) end -- it went into another one at sign-in
  return cart
end

-- Runs change(cart's path) on the visit's cart, a new one where there is none; the changed cart, or nil, problem.
local function change(visit, key, run)
  local cart, failed = M.load(visit)
  if cart == nil then return nil, failed end
  if not cart or cart.state == "done" then
    cart, failed = visits.ask(visit, "cart", "POST /carts", {}, { key = key and key .. "-cart" })
    if not cart then return nil, failed end
  end
  cart, failed = run("/carts/" .. cart.id)
  if cart then visits.note_cart(visit, cart) end
  return cart, failed
end

-- ---- the page -----------------------------------------------------------------------------------------------------

local function lines_of(visit, cart)
  local lines, of = {}, {}
  for i, line in ipairs(cart.lines) do
    lines[i] = show.line(visit.language, line)
    of[line.sku] = lines[i]
  end
  return lines, of
end

-- What stands against the cart: with the line that it is about, or above all of them.
local function place_problems(cart, of)
  local rest = {}
  for _, each in ipairs(cart.problems) do
    local line = each.sku and of[each.sku]
    if line then line.trouble_here = each.detail else rest[#rest + 1] = { detail = each.detail } end
  end
  return rest
end

local function coupons_of(visit, cart)
  local list = {}
  for i, coupon in ipairs(cart.coupons) do
    list[i] = { code = coupon.code, state = coupon.accepted and words.say(visit.language, "coupon_on") or "" }
  end
  return list
end

-- What each gift card pays; why one does not stands among the problems.
local function gift_cards_of(visit, cart)
  local list = {}
  for i, card in ipairs(cart.gift_cards) do
    list[i] = { id = card.id, called = words.say(visit.language, "gift_card_ends", { last4 = card.last4 }),
      state = card.accepted and words.money(visit.language, card.amount) or "" }
  end
  return list
end

local function thresholds_of(visit, cart)
  local list = {}
  for _, each in ipairs(cart.thresholds) do
    local is_shipping = each.kind == "free_shipping" and each.missing
    list[#list + 1] = is_shipping
      and words.say(visit.language, "add_for_shipping", { amount = words.money(visit.language, each.missing) })
      or each.detail
  end
  return list
end

-- Why it costs what it does: what each promotion took off, as the rules say it.
function M.reasons(priced)
  local list = {}
  for i, each in ipairs(priced.discounts) do list[i] = each.detail end
  return list
end

-- The cart's fields of a page.
function M.model(visit, cart)
  local lines, of = lines_of(visit, cart)
  local reasons = M.reasons(cart)
  return show.totals(visit.language, { lines = lines, has_lines = #lines > 0, problems = place_problems(cart, of),
    coupons = coupons_of(visit, cart), gift_cards = gift_cards_of(visit, cart),
    thresholds = thresholds_of(visit, cart), reasons = reasons,
    why = #reasons > 0 }, cart.totals, type(cart.shipping_method) ~= "string")
end

function M.show(visit, fields, status)
  local cart, failed = M.load(visit)
  if cart == nil then return nil, failed end
  local is_there = cart and cart.state ~= "done"
  local model = is_there and M.model(visit, cart) or { lines = {}, problems = {}, has_lines = false }
  model.title, model.code_typed = words.say(visit.language, "cart"), ""
  for name, value in pairs(fields) do model[name] = value end
  return page.show(visit, "cart", model, status)
end

function M.cart(visit, ctx)
  return M.show(visit, { notice = browse.notice(visit, ctx.query) })
end

-- ---- its forms ----------------------------------------------------------------------------------------------------

-- What the services refuse is told on the cart's page, in their words; what is our own fault is not. The page itself is
-- there: a 404 would be the balancer's.
local function refused(visit, failed, fields)
  if failed.status >= 500 or failed.status == 429 then return nil, failed end
  fields = fields or {}
  fields.trouble = failed.detail or failed.title
  return M.show(visit, fields, failed.status == 404 and 422 or failed.status)
end

function M.add(visit, ctx)
  local form = ctx.body
  local line = { sku = form.sku, quantity = visits.number(form.quantity) }
  local cart, failed = change(visit, form.key, function(path)
    return visits.ask(visit, "cart", "POST " .. path .. "/lines", line, { key = form.key })
  end)
  if not cart then return refused(visit, failed) end
  local name = form.sku
  for _, each in ipairs(cart.lines) do
    if each.sku == form.sku then name = show.name(each.name) end
  end
  return page.go(visit, visits.with_notice(visits.path_of(form["goto"], "/cart"), "added", name))
end

function M.set_line(visit, ctx)
  local form, sku = ctx.body, ctx.params.sku
  local quantity = form.remove and 0 or visits.number(form.quantity)
  local cart, failed = change(visit, form.key, function(path)
    local line = path .. "/lines/" .. url.encode(sku)
    if quantity == 0 then return visits.ask(visit, "cart", "DELETE " .. line) end
    return visits.ask(visit, "cart", "PATCH " .. line, { quantity = quantity })
  end)
  if not cart then return refused(visit, failed) end
  return page.go(visit, visits.with_notice("/cart", quantity == 0 and "removed" or "updated", sku))
end

function M.coupon(visit, ctx)
  local form = ctx.body
  local cart, failed = change(visit, form.key, function(path)
    local code = form.code or ""
    if form.remove then return visits.ask(visit, "cart", "DELETE " .. path .. "/coupons/" .. url.encode(code)) end
    return visits.ask(visit, "cart", "POST " .. path .. "/coupons", { code = code })
  end)
  if not cart then return refused(visit, failed, { code_typed = form.code or "" }) end
  return page.go(visit, visits.with_notice("/cart", form.remove and "coupon_off" or "coupon_on", form.code))
end

-- The code is money: it is in no address, and not shown again.
function M.gift_card(visit, ctx)
  local form = ctx.body
  local cart, failed = change(visit, form.key, function(path)
    path = path .. "/gift-cards"
    if form.remove then return visits.ask(visit, "cart", "DELETE " .. path .. "/" .. url.encode(form.remove)) end
    return visits.ask(visit, "cart", "POST " .. path, { code = form.code or "" })
  end)
  if not cart then return refused(visit, failed) end
  return page.go(visit, visits.with_notice("/cart", form.remove and "gift_card_off" or "gift_card_on"))
end

return M
