-- attempts: one attempt at paying an order, from the asking to its end. Safe to repeat; the attempt's id is the key
-- under which the provider makes at most one charge.
--
--   authorise:  row "unknown" committed -> provider asked, outside any transaction -> its answer settled under the lock
--   not there:  the key is cancelled at the provider first, so that no charge can come of it afterwards
--   set aside:  captured when order asks for it, or voided; the provider lets go of it in the end
--   gift cards: what they pay is taken with the row's first commit, and given back when nothing is kept of the attempt
--   no answer:  look_up, the resolver or a webhook finds out later, whoever is first; all end in `settle`

local database = require "platform.db"
local gift_cards = require "services.payment.gift_cards"
local ledger = require "services.payment.ledger"
local operations = require "services.payment.operations"
local problem = require "lib.problem"
local provider = require "services.payment.provider"
local shape = require "lib.shape"
local store = require "services.payment.store"
local vault = require "services.payment.vault"

local M = {}

local GRACE_MS = 5000   -- a charge that the provider has not seen by then will not come any more
local RETRY_MS = 2000   -- a provider that cannot be reached is tried again for so long
local ROUNDS = 6

local function now()
  return fastr.time.now()
end

-- ---- what the provider says ---------------------------------------------------------------------------------------

local TAKEN = { authorised = true, captured = true, refunded = true }

-- How much may have been captured without a request of its own.
local function at_once(p, b)
  local is_open = ledger.UNDECIDED[p.status] or ledger.awaits_capture(p, b)
  return is_open and p.capture == "now" and p.amount or 0
end

-- What the charge says that our books rule out; nil if they agree. News that are only old agree.
local function contradiction(p, b, charge)
  if charge.key ~= p.id then return "it is another payment's charge" end
  if charge.amount ~= p.amount or charge.currency ~= p.currency then return "another amount than was asked for" end
  if p.charge and p.charge ~= charge.id then return "a second charge for the same payment" end
  local came_to_nothing = not ledger.UNDECIDED[p.status] and b.done.authorise == 0
  if came_to_nothing and TAKEN[charge.status] then return "money was taken after it had come to nothing" end
  if charge.captured > at_once(p, b) + b.done.capture + b.asked.capture then
    return "more was captured than was asked for"
  end
  if charge.refunded > b.done.refund + b.asked.refund then return "more was refunded than was asked for" end
end

local function text_or(value, otherwise)
  return type(value) == "string" and value or otherwise
end

local function book(account, kind, amount)
  account.payment.next_action, account.payment.reason = nil, ""
  ledger.book(account, { kind = kind, key = account.payment.id, state = "succeeded", amount = amount })
  ledger.reckon(account)
end

local function decide(account, charge)
  local p = account.payment
  if charge.status == "requires_action" then
    p.status, p.next_action = "requires_action", type(charge.next_action) == "table" and charge.next_action or nil
  elseif charge.status == "declined" then
    ledger.fail(account, "declined", text_or(charge.decline_code, "declined"))
  elseif charge.status == "voided" then
    ledger.fail(account, "voided", "voided at the provider")
  else
    p.expires_at = text_or(charge.expires_at, nil)
    book(account, "authorise", charge.amount)
  end
end

-- Did the provider let go of what nobody captured, without being asked?
local function has_lapsed(account, charge)
  return charge.status == "voided" and account.payment.status == "authorised"
    and ledger.left(ledger.balance(account), "void") > 0
end

-- Takes in what the provider says of the charge, in the account of ledger.lock; the caller closes it. Late, doubled and
-- reordered news change nothing. True, or nil and what contradicts our books.
function M.settle(account, charge)
  local p = account.payment
  local why = contradiction(p, ledger.balance(account), charge)
  if why then return nil, why end
  p.charge = charge.id
  if ledger.UNDECIDED[p.status] then decide(account, charge) end
  if ledger.awaits_capture(p, ledger.balance(account)) and charge.captured > 0 then
    book(account, "capture", charge.captured)
  end
  if has_lapsed(account, charge) then
    book(account, "void", ledger.left(ledger.balance(account), "void"))
    p.reason = "authorisation_expired"
  end
  return true
end

-- The same in a transaction of its own. True if the payment stands otherwise than before.
local function settle_now(db, p, charge)
  return db:transaction(function(tx)
    local account = ledger.lock(tx, p.id)
    local ok, why = M.settle(account, charge)
    if not ok then
      fastr.log.error("the provider contradicts the ledger", { payment = p.id, charge = charge.id, why = why })
      return false
    end
    ledger.close(account)
    return account.payment.status ~= p.status
  end)
end

-- Makes sure that nothing can come of an attempt that the provider has not seen: its key is burnt there first. If it
-- had been charged before, that is settled. True if the payment stands otherwise than before.
local function burn(db, p, reason)
  local reply = provider.cancel_key(p)
  if not reply then return false end
  if not reply.cancelled then return settle_now(db, p, reply.charge) end
  return db:transaction(function(tx)
    local account = ledger.lock(tx, p.id)
    if not ledger.UNDECIDED[account.payment.status] then return true end
    ledger.fail(account, account.payment.keep_nothing and "voided" or "declined", reason)
    ledger.close(account)
    return true
  end)
end

local function is_old(p)
  return fastr.time.unix_ms() - fastr.time.parse(p.created_at) > GRACE_MS
end

local function find_out(db, p)
  local charge, other = provider.look_up(p)
  if charge then return settle_now(db, p, charge) end
  if other.status == 404 and is_old(p) then return burn(db, p, "not_received") end
  return false
end

-- ---- what is left to do -------------------------------------------------------------------------------------------

-- An undecided payment of which nothing is to be kept. A challenge that nobody met is voided.
local function give_up(db, p)
  if p.status == "unknown" or not p.charge then return burn(db, p, "given up") end
  local charge, other = provider.operate(p, { kind = "void", key = "give-up" })
  if charge then return settle_now(db, p, charge) end
  if other.unknown then return false end
  return find_out(db, p) -- the shopper has met it meanwhile
end

-- Voids what is authorised, or refunds what was captured. A refused one is asked for again under another name.
local function give_back(db, p, b)
  local kind = ledger.left(b, "void") > 0 and "void" or "refund"
  local key = "give-back-" .. #b.operations
  local done, failed = operations.run(db, p.id, { kind = kind, key = key, reason = "given up" })
  if failed then fastr.log.error("cannot give money back", { payment = p.id, code = failed.code }) end
  return done ~= nil and done.state == "succeeded"
end

-- One step of what is left to do: true if it got somewhere, false if it must wait, nil if nothing is left.
local function step(db, p, b)
  if ledger.UNDECIDED[p.status] then
    if p.keep_nothing then return give_up(db, p) end
    return find_out(db, p)
  end
  if ledger.awaits_capture(p, b) then
    local found = find_out(db, p)
    if found or not p.keep_nothing then return found end
  end
  local open = ledger.open_operations(b)[1]
  if open then return operations.perform(db, p, open).state ~= "requested" end
  if ledger.has_work(p, b) then return give_back(db, p, b) end
end

-- Does what is left to do on the payment, as far as it goes now. Returns the payment as it stands then.
function M.work(db, id)
  for _ = 1, ROUNDS do
    local p = store.load(db, id)
    if not step(db, p, ledger.fold(store.latest_entries(db, id))) then break end
  end
  return store.load(db, id)
end

-- ---- authorise ----------------------------------------------------------------------------------------------------

local null = fastr.json.null
local METHOD = shape.text { format = "uuid" }

-- When somebody is to look at an authorisation that nobody has captured: a while before it runs out.
local function look_at(p)
  if p.status ~= "authorised" or not p.expires_at then return null end
  return fastr.time.iso(fastr.time.parse(p.expires_at) - p.expiry_notice_s * 1000)
end

-- Is it known to be authorised, and the capture that was asked for with it not known yet?
local function awaits_capture(db, p)
  if p.capture ~= "now" or p.status ~= "authorised" then return false end
  return ledger.awaits_capture(p, ledger.fold(store.latest_entries(db, p.id)))
end

-- How the payment stands, as other services see it: with half of the news the outcome is unknown. Whoever took it for
-- set aside would wait for somebody to accept it.
local function answer(db, p)
  return { status = awaits_capture(db, p) and "unknown" or p.status, payment = p.id,
    reason = p.reason ~= "" and p.reason or null,
    next_action = p.next_action or null, expires_at = p.expires_at or null, look_at = look_at(p),
    on_expiry = p.on_expiry or null }
end

-- Which provider, when to capture, and what then: the rules say. Their decision, or nil, problem.
local function route(body, card)
  local decision, message, code = fastr.rules.decide("payment.route", { currency = body.currency, amount = body.amount,
    method = body.amount > 0 and { brand = card.brand, saved = card.saved } or nil,
    verdict = body.verdict, renewals = body.renewals, now = now() })
  if not decision then return nil, problem.new(code, { detail = message }) end
  if decision.provider ~= "test" then
    return nil, problem.new("rules_error", { detail = "payment.route names a provider that is not there" })
  end
  return decision
end

-- The problem if the attempt is known with another body; of one that was given up before it came, none is known.
local function differs(p, body)
  if not p.order then return nil end
  local asked = { order = body.order, amount = body.amount, currency = body.currency,
    payment_method = body.payment_method or "", from_gift_cards = gift_cards.sum(body.gift_cards) }
  for field, value in pairs(asked) do
    if p[field] ~= value then
      return problem.new("idempotency_mismatch", { detail = "This attempt was asked for with another " .. field })
    end
  end
end

-- The gift cards pay their part of an attempt that was just opened; where that is all, nobody else is asked. True, or
-- nil, problem.
local function begin(tx, attempt, shares)
  if attempt.from_gift_cards > 0 then
    local ok, failed = gift_cards.spend(tx, attempt.attempt, attempt.currency, shares)
    if not ok then return nil, failed end
  end
  if attempt.amount > 0 then
    store.add_entry(tx, attempt.attempt, { kind = "authorise", key = attempt.attempt, state = "requested",
      amount = attempt.amount }, now())
    return true
  end
  local account = ledger.lock(tx, attempt.attempt)
  ledger.take(account, attempt.capture == "now" and "captured" or "authorised")
  ledger.close(account)
  return true
end

-- Commits the attempt before anybody is asked; of two at once one row comes. Returns it, or nil, problem.
local function open(db, body, card, plan)
  local attempt = { attempt = body.attempt, order = body.order, customer = body.customer, amount = body.amount,
    payment_method = body.payment_method or "", brand = card.brand, last4 = card.last4, currency = body.currency,
    capture = plan.capture, provider = plan.provider, on_expiry = plan.expiry.action,
    expiry_notice_s = plan.expiry.notice_s, from_gift_cards = gift_cards.sum(body.gift_cards) }
  local p, failed = db:transaction(function(tx)
    if store.open(tx, attempt, fastr.time.iso(fastr.time.unix_ms() + GRACE_MS), now()) then
      local ok, wrong = begin(tx, attempt, body.gift_cards)
      if not ok then return nil, wrong end
    end
    return store.lock(tx, attempt.attempt)
  end)
  if not p then return nil, failed end
  failed = differs(p, body)
  if failed then return nil, failed end
  return p
end

-- Asks for the charge; again where nobody was reached, always under the same key.
local function charge(p, card, retry)
  local ends = fastr.time.unix_ms() + RETRY_MS
  for i = 1, retry.attempts do
    local made, other = provider.charge(p, card)
    if made or not other.unreached or i == retry.attempts then return made, other end
    if fastr.time.unix_ms() + retry.wait_ms > ends then return made, other end
    fastr.time.sleep(retry.wait_ms)
  end
end

local function ask(db, p, card, retry)
  local made, other = charge(p, card, retry)
  if made then
    settle_now(db, p, made)
  elseif other.refused then
    burn(db, p, other.code)
  else
    fastr.log.warn("the outcome of a charge is unknown", { payment = p.id, why = other.why })
  end
  return answer(db, store.load(db, p.id))
end

local function is_settled(db, p)
  if p.keep_nothing or p.status == "requires_action" then return true end
  return not ledger.UNDECIDED[p.status] and not awaits_capture(db, p)
end

-- What is asked of which card: the saved one's data; nothing is asked where gift cards pay all. Or nil, problem.
local function card_of(db, body)
  if body.amount == 0 then return { brand = "", last4 = "" } end
  if not shape.check(METHOD, body.payment_method) then return nil, problem.new("payment_method_not_found") end
  return vault.card(db, body.payment_method, body.customer)
end

-- {order, attempt, amount (minor units; 0: gift cards pay all), currency, payment_method, gift_cards (list of {id,
-- amount}, in the order in which they pay), verdict (of order.accept), renewals, customer} -> how it stands.
-- Or nil, problem: another body for a known attempt (idempotency_mismatch), a card that cannot be used
-- (payment_method_not_found, card_invalid, gift_card_not_found, gift_card_refused), the rules fail.
function M.authorise(db, body)
  local p = store.load(db, body.attempt)
  if p then
    local failed = differs(p, body)
    if failed then return nil, failed end
    if is_settled(db, p) then return answer(db, p) end
  end
  local card, plan, failed
  card, failed = card_of(db, body)
  if not card then
    if p then return answer(db, M.work(db, p.id)) end
    return nil, failed
  end
  plan, failed = route(body, card)
  if not plan then return nil, failed end
  p, failed = open(db, body, card, plan)
  if not p then return nil, failed end
  if is_settled(db, p) then return answer(db, p) end
  return ask(db, p, card, plan.retry)
end

-- How an attempt stands; what is not decided is asked about. Or nil, payment_not_found.
function M.look_up(db, attempt)
  local p = store.load(db, attempt)
  if not p then return nil, problem.new("payment_not_found") end
  if ledger.UNDECIDED[p.status] or awaits_capture(db, p) then p = M.work(db, attempt) end
  return answer(db, p)
end

-- Asks the provider how the payment stands, whatever we know of it, takes that in, and goes on with what is left to do.
-- Waits. Raises what the database raises.
function M.catch_up(db, id)
  find_out(db, store.load(db, id))
  return M.work(db, id)
end

-- ---- capture ------------------------------------------------------------------------------------------------------

local CAPTURED = { captured = true, refunded = true }

-- Where gift cards pay all of an attempt nobody else is asked. The payment as it stands then.
local function take_set_aside(db, attempt)
  return db:transaction(function(tx)
    local account = ledger.lock(tx, attempt)
    if account.payment.status ~= "authorised" then return account.payment end
    ledger.take(account, "captured")
    ledger.close(account)
    return account.payment
  end)
end

-- Takes what the attempt has set aside, all that is left of it, once however often it is asked. How the attempt stands
-- then: "authorised" means that it is not known yet, ask again; "voided" that there is nothing left to take. Or nil,
-- payment_not_found.
function M.capture(db, attempt)
  local p = store.load(db, attempt)
  if not p then return nil, problem.new("payment_not_found") end
  if CAPTURED[p.status] then return answer(db, p) end
  if p.amount == 0 then return answer(db, take_set_aside(db, attempt)) end
  local done, failed = operations.run(db, attempt, { kind = "capture", key = "order" })
  -- Refused: it was captured, voided or let go of meanwhile. The provider says which.
  if not done and failed.status < 500 then find_out(db, store.load(db, attempt)) end
  return answer(db, store.load(db, attempt))
end

-- ---- void ---------------------------------------------------------------------------------------------------------

local function mark(tx, attempt)
  store.give_up_unheard(tx, attempt, now())
  local account = ledger.lock(tx, attempt)
  if account.payment.keep_nothing then return true end
  account.payment.keep_nothing = true
  ledger.close(account)
  return true
end

-- Keeps nothing of the attempt: voids it, refunds what it captured, and lets nothing come of it later. How it stands:
-- "unknown" (or anything that is not voided, refunded or declined) means that it is being tried; ask again.
function M.void(db, attempt)
  db:transaction(function(tx) return mark(tx, attempt) end)
  return answer(db, M.work(db, attempt))
end

-- ---- the resolver -------------------------------------------------------------------------------------------------

local BATCH = 20

local function resolve_one(db, id)
  local ok, why = pcall(M.work, db, id)
  if not ok then fastr.log.warn("cannot resolve a payment", { payment = id, why = tostring(why) }) end
end

local unanswered

-- For `fastr status`.
local function tell_unanswered(db)
  unanswered = unanswered or fastr.metrics.gauge("fastr_payments_unknown_seconds", "",
    "Age of the oldest payment that waits for the provider's answer")
  local at = store.oldest_unanswered(db)
  unanswered:set(at and math.max(0, fastr.time.unix_ms() - fastr.time.parse(at)) / 1000 or 0)
end

-- Works on the payments that are due, side by side: a provider that hangs must not keep the others waiting. What fails
-- was put off when it was taken.
function M.resolve()
  local db, work = database.open("payment"), {}
  for i, row in ipairs(store.take_due(db, now(), BATCH)) do
    work[i] = function() resolve_one(db, row.id) end
  end
  if #work > 0 then fastr.all(work) end
  tell_unanswered(db)
  return true
end

return M
