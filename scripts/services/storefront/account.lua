-- account: signing in and out, and the orders.

local basket = require "services.storefront.basket"
local browse = require "services.storefront.browse"
local page = require "services.storefront.page"
local session = require "platform.session"
local show = require "services.storefront.show"
local url = require "lib.url"
local visits = require "services.storefront.visit"
local words = require "services.storefront.words"

local M = {}

-- ---- signing in ---------------------------------------------------------------------------------------------------

local function sign_in_page(visit, fields, status)
  local model = { title = words.say(visit.language, "sign_in"), email = "", name = "", ["goto"] = "/" }
  for name, value in pairs(fields) do model[name] = value end
  return page.show(visit, "sign_in", model, status)
end

function M.sign_in(visit, ctx)
  return sign_in_page(visit, { notice = browse.notice(visit, ctx.query),
    ["goto"] = visits.path_of(ctx.query["goto"], "/") })
end

-- The cart of the visit becomes the customer's; one that cannot stays as it is.
local function bring_cart(visit)
  if not visit.cart then return end
  local cart = visits.ask(visit, "cart", "POST /carts/" .. visit.cart .. "/claim", {})
  if cart then visits.note_cart(visit, cart) end
end

-- Signs in with what the form says, and goes on where it wanted to; or nil, problem.
local function enter(visit, form, notice)
  local tokens, failed = visits.ask(visit, "auth", "POST /auth/tokens",
    { email = fastr.text.trim(form.email or ""), password = form.password or "" },
    { headers = { ["X-Forwarded-For"] = visit.req:header("x-forwarded-for") } })
  if not tokens then return nil, failed end
  visits.enter(visit, tokens)
  bring_cart(visit)
  return page.go(visit, visits.with_notice(visits.path_of(form["goto"], "/"), notice))
end

local function again(visit, form, failed)
  if failed.status >= 500 then return nil, failed end
  return sign_in_page(visit, { email = form.email or "", name = form.name or "",
    trouble = failed.detail or failed.title, ["goto"] = visits.path_of(form["goto"], "/") },
    failed.status == 401 and 422 or failed.status)
end

function M.do_sign_in(visit, ctx)
  local status, body, headers = enter(visit, ctx.body, "signed_in")
  if status then return status, body, headers end
  return again(visit, ctx.body, body)
end

function M.register(visit, ctx)
  local form = ctx.body
  local user, failed = visits.ask(visit, "user", "POST /users", { email = fastr.text.trim(form.email or ""),
    password = form.password or "", name = fastr.text.trim(form.name or "") }, { key = form.key })
  if not user then return again(visit, form, failed) end
  local status, body, headers = enter(visit, form, "registered")
  if status then return status, body, headers end
  return again(visit, form, body)
end

function M.sign_out(visit)
  if visit.principal.kind ~= "guest" then visits.ask(visit, "auth", "DELETE /auth/tokens") end
  visits.leave(visit)
  visits.forget_cart(visit)
  return page.go(visit, "/?notice=signed_out")
end

function M.language(visit, ctx)
  if words.known[ctx.body.language or ""] then visits.keep(visit, "fastr_language", ctx.body.language, 365 * 86400) end
  return page.go(visit, visits.path_of(ctx.body["goto"], "/"))
end

-- ---- orders -------------------------------------------------------------------------------------------------------

local function title_of(visit, order)
  if type(order.number) == "string" then return words.say(visit.language, "order", { number = order.number }) end
  return words.say(visit.language, "order_open")
end

local function state_of(visit, status)
  return words.say(visit.language, "status_" .. status)
end

function M.orders(visit, ctx)
  local model = { title = words.say(visit.language, "orders"), notice = browse.notice(visit, ctx.query), orders = {},
    none = false, more = false }
  if visit.principal.kind == "guest" then return page.show(visit, "orders", model) end
  local query = url.query { cursor = ctx.query.cursor ~= "" and ctx.query.cursor or nil }
  local found, failed = visits.ask(visit, "order", "GET /orders" .. (query ~= "" and "?" .. query or ""))
  if not found then return nil, failed end
  for i, order in ipairs(found.items) do
    model.orders[i] = { href = "/orders/" .. order.id, called = title_of(visit, order),
      when = words.say(visit.language, "ordered_on", { day = words.day(visit.language, order.created_at) }),
      state = state_of(visit, order.status), total = words.money(visit.language, order.total) }
  end
  model.none = #model.orders == 0
  if type(found.next_cursor) == "string" then model.more = "/orders?" .. url.query { cursor = found.next_cursor } end
  return page.show(visit, "orders", model)
end

-- ---- one order ----------------------------------------------------------------------------------------------------

-- A guest's key to the order, which only its own page's cookie has.
local function key_to(visit, id)
  local token = session.cookie(visit.req, "fastr_order", "/orders/" .. id)
  return { headers = token and { ["Fastr-Order"] = token } or {} }
end

local function history_of(visit, order)
  local list = {}
  for i, entry in ipairs(order.history) do
    list[i] = { at = entry.at, day = words.day(visit.language, entry.at),
      state = words.find(visit.language, "history_" .. entry.status) or state_of(visit, entry.status) }
  end
  return list
end

local function shipments_of(visit, order)
  local list = {}
  for i, each in ipairs(order.shipments) do
    list[i] = words.say(visit.language, "tracking", { carrier = each.carrier, tracking = each.tracking })
  end
  return list
end

local function lines_of(visit, order)
  local list = {}
  for i, line in ipairs(order.lines) do list[i] = show.line(visit.language, line) end
  return list
end

-- What the last payment of an open order waits for.
local function payment_of(order, model)
  local last = order.payments[#order.payments]
  local is_open = order.status == "placing" and last
  model.challenge = is_open and last.status == "requires_action" and type(last.next_action) == "table"
    and last.next_action.url or false
  model.waiting = is_open and (last.status == "unknown" or last.status == "asked") or false
  model.declined = is_open and last.status == "declined" or false
end

local CAN_CANCEL = { placing = true, placed = true, paid = true }

local function order_page(visit, order, fields, status)
  local model = show.totals(visit.language, { title = title_of(visit, order), status = order.status,
    state = state_of(visit, order.status), lines = lines_of(visit, order), history = history_of(visit, order),
    shipments = shipments_of(visit, order), address = show.address(order.shipping_address),
    reasons = basket.reasons(order), can_cancel = CAN_CANCEL[order.status] or false,
    cancel = "/orders/" .. order.id .. "/cancel" }, order.totals)
  payment_of(order, model)
  for name, value in pairs(fields) do model[name] = value end
  return page.show(visit, "order", model, status)
end

function M.order(visit, ctx)
  local id = ctx.params.id
  local order, failed = visits.ask(visit, "order", "GET /orders/" .. id, nil, key_to(visit, id))
  if not order then return nil, failed end
  local thanks = ctx.query.notice == "thank_you" and words.say(visit.language, "thank_you")
  return order_page(visit, order, { notice = thanks or browse.notice(visit, ctx.query) })
end

function M.cancel(visit, ctx)
  local id = ctx.params.id
  local options = key_to(visit, id)
  options.key, options.timeout_ms = ctx.body.key, 18000
  local order, failed = visits.ask(visit, "order", "POST /orders/" .. id .. "/cancel", {}, options)
  if order then return page.go(visit, "/orders/" .. id .. "?notice=cancelled") end
  if failed.status >= 500 or failed.status == 404 then return nil, failed end
  order = visits.ask(visit, "order", "GET /orders/" .. id, nil, key_to(visit, id))
  if not order then return nil, failed end
  return order_page(visit, order, { trouble = failed.detail or failed.title }, failed.status)
end

return M
