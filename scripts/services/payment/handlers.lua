-- handlers: one function per route of payment.

local access = require "platform.access"
local attempts = require "services.payment.attempts"
local audit = require "services.payment.audit"
local cards = require "services.payment.cards"
local database = require "platform.db"
local gift_cards = require "services.payment.gift_cards"
local gift_store = require "services.payment.gift_store"
local ledger = require "services.payment.ledger"
local operations = require "services.payment.operations"
local problem = require "lib.problem"
local session = require "platform.session"
local store = require "services.payment.store"
local url = require "lib.url"
local vault = require "services.payment.vault"
local webhook = require "services.payment.webhook"

local M = {}

local array, null = fastr.json.array, fastr.json.null
local NO_STORE = { ["Cache-Control"] = "no-store" }

local function db()
  return database.open("payment")
end

-- ---- payment methods -----------------------------------------------------------------------------------------------

local PATH = "/api/v1/payment-methods/"

-- Whose methods these are; nil: a guest's.
local function owner_of(ctx)
  return ctx.principal.id
end

local function view(row)
  return { id = row.id, brand = row.brand, last4 = row.last4, exp_month = row.exp_month, exp_year = row.exp_year,
    created_at = row.created_at, expires_at = row.expires_at }
end

function M.save_method(ctx)
  local card, errors = cards.check(ctx.body.card, fastr.time.now())
  if not card then
    return nil, problem.new("card_invalid", { detail = errors[1].path .. " " .. errors[1].problem,
      errors = array(errors) })
  end
  local row, is_new = vault.save(ctx.tx, card, owner_of(ctx))
  if not row then return nil, is_new end
  return is_new and 201 or 200, view(row), { Location = PATH .. row.id }
end

local function back(path, cookie)
  return 303, nil, { Location = path, ["Set-Cookie"] = cookie, ["Cache-Control"] = "no-store" }
end

-- The same from the page's form. What is wrong is told by the name of the field: nothing that was typed travels.
function M.save_from_page(ctx)
  if not session.cookie_counts(ctx.request) then return nil, problem.new("forbidden") end
  local form = ctx.body
  local card, errors = cards.check({ number = fastr.text.trim(form.number), cvc = fastr.text.trim(form.cvc),
    exp_month = tonumber(form.exp_month) or 0, exp_year = tonumber(form.exp_year) or 0 }, fastr.time.now())
  if not card then
    return back("/checkout/payment?" .. url.query { notice = "card_wrong",
      about = (errors[1].path:gsub("^card%.", "")) .. " " .. errors[1].problem })
  end
  local row, wrong = vault.save(ctx.tx, card, owner_of(ctx))
  if not row then return nil, wrong end
  return back("/checkout/review", session.cookie_text("fastr_method", row.id, "/checkout", 3600))
end

-- Two requests of one key must agree in the card. Its security code is left out: nothing made from it may be kept.
function M.same_card(ctx)
  local card = ctx.body.card
  return { number = card.number, exp_month = card.exp_month, exp_year = card.exp_year }
end

-- The reply of a key that is sent again: beside a card no body is stored, so the method is read again.
function M.saved_method(ctx)
  local stored = ctx.stored
  local row, wrong = vault.method_in(ctx.tx, stored.headers.Location:sub(#PATH + 1), owner_of(ctx))
  if not row then return nil, wrong end
  return stored.status, view(row), stored.headers
end

function M.list_methods(ctx)
  if not owner_of(ctx) then return nil, problem.new("unauthenticated") end
  local items = array {}
  for i, row in ipairs(vault.list(db(), owner_of(ctx))) do items[i] = view(row) end
  return 200, { items = items }
end

function M.show_method(ctx)
  local row, wrong = vault.method(db(), ctx.params.id, owner_of(ctx))
  if not row then return nil, wrong end
  return 200, view(row)
end

function M.delete_method(ctx)
  local ok, wrong = vault.delete(ctx.tx, ctx.params.id, owner_of(ctx))
  if not ok then return nil, wrong end
  return 204
end

-- ---- payments -----------------------------------------------------------------------------------------------------

local function money(amount, p)
  return { amount = amount, currency = p.currency }
end

local function show_operation(op, p)
  return { id = op.key, kind = op.kind, amount = money(op.amount, p), at = op.at,
    status = op.state == "requested" and "pending" or op.state, reason = op.reason ~= "" and op.reason or nil }
end

local function show_payment(p)
  local b, shown, shares = ledger.fold(store.latest_entries(db(), p.id)), {}, {}
  for i, op in ipairs(b.operations) do shown[i] = show_operation(op, p) end
  for i, share in ipairs(p.from_gift_cards > 0 and gift_store.latest_shares(db(), p.id) or {}) do
    shares[i] = { last4 = share.last4, amount = money(share.paid, p), given_back = money(share.given_back, p) }
  end
  return { id = p.id, order = p.order, status = p.status, amount = money(p.amount, p),
    captured = money(b.done.capture, p), refunded = money(b.done.refund, p), brand = p.brand, last4 = p.last4,
    reason = p.reason ~= "" and p.reason or null, next_action = p.next_action or null, operations = array(shown),
    gift_cards = array(shares), created_at = p.created_at }
end

-- Who has an order's token sees its payment; order alone knows tokens.
local function has_token(ctx, p)
  local token = ctx.request:header("fastr-order")
  if not token then return false end
  return fastr.call("order", "GET /orders/" .. p.order, nil, { headers = { ["Fastr-Order"] = token } }) ~= nil
end

local function may_see(ctx, p)
  local who = ctx.principal
  if who.kind == "staff" and access.check(who, "payment:read") then return true end
  if who.kind == "customer" and p.customer == who.id then return true end
  return has_token(ctx, p)
end

-- The same answer whether it does not exist or is somebody else's.
function M.show_payment(ctx)
  local p = store.load(db(), ctx.params.id)
  if not p or not p.order or not may_see(ctx, p) then return nil, problem.new("payment_not_found") end
  return 200, show_payment(p)
end

local function answer_operation(p, done)
  return done.state == "succeeded" and 201 or 202, show_payment(p)
end

local function wrong_currency(amount, p)
  if not amount or amount.currency == p.currency then return nil end
  return problem.new("validation", { detail = "amount.currency must be " .. p.currency,
    errors = array { { path = "amount.currency", problem = "must be " .. p.currency } } })
end

-- A route of staff that moves money: the saga's id names the operation at the provider, for ever.
local function operation(kind)
  return function(ctx)
    local body = ctx.body or {}
    local p = store.load(db(), ctx.params.id)
    if not p or not p.order then return nil, problem.new("payment_not_found") end
    local failed = wrong_currency(body.amount, p)
    if failed then return nil, failed end
    local done
    done, failed = operations.run(db(), p.id, { kind = kind, key = ctx.saga, reason = body.reason,
      amount = body.amount and body.amount.amount, actor = "staff:" .. ctx.principal.id })
    if not done then return nil, failed end
    return answer_operation(store.load(db(), p.id), done)
  end
end

M.capture, M.refund_payment, M.void_payment = operation("capture"), operation("refund"), operation("void")

-- The same key again: what was not known yet may be known by now.
function M.operation_again(ctx)
  local p = store.load(db(), ctx.params.id)
  for _, op in ipairs(ledger.fold(store.latest_entries(db(), p.id)).operations) do
    if op.key == ctx.saga and op.state ~= "failed" then return answer_operation(p, op) end
  end
  if gift_store.latest_given_back(db(), p.id, ctx.saga) > 0 then return 201, show_payment(p) end
  return nil, problem.new("payment_state", { detail = "The provider refused it." })
end

-- ---- gift cards ---------------------------------------------------------------------------------------------------

-- As its bearer sees it.
local function show_gift_card(card)
  return { id = card.id, last4 = card.last4, status = gift_cards.status(card), balance = money(card.balance, card),
    expires_at = card.expires_at or null }
end

local function show_entry(entry, card)
  return { kind = entry.kind, amount = money(entry.amount, card), payment = entry.payment or null, actor = entry.actor,
    reason = entry.reason, at = entry.at }
end

-- As staff see it; `entries` too where one card is shown.
local function show_whole(card, entries)
  local shown = show_gift_card(card)
  shown.initial, shown.batch, shown.created_at = money(card.initial, card), card.batch, card.created_at
  shown.code = card.code
  if entries then
    shown.entries = array {}
    for i, entry in ipairs(entries) do shown.entries[i] = show_entry(entry, card) end
  end
  return shown
end

local function actor(ctx)
  return "staff:" .. ctx.principal.id
end

local function issued(ctx, made)
  local items = array {}
  for i, card in ipairs(made) do items[i] = show_whole(card) end
  return 201, { batch = ctx.saga, items = items }, NO_STORE
end

function M.issue_gift_cards(ctx)
  local body = ctx.body
  local made, failed = gift_cards.issue(db(), ctx.saga, { count = body.count or 1, amount = body.amount,
    expires_at = body.expires_at ~= null and body.expires_at or nil, reason = body.reason }, actor(ctx))
  if not made then return nil, failed end
  return issued(ctx, made)
end

-- The key sent again, by the same person: the codes are not stored, they are made again.
function M.issued_again(ctx)
  return issued(ctx, gift_cards.issued(db(), ctx.saga))
end

function M.list_gift_cards(ctx)
  local query, items = ctx.query, array {}
  local size = query.limit or 20
  local rows = gift_store.list(db(), query.last4 and query.last4:upper(), query.batch, query.cursor, size + 1)
  for i = 1, math.min(size, #rows) do items[i] = show_whole(rows[i]) end
  return 200, { items = items, next_cursor = rows[size + 1] and rows[size].id or null }
end

function M.show_gift_card(ctx)
  local card, failed = gift_cards.load(db(), ctx.params.id)
  if not card then return nil, failed end
  if not access.check(ctx.principal, "gift_card:read") then return 200, show_gift_card(card), NO_STORE end
  return 200, show_whole(card, gift_store.entries(db(), card.id)), NO_STORE
end

-- Looks as if nothing were there for every code that is none: 80 random bits are not found by trying.
function M.gift_card_balance(ctx)
  local card, failed = gift_cards.find(db(), ctx.body.code)
  if not card then return nil, failed end
  return 200, show_gift_card(card), NO_STORE
end

function M.change_gift_card(ctx)
  local expires_at = ctx.body.expires_at
  if expires_at == null then expires_at = false end
  local card, failed = gift_cards.change(ctx.tx, ctx.params.id, ctx.body.status, expires_at)
  if not card then return nil, failed end
  return 200, show_whole(card)
end

function M.adjust_gift_card(ctx)
  local body = ctx.body
  local card, failed = gift_cards.adjust(ctx.tx, ctx.params.id, body.amount, { key = fastr.crypto.uuid7(),
    actor = actor(ctx), reason = body.reason })
  if not card then return nil, failed end
  return 200, show_whole(card)
end

-- ---- the provider's news ------------------------------------------------------------------------------------------

function M.test_webhook(ctx)
  local ok, failed = webhook.receive(db(), ctx.request:header("provider-signature"), ctx.request:body())
  if not ok then return nil, failed end
  return 204
end

-- ---- for the other services ---------------------------------------------------------------------------------------

local function reply(answer, failed)
  if not answer then return nil, failed end
  return 200, answer
end

function M.authorise(ctx) return reply(attempts.authorise(db(), ctx.body)) end

function M.look_up(ctx) return reply(attempts.look_up(db(), ctx.body.attempt)) end

local DAY_MS = 86400 * 1000 -- "lately", in the facts

function M.method_facts(ctx)
  local row, wrong = vault.method(db(), ctx.body.payment_method, ctx.body.customer)
  if not row then return nil, wrong end
  return 200, { brand = row.brand, saved = row.expires_at == nil,
    declined = store.declined(db(), row.id, fastr.time.iso(fastr.time.unix_ms() - DAY_MS)) }
end

function M.accounts(ctx)
  return 200, { items = audit.accounts(db(), ctx.body.orders) }
end

local function compared(found, why)
  if not found then return nil, problem.new("unavailable", { detail = "The provider cannot be asked: " .. why }) end
  return 200, found
end

function M.compare(ctx) return compared(audit.payments(db(), ctx.body)) end

function M.strangers(ctx) return compared(audit.strangers(db(), ctx.body)) end

function M.take(ctx) return reply(attempts.capture(db(), ctx.body.attempt)) end

function M.void(ctx) return reply(attempts.void(db(), ctx.body.attempt)) end

function M.refund(ctx)
  local body = ctx.body
  local done, failed = operations.run(db(), body.payment, { kind = "refund", key = body.key, amount = body.amount,
    reason = body.reason, actor = "service:" .. ctx.principal.id })
  if not done then return nil, failed end
  return 200, { status = done.state == "succeeded" and "succeeded" or "pending",
    amount = done.amount + done.to_gift_cards }
end

return M
