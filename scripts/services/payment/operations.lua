-- operations: captures, refunds and voids of a payment. Asked for under the lock of its row, which reserves the money;
-- then the provider is asked, outside any transaction; then what came of it is booked. What is not answered stays asked
-- for, and is asked again with the same key until it ends. What gift cards get of a refund (what the payment card did
-- not pay) is booked at once: nobody else is asked for it.

local gift_cards = require "services.payment.gift_cards"
local gift_store = require "services.payment.gift_store"
local ledger = require "services.payment.ledger"
local problem = require "lib.problem"
local provider = require "services.payment.provider"
local store = require "services.payment.store"

local M = {}

local TOO_LARGE = { capture = "capture_too_large", refund = "refund_too_large" }

local IS_TAKEN = { captured = true, refunded = true }

-- What a payment must have had for an operation to make sense, and what is said where it has not.
local NEEDED = {
  capture = { function(b) return b.done.authorise > 0 and b.done.void + b.asked.void == 0 end,
    "Only what was authorised and not voided can be captured." },
  refund = { function(b, p) return b.done.capture > 0 or p.amount == 0 and IS_TAKEN[p.status] end,
    "Only what was captured can be refunded." },
  void = { function(b) return ledger.left(b, "void") > 0 end,
    "Only what was authorised and not captured can be voided." },
}

-- What gift cards may still be given back by an operation of this kind, in minor units.
local function left_of_gift_cards(account, kind)
  if kind ~= "refund" or account.payment.from_gift_cards == 0 then return 0 end
  return gift_cards.left(account.tx, account.payment.id)
end

-- Nil if the operation may be asked for, else the problem. Without an amount it is all that is left.
local function refused(account, balance, op)
  local p = account.payment
  if ledger.awaits_capture(p, balance) then
    return problem.new("unavailable", { retry_after = 1, detail = "It is being captured." })
  end
  local has, sentence = unpack(NEEDED[op.kind])
  if not has(balance, p) then
    return problem.new("payment_state", { detail = "It is " .. p.status .. ". " .. sentence })
  end
  local left = ledger.left(balance, op.kind) + left_of_gift_cards(account, op.kind)
  op.amount = op.amount or left
  if op.amount <= left and left > 0 then return nil end
  return problem.new(TOO_LARGE[op.kind], { detail = ("%d of %s are left"):format(left, p.currency),
    left = { amount = left, currency = p.currency } })
end

-- The operation as it was asked for before; nil if it was not.
local function known_as(account, balance, op)
  local known = balance.operations[op.kind .. " " .. op.key]
  local given = op.kind == "refund" and account.payment.from_gift_cards > 0
    and gift_store.given_back(account.tx, account.payment.id, op.key) or 0
  if not known and given == 0 then return nil end
  return { kind = op.kind, key = op.key, amount = known and known.amount or 0, to_gift_cards = given,
    state = known and known.state or "succeeded", why = known and known.why }
end

-- Books a new operation: first what the payment card gets of it, then what the gift cards do.
local function book(account, balance, op)
  local part = math.min(op.amount, ledger.left(balance, op.kind))
  if part > 0 then
    ledger.book(account, { kind = op.kind, key = op.key, state = "requested", amount = part, actor = op.actor,
      reason = op.reason })
  end
  local rest = op.amount - part
  if rest > 0 then
    gift_cards.give_back(account.tx, account.payment.id, rest, { key = op.key, actor = op.actor, reason = op.reason })
  end
  ledger.close(account)
  return { kind = op.kind, key = op.key, amount = part, to_gift_cards = rest,
    state = part > 0 and "requested" or "succeeded" }
end

-- Asks for the operation: returns it as it stands, {kind, key, amount, to_gift_cards, state, why}; or nil, problem.
local function ask(tx, id, op)
  local account = ledger.lock(tx, id)
  if not account then return nil, problem.new("payment_not_found") end
  local balance = ledger.balance(account)
  local known = known_as(account, balance, op)
  if known then
    local same = not op.amount or op.amount == known.amount + known.to_gift_cards
    if not same then return nil, problem.new("idempotency_mismatch") end
    return known
  end
  local failed = refused(account, balance, op)
  if failed then return nil, failed end
  return book(account, balance, op)
end

local function finish(tx, id, op, state, why)
  local account = ledger.lock(tx, id)
  local known = ledger.balance(account).operations[op.kind .. " " .. op.key]
  if known.state ~= "requested" then return known end
  ledger.book(account, { kind = op.kind, key = op.key, state = state, amount = op.amount, reason = why })
  ledger.close(account)
  known.state, known.why = state, why
  return known
end

-- Has the provider do what was asked for. Returns the operation as it stands then; state "requested": nobody knows yet.
function M.perform(db, p, op)
  local charge, other = provider.operate(p, op)
  if not charge and other.unknown then
    fastr.log.warn("the provider does not answer", { payment = p.id, kind = op.kind, why = other.why })
    return op
  end
  local state = charge and "succeeded" or "failed"
  return db:transaction(function(tx) return finish(tx, p.id, op, state, other and other.code) end)
end

-- Asks for an operation {kind = "capture" | "refund" | "void", key = (1 to 100 characters, names it for ever), amount =
-- (minor units; nil: all that is left), actor, reason} and has it done. Waits. Returns it as it stands, {kind, key,
-- amount, to_gift_cards (of a refund, beside the amount that the payment card gets), state}, state "succeeded" or
-- "requested" (not known yet; it will be asked again by itself). Or nil, problem:
-- payment_not_found, payment_state, capture_too_large, refund_too_large, idempotency_mismatch, unavailable (a moment).
function M.run(db, id, op)
  local asked, failed = db:transaction(function(tx) return ask(tx, id, op) end)
  if not asked then return nil, failed end
  local given = asked.to_gift_cards
  if asked.state == "requested" then asked = M.perform(db, store.load(db, id), asked) end
  asked.to_gift_cards = given
  if asked.state ~= "failed" then return asked end
  if asked.why == "amount_too_large" and TOO_LARGE[op.kind] then
    return nil, problem.new(TOO_LARGE[op.kind], { detail = "The provider says that it is more than is left." })
  end
  return nil, problem.new("payment_state", { detail = "The provider refused it: " .. (asked.why or "") })
end

return M
