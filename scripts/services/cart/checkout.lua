-- checkout: the cart's part of a purchase.
--
--   open --(checkout: ready, priced, agreed)--> paying --(order: settle done)--> done
--    ^                                            |
--    +-----------(order: settle open)-------------+
--
-- While it is paying the cart cannot be changed, so what order freezes is what the shopper sees. Order has the last
-- word, also after a crash; running this again with the same id changes nothing that has happened. One checkout at a
-- time runs on a cart: `paying_by` says which. Whoever finds another one running leaves its cart and its coupons alone.

local problem = require "lib.problem"
local outbox = require "platform.outbox"
local request = require "platform.request"
local session = require "platform.session"
local coupons = require "services.cart.coupons"
local pricing = require "services.cart.pricing"
local store = require "services.cart.store"
local view = require "services.cart.view"

local M = {}

local array = fastr.json.array

local PLACE_MS = 13000 -- a payment may take its time
local RUNS_SECONDS = 20 -- longer than a checkout may run: after it, order is asked whether one still does
local ROUNDS = 3 -- a cart that changes under us is priced again, this many times

-- ---- before the order ---------------------------------------------------------------------------------------------

-- What is missing for a checkout, as one problem; nil if nothing is.
local function incomplete(cart, priced)
  if #cart.lines == 0 then return problem.new("cart_empty") end
  local errors = {}
  for _, field in ipairs { "email", "shipping_address", "shipping_method" } do
    if not cart[field] then errors[#errors + 1] = { path = field, problem = "is missing" } end
  end
  for _, sku in ipairs(priced.gone) do
    errors[#errors + 1] = { path = "lines", problem = sku .. " is no longer sold", sku = sku }
  end
  if cart.shipping_method and #priced.facts.shipping == 0 then
    errors[#errors + 1] = { path = "shipping_method", problem = "is not offered for this cart and address" }
  end
  if #errors == 0 then return nil end
  return problem.new("cart_incomplete", { errors = array(errors), detail = errors[1].path .. " " .. errors[1].problem })
end

-- Writes what the request brings along, if it changes anything. Returns the cart, or nil and a problem.
local function bring_along(tx, ctx)
  local cart = store.lock(tx, ctx.params.id)
  if not cart then return nil, problem.new("cart_not_found") end
  if cart.state ~= "open" then return cart end
  local ok, stale = request.matches(ctx, cart.version)
  if not ok then return nil, stale end
  local changed = ctx.principal.kind == "customer" and not cart.customer
  if changed then cart.customer = ctx.principal.id end
  for _, field in ipairs { "email", "shipping_address", "shipping_method" } do
    if ctx.body[field] then
      cart[field], changed = ctx.body[field], true
    end
  end
  if changed then
    cart.version = cart.version + 1
    store.save(tx, cart, fastr.time.now())
  end
  return cart
end

local function price_fresh(db, cart)
  local gathered, failed = pricing.gather(db, cart, { fresh = true })
  if not gathered then return nil, failed end
  local priced
  priced, failed = pricing.price(cart, gathered)
  if not priced then return nil, failed end
  failed = incomplete(cart, priced)
  if failed then return nil, failed end
  local ok
  ok, failed = pricing.accept(cart, { kind = "checkout" }, gathered)
  if not ok then return nil, failed end
  return priced
end

-- Is the cart paying, and for so short a time that its checkout may still run?
function M.may_run(cart)
  return cart.state == "paying" and fastr.time.unix_ms() / 1000 - cart.paying_since < RUNS_SECONDS
end

-- Does another checkout run on the locked cart?
local function runs(cart, saga)
  return cart.paying_by ~= nil and cart.paying_by ~= saga and M.may_run(cart)
end

-- Closes the cart to changes and claims what it uses: {true}; {false} if it is no longer the one that was priced; nil
-- and a problem if another checkout runs on it, or a coupon or a promotion has been used up meanwhile.
local function close(tx, cart, priced, saga)
  local now = store.lock_exactly(tx, cart.id)
  if now.version ~= cart.version or now.state == "done" then return { false } end
  if runs(now, saga) then return nil, problem.new("checkout_running", { retry_after = 2 }) end
  now.state, now.paying_since, now.paying_by = "paying", math.floor(fastr.time.unix_ms() / 1000), saga
  store.save(tx, now, fastr.time.now())
  local ok, failed = coupons.claim(tx, now, priced)
  if not ok then return nil, failed end
  return { true }
end

-- Opens a locked cart to changes, and gives back what its checkout claimed. The caller saves it.
function M.open(tx, cart)
  cart.state, cart.paying_since, cart.paying_by = "open", nil, nil
  coupons.release(tx, cart)
end

-- Who pays with gift cards says what he means to pay beside: what is on them may have become less since he looked.
local function due_not_agreed(cart, body)
  if #cart.gift_cards == 0 or body.expected_due then return nil end
  return problem.new("validation", { detail = "expected_due is missing: the cart has gift cards",
    errors = array { { path = "expected_due", problem = "is missing: the cart has gift cards" } } })
end

-- The cart, closed, and its price of now; or nil and a problem.
local function freeze(db, ctx)
  for _ = 1, ROUNDS do
    local cart, failed = db:transaction(function(tx) return bring_along(tx, ctx) end)
    if not cart then return nil, failed end
    if cart.state == "done" then return cart end
    failed = due_not_agreed(cart, ctx.body)
    if failed then return nil, failed end
    local priced
    priced, failed = price_fresh(db, cart)
    if not priced then return nil, failed end
    local closed
    closed, failed = db:transaction(function(tx) return close(tx, cart, priced, ctx.saga) end)
    if not closed and failed.code ~= "price_changed" then return nil, failed end
    if closed and closed[1] then return cart, priced end
  end
  return nil, problem.new("conflict", { detail = "The cart keeps changing", retry_after = 1 })
end

-- ---- the order ----------------------------------------------------------------------------------------------------

-- A guest's key to the order. It follows from the cart's capability, so every run of a checkout tells the same one, and
-- order need only keep its hash.
local function order_token(cart_id)
  return fastr.crypto.hmac(cart_id, "order token"):sub(1, 32)
end

-- Adds the headers that open the order of a checkout's reply: one for programs, one for browsers.
function M.headers(body, headers)
  local path, token = "/api/v1/orders/" .. (body.id or body.order), body.order_token
  headers["Fastr-Order"], headers.Location, headers["Cache-Control"] = token, path, "no-store"
  headers["Set-Cookie"] = session.cookie_text("fastr_order", token, path, 90 * 86400)
  return headers
end

local function named_lines(cart, priced)
  local lines = {}
  for i, line in ipairs(cart.lines) do
    local product = priced.products[line.sku]
    lines[i] = { sku = line.sku, name = product.name }
  end
  return array(lines)
end

local function place(ctx, cart, priced)
  return fastr.call("order", "place", {
    cart = cart.id, attempt = ctx.saga, customer = cart.customer, email = cart.email, currency = cart.currency,
    shipping_address = cart.shipping_address, shipping_method = cart.shipping_method,
    names = named_lines(cart, priced), facts = priced.facts, pack = priced.pack,
    expected_total = ctx.body.expected_total, expected_due = ctx.body.expected_due,
    gift_cards = #cart.gift_cards > 0 and array(cart.gift_cards) or nil, reasons = array(view.reasons(cart, priced)),
    payment_method = ctx.body.payment_method, token = order_token(cart.id),
    actor = { kind = ctx.principal.kind, id = ctx.principal.id },
  }, { timeout_ms = PLACE_MS })
end

local STATUS = { paid = 201, placed = 201, unknown = 202, requires_action = 202, declined = 402 }

local function reply(cart, outcome, order)
  local token = order_token(cart.id)
  if outcome ~= "declined" then
    order.order_token = token
    return STATUS[outcome], order, M.headers(order, {})
  end
  local body = setmetatable(problem.new("payment_declined", { order = order.id, order_token = token,
    reason = order.payments[#order.payments].reason }), nil)
  return 402, body, M.headers(body, { ["Content-Type"] = "application/problem+json" })
end

-- This checkout's run is over. `is_nothing`: no order came of it, and the shopper may change the cart again; else the
-- cart is order's to settle.
local function let_go(db, cart, saga, is_nothing)
  db:transaction(function(tx)
    local now = store.lock_exactly(tx, cart.id)
    if now.state ~= "paying" or now.paying_by ~= saga then return true end
    now.paying_by = nil
    if is_nothing then M.open(tx, now) end
    store.save(tx, now, fastr.time.now())
    return true
  end)
end

-- Whoever has a cart's id may buy it, but not with its customer's saved cards, nor with the gift cards in it: those are
-- for him alone. True, or nil and a problem. Before anything is closed: a checkout that is under way is none of this
-- one's business.
local function may_use(db, ctx)
  local method, cart = ctx.body.payment_method, store.load(db, ctx.params.id)
  if not cart or not cart.customer or cart.customer == ctx.principal.id then return true end
  if #cart.gift_cards > 0 then
    return nil, problem.new("forbidden", { detail = "Its gift cards are for the customer whose cart this is." })
  end
  if not method then return true end
  return fastr.call("payment", "GET /payment-methods/" .. method)
end

-- POST /carts/{id}/checkout.
function M.run(db, ctx)
  local answer, failed = may_use(db, ctx)
  if not answer then return nil, failed end
  local cart, priced = freeze(db, ctx)
  if not cart then return nil, priced end
  if priced then
    answer, failed = place(ctx, cart, priced)
  else
    answer, failed = fastr.call("order", "of_cart", { cart = cart.id })
  end
  if answer or failed.status < 500 then
    let_go(db, cart, ctx.saga, not answer and failed.code ~= "checkout_running")
  end
  if answer then return reply(cart, answer.outcome, answer.order) end
  return nil, failed
end

-- The order of a cart that is done was cancelled: what it used may be used again, unless the rules said otherwise. It
-- stays done.
local function undone(tx, cart, body)
  if body.outcome == "open" and cart.order == body.order then coupons.release(tx, cart, true) end
  return cart.state
end

-- Order's last word: `body` is {cart, order, outcome, attempt}. Returns the cart's state. Repeating it changes nothing;
-- nor does an attempt that failed open a cart on which another checkout has begun since.
function M.settle(tx, body)
  local cart = store.lock_exactly(tx, body.cart)
  if not cart then return "gone" end
  if cart.state == "done" then return undone(tx, cart, body) end
  if body.outcome == "open" then
    local is_over = body.attempt and cart.paying_by and cart.paying_by ~= body.attempt
    if cart.state == "open" or is_over then return cart.state end
  end
  cart.version = cart.version + 1
  if body.outcome == "open" then
    M.open(tx, cart)
  else
    cart.state, cart.paying_since, cart.paying_by, cart.order = "done", nil, nil, body.order
    outbox.add(tx, { topic = "cart", key = body.order, type = "cart.checked_out.v1", data = { order = body.order } })
  end
  store.save(tx, cart, fastr.time.now())
  return cart.state
end

-- A checkout of which nothing was heard for long (its process died): order says what became of it.
function M.heal(db, id)
  local known, failed = fastr.call("order", "of_cart", { cart = id })
  if not known then return nil, failed end
  if known.in_flight then return false end
  local is_bought = known.outcome == "paid" or known.outcome == "placed"
  return db:transaction(function(tx)
    return M.settle(tx, { cart = id, outcome = is_bought and "done" or "open", order = is_bought and known.order.id })
  end)
end

return M
