-- handlers: one function per route of the test provider.

local database = require "platform.db"
local luhn = require "lib.luhn"
local problem = require "lib.problem"
local session = require "platform.session"
local book = require "services.provider.book"
local cards = require "services.provider.cards"
local challenge = require "services.provider.challenge"
local store = require "services.provider.store"
local view = require "services.provider.view"

local M = {}

local SILENT_MS = 55000

local function db()
  return database.open("provider")
end

-- ---- who asks, and what names the action --------------------------------------------------------------------------

-- True if the request carries the shop's key; else nil and the problem.
local function admit(ctx)
  local given, key = ctx.request:header("provider-key"), fastr.secret("provider_key")
  if not key then return nil, problem.new("unavailable", { detail = "The secret provider_key is missing." }) end
  if given and fastr.crypto.equal(given, key) then return true end
  return nil, problem.new("provider_key_wrong")
end

local function key_of(ctx)
  local key = ctx.request:header("idempotency-key")
  if not key or key == "" then return nil, problem.new("idempotency_key_required") end
  if #key > 255 or key:find("[^\33-\126]") then return nil, problem.new("idempotency_key_invalid") end
  return key
end

-- A keyed hash: a plain one of a body with a card number would tell the number.
local function fingerprint(ctx)
  return fastr.crypto.hmac(session.secret("provider"), fastr.json.canonical(ctx.body or {}))
end

-- The Idempotency-Key of a request that may ask, or nil, problem.
local function admit_named(ctx)
  local ok, wrong = admit(ctx)
  if not ok then return nil, wrong end
  return key_of(ctx)
end

-- ---- charging -----------------------------------------------------------------------------------------------------

local function check_card(card)
  if not card.number:find("^%d+$") or not luhn.fits(card.number) then
    return nil, problem.new("card_invalid", { detail = "The card number is mistyped.",
      errors = fastr.json.array { { path = "card.number", problem = "must be digits with a right check digit" } } })
  end
  return true
end

-- What the book is to know of the request: everything but the number.
local function request_of(ctx, key)
  local body = ctx.body
  local c = cards.describe(body.card.number)
  c.key, c.fingerprint = key, fingerprint(ctx)
  c.amount, c.currency, c.capture = body.amount, body.currency, body.capture
  c.reference, c.return_url = body.reference, body.return_url
  c.is_expired = cards.is_expired(body.card, fastr.time.now())
  return c
end

-- Runs the book's function in a transaction. A COMMIT whose outcome is unknown is a 503: the caller asks with the same
-- key again, and hears then whether it was.
local function within(fn)
  return db():transaction(fn)
end

local function reply(charge, made_before, entry)
  if made_before then return 200, view.charge(charge, entry), { ["Idempotent-Replayed"] = "true" } end
  return 201, view.charge(charge, entry)
end

function M.charge(ctx)
  local key, wrong = admit_named(ctx)
  if not key then return nil, wrong end
  local ok
  ok, wrong = check_card(ctx.body.card)
  if not ok then return nil, wrong end
  if ctx.body.return_url and not challenge.is_ours(ctx.body.return_url) then
    return nil, problem.new("return_url_foreign")
  end
  local request = request_of(ctx, key)
  local behaviour = cards.behaviour(request.card)
  if behaviour.silent then
    fastr.time.sleep(SILENT_MS)
    return nil, problem.new("timeout")
  end
  local charge, made_before = within(function(tx) return book.charge(tx, request) end)
  if not charge then return nil, made_before end
  if behaviour.answer_ms and not made_before and not fastr.time.sleep(behaviour.answer_ms) then
    return nil, problem.new("timeout") -- the caller's time was up first
  end
  return reply(charge, made_before)
end

-- ---- moving what was charged --------------------------------------------------------------------------------------

local function mover(kind, endpoint)
  return function(ctx)
    local key, wrong = admit_named(ctx)
    if not key then return nil, wrong end
    local m = { charge = ctx.params.id, kind = kind, endpoint = endpoint, key = key, fingerprint = fingerprint(ctx),
      amount = ctx.body and ctx.body.amount }
    within(function(tx) return { book.lapse(tx, m.charge) } end) -- also if what was asked is refused for it
    local moved, made_before = within(function(tx) return book.move(tx, m) end)
    if not moved then return nil, made_before end
    return reply(moved.charge, made_before, moved.entry)
  end
end

M.capture, M.refund, M.void = mover("capture", "captures"), mover("refund", "refunds"), mover("void", "voids")

function M.cancel_key(ctx)
  local ok, wrong = admit(ctx)
  if not ok then return nil, wrong end
  local found = within(function(tx) return book.cancel_key(tx, ctx.params.key) end)
  return 200, { cancelled = found.charge == nil, charge = found.charge and view.charge(found.charge) }
end

-- ---- the shopper's page -------------------------------------------------------------------------------------------

function M.challenge(ctx)
  return challenge.page(store.charge_of_challenge(db(), ctx.params.token))
end

function M.answer(ctx)
  local charge = store.charge_of_challenge(db(), ctx.params.token)
  if not charge then return challenge.page(nil) end
  local is_approved = ctx.params.answer == "approve"
  return challenge.go_on(within(function(tx) return book.answer(tx, charge.id, is_approved) end))
end

-- ---- looking up ---------------------------------------------------------------------------------------------------

local function found(charge)
  if not charge then return nil, problem.new("charge_not_found") end
  return 200, view.charge(charge)
end

function M.find(ctx)
  local ok, wrong = admit(ctx)
  if not ok then return nil, wrong end
  return found(store.charge_of_key(db(), ctx.query.key))
end

function M.book(ctx)
  local ok, wrong = admit(ctx)
  if not ok then return nil, wrong end
  local query, items = ctx.query, {}
  for i, charge in ipairs(store.charges(db(), query.since, query.after, query.limit)) do
    items[i] = view.charge(charge)
  end
  return 200, { items = fastr.json.array(items), next = #items == query.limit and items[#items].id or nil }
end

function M.show(ctx)
  local ok, wrong = admit(ctx)
  if not ok then return nil, wrong end
  return found(store.charge(db(), ctx.params.id))
end

return M
