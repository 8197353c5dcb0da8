-- checkout: address, shipping, payment, review: four pages that any browser can go through, and back. What was typed is
-- kept in the cart, or shown again with what is wrong with it.

local basket = require "services.storefront.basket"
local browse = require "services.storefront.browse"
local page = require "services.storefront.page"
local show = require "services.storefront.show"
local url = require "lib.url"
local visits = require "services.storefront.visit"
local words = require "services.storefront.words"

local M = {}

local STEPS = { { "step_address", "/checkout" }, { "step_shipping", "/checkout/shipping" },
  { "step_payment", "/checkout/payment" }, { "step_review", "/checkout/review" } }

-- The way through the checkout, with the step `now`; those before it are links.
local function steps(visit, now)
  local list = {}
  for i, each in ipairs(STEPS) do
    list[i] = { called = words.say(visit.language, each[1]), now = i == now, href = i < now and each[2] or false }
  end
  return list
end

local function leading(visit, path)
  return function() return page.go(visit, path) end
end

local function failing(failed)
  return function() return nil, failed end
end

-- The cart to be bought; else nil, and what replies: the way to its order, or back to the empty cart.
local function cart_of(visit)
  local cart, failed = basket.load(visit)
  if cart == nil then return nil, failing(failed) end
  if cart and cart.state == "done" then
    local order = cart.order
    visits.forget_cart(visit)
    return nil, leading(visit, "/orders/" .. order)
  end
  if not cart or #cart.lines == 0 then return nil, leading(visit, "/cart?notice=cart_empty") end
  return cart
end

local function show_step(visit, number, name, model, status)
  model.title, model.steps = words.say(visit.language, "checkout"), steps(visit, number)
  return page.show(visit, name, model, status)
end

-- ---- address ------------------------------------------------------------------------------------------------------

-- name, text, type, what browsers fill in, longest, required
local FIELDS = { { "email", "email", "email", "email", 254, true }, { "name", "full_name", "text", "name", 120, true },
  { "line1", "line1", "text", "address-line1", 120, true }, { "line2", "line2", "text", "address-line2", 120 },
  { "city", "city", "text", "address-level2", 80, true }, { "region", "region", "text", "address-level1", 80 },
  { "postcode", "postcode", "text", "postal-code", 20, true }, { "phone", "phone", "tel", "tel", 40 } }

-- The form with what was typed, and what is wrong with it by field.
local function address_form(visit, typed, wrong, status, trouble)
  local fields = {}
  for i, each in ipairs(FIELDS) do
    fields[i] = { field = each[1], label = words.say(visit.language, each[2]), kind = each[3], fill = each[4],
      longest = each[5], required = each[6] or false, value = typed[each[1]] or "", wrong = wrong[each[1]] or false }
  end
  return show_step(visit, 1, "address", { fields = fields, countries = show.countries(typed.country or "GB"),
    trouble = trouble or false }, status)
end

-- What is known of the shopper already: from the cart, else from the address book.
local function known(visit, cart)
  local typed = {}
  local address = type(cart.shipping_address) == "table" and cart.shipping_address
  if not address and visit.principal.kind ~= "guest" then
    local book = visits.ask(visit, "user", "GET /users/me/addresses")
    for _, entry in ipairs(book and book.items or {}) do
      if entry.default or not address then address = entry.address end
    end
  end
  for name, value in pairs(address or {}) do typed[name] = value end
  typed.email = type(cart.email) == "string" and cart.email or nil
  if not typed.email and visit.principal.kind ~= "guest" then
    local me = visits.ask(visit, "user", "GET /users/me")
    typed.email = me and me.email
  end
  return typed
end

function M.address(visit)
  local cart, reply = cart_of(visit)
  if not cart then return reply() end
  return address_form(visit, known(visit, cart), {})
end

-- What the cart refuses, by field of the form: "shipping_address.city" -> city.
local function wrong_fields(failed)
  local wrong = {}
  for _, each in ipairs(failed.errors or {}) do
    local field = (each.path or ""):match("([%w_]+)$")
    if field then wrong[field] = each.problem end
  end
  return wrong
end

local OPTIONAL = { line2 = true, region = true, phone = true }

function M.set_address(visit, ctx)
  local cart, reply = cart_of(visit)
  if not cart then return reply() end
  local form, address = ctx.body, { country = ctx.body.country or "" }
  for _, each in ipairs(FIELDS) do
    local name, value = each[1], fastr.text.trim(form[each[1]] or "")
    if name ~= "email" and not (OPTIONAL[name] and value == "") then address[name] = value end
  end
  local changed, failed = visits.ask(visit, "cart", "PATCH /carts/" .. cart.id,
    { email = fastr.text.trim(form.email or ""), shipping_address = address }, { key = form.key })
  if changed then return page.go(visit, "/checkout/shipping") end
  if failed.status >= 500 then return nil, failed end
  return address_form(visit, form, wrong_fields(failed), failed.status, failed.detail)
end

-- ---- shipping -----------------------------------------------------------------------------------------------------

function M.shipping(visit, ctx)
  local cart, reply = cart_of(visit)
  if not cart then return reply() end
  if type(cart.shipping_address) ~= "table" then return page.go(visit, "/checkout") end
  local found, failed = visits.ask(visit, "cart", "GET /carts/" .. cart.id .. "/shipping-options")
  if not found then return nil, failed end
  local options = {}
  for i, each in ipairs(found.items) do
    options[i] = { method = each.method, called = each.name,
      chosen = cart.shipping_method == each.method or #found.items == 1,
      fee = each.fee.amount == 0 and words.say(visit.language, "free") or words.money(visit.language, each.fee) }
  end
  return show_step(visit, 2, "shipping", { options = options, has_options = #options > 0,
    notice = browse.notice(visit, ctx.query) })
end

function M.set_shipping(visit, ctx)
  local cart, reply = cart_of(visit)
  if not cart then return reply() end
  local changed, failed = visits.ask(visit, "cart", "PATCH /carts/" .. cart.id,
    { shipping_method = ctx.body.method or "" }, { key = ctx.body.key })
  if changed then return page.go(visit, "/checkout/payment") end
  if failed.status >= 500 then return nil, failed end
  return page.go(visit, "/checkout/shipping")
end

-- ---- payment ------------------------------------------------------------------------------------------------------

local function called(visit, card)
  return words.say(visit.language, "card_ends", { brand = card.brand:gsub("^%l", string.upper), last4 = card.last4 })
end

local function saved_cards(visit)
  if visit.principal.kind == "guest" then return {} end
  local found, list = visits.ask(visit, "payment", "GET /payment-methods"), {}
  for i, card in ipairs(found and found.items or {}) do list[i] = { id = card.id, called = called(visit, card) } end
  return list
end

function M.payment(visit, ctx)
  local cart, reply = cart_of(visit)
  if not cart then return reply() end
  if not cart.shipping_method or cart.shipping_method == fastr.json.null then
    return page.go(visit, "/checkout/shipping")
  end
  local cards, notice = saved_cards(visit), browse.notice(visit, ctx.query)
  local is_bad = ctx.query.notice == "card_wrong" or ctx.query.notice == "declined"
  return show_step(visit, 3, "payment", { nothing_due = cart.totals.due.amount == 0, cards = cards,
    has_cards = #cards > 0, notice = not is_bad and notice, trouble = is_bad and notice })
end

function M.set_payment(visit, ctx)
  local id = ctx.body.method or ""
  if not id:find("^[%x-]+$") or #id ~= 36 then return page.go(visit, "/checkout/payment") end
  visits.note_method(visit, id)
  return page.go(visit, "/checkout/review")
end

-- ---- review -------------------------------------------------------------------------------------------------------

-- The card that pays; false where nothing is due; nil: none was chosen, or it is no longer there.
local function card_of(visit, cart)
  if cart.totals.due.amount == 0 then return false end
  local id = visits.method(visit.req)
  return id and visits.ask(visit, "payment", "GET /payment-methods/" .. url.encode(id)) or nil
end

local function review(visit, cart, card, fields, status)
  local model = basket.model(visit, cart)
  model.address = show.address(cart.shipping_address)
  model.paid_with = card and called(visit, card) or words.say(visit.language, "nothing_due")
  model.total_minor, model.due_minor = ("%d"):format(cart.totals.total.amount), ("%d"):format(cart.totals.due.amount)
  model.currency = cart.currency
  model.buy = words.say(visit.language, "buy", { total = model.total })
  for name, value in pairs(fields) do model[name] = value end
  return show_step(visit, 4, "review", model, status)
end

-- The cart and its card once nothing is missing; else nil, and the way to what is.
local function ready(visit)
  local cart, reply = cart_of(visit)
  if not cart then return nil, reply end
  if type(cart.shipping_address) ~= "table" then return nil, leading(visit, "/checkout") end
  if type(cart.shipping_method) ~= "string" then return nil, leading(visit, "/checkout/shipping") end
  local card = card_of(visit, cart)
  if card == nil then return nil, leading(visit, "/checkout/payment") end
  return cart, card
end

function M.review(visit)
  local cart, card = ready(visit)
  if not cart then return card() end
  return review(visit, cart, card, {})
end

-- A guest's key to his order, for this browser and that page alone.
local function keep_order(visit, order, token)
  if token then visits.keep(visit, "fastr_order", token, 90 * 86400, "/orders/" .. order) end
end

local function bought(visit, order)
  keep_order(visit, order.id, order.order_token)
  visits.note_method(visit, nil)
  local is_open = order.status == "placing"
  if not is_open then visits.forget_cart(visit) end
  return page.go(visit, "/orders/" .. order.id .. (is_open and "" or "?notice=thank_you"))
end

-- One key, one order: whoever sends the form again is led to the same.
function M.buy(visit, ctx)
  local cart, card = ready(visit)
  if not cart then return card() end
  local form = ctx.body
  local function agreed(amount) return { amount = visits.number(amount), currency = form.currency } end
  local order, failed = visits.ask(visit, "cart", "POST /carts/" .. cart.id .. "/checkout",
    { payment_method = card and card.id or nil, expected_total = agreed(form.total),
      expected_due = agreed(form.due) }, { key = form.key, timeout_ms = 16000 })
  if order then return bought(visit, order) end
  if failed.status == 402 then
    keep_order(visit, failed.order, failed.order_token)
    return page.go(visit, "/checkout/payment?notice=declined")
  end
  if failed.status >= 500 then return nil, failed end
  cart = basket.load(visit) or cart
  return review(visit, cart, card, { trouble = failed.detail or failed.title }, failed.status)
end

return M
