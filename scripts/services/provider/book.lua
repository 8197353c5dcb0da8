-- book: what the provider does with a charge. Each function runs in one transaction in which the key is named, the
-- charge and its entries change, and the webhooks are queued: all of it or nothing.

local problem = require "lib.problem"
local cards = require "services.provider.cards"
local store = require "services.provider.store"
local webhooks = require "services.provider.webhooks"

local M = {}

local uuid7 = fastr.crypto.uuid7

local function now()
  return fastr.time.now()
end

-- ---- named actions ------------------------------------------------------------------------------------------------

-- True if the row of a key stands for the same action as `fingerprint`; else nil and the problem.
local function same(row, fingerprint)
  if not row.fingerprint then return nil, problem.new("key_cancelled") end
  if row.fingerprint ~= fingerprint then return nil, problem.new("idempotency_mismatch") end
  return true
end

-- ---- entries ------------------------------------------------------------------------------------------------------

-- Enters a movement of money and tells of it. Returns the entry {id, kind, amount}.
local function enter(tx, charge, kind, amount, key)
  local entry = { id = uuid7(), charge = charge.id, kind = kind, amount = amount, key = key }
  store.add_entry(tx, entry, now())
  return { id = entry.id, kind = kind, amount = amount }
end

local function turn_to(tx, charge, status, decline_code)
  store.set_status(tx, charge.id, status, decline_code, now())
end

local AUTHORISED_MS = 7 * 86400 * 1000 -- how long an issuer sets an amount aside

-- The issuer said yes: the amount is set aside, and taken at once where that was asked.
local function approve(tx, charge)
  turn_to(tx, charge, "authorised")
  if not charge.capture then
    store.set_expiry(tx, charge.id, fastr.time.iso(fastr.time.unix_ms() + AUTHORISED_MS))
  end
  webhooks.queue(tx, charge.id, "charge.authorised", enter(tx, charge, "authorise", charge.amount, charge.key))
  if not charge.capture then return end
  turn_to(tx, charge, "captured")
  webhooks.queue(tx, charge.id, "charge.captured", enter(tx, charge, "capture", charge.amount, charge.key))
end

local function decline(tx, charge, code)
  turn_to(tx, charge, "declined", code)
  webhooks.queue(tx, charge.id, "charge.declined")
end

-- ---- charging -----------------------------------------------------------------------------------------------------

local function decide(tx, charge, behaviour, is_expired)
  local code = is_expired and "expired_card" or behaviour.decline
  if code then return decline(tx, charge, code) end
  if behaviour.challenge then return webhooks.queue(tx, charge.id, "charge.requires_action") end
  return approve(tx, charge)
end

-- Charges `c` {key, fingerprint, amount, currency, capture, reference, return_url, brand, last4, card, is_expired}.
-- Returns the charge and whether it was made before, or nil, problem.
function M.charge(tx, c)
  local charge, behaviour = { id = uuid7() }, cards.behaviour(c.card)
  local row = store.claim(tx, "charges", c.key, c.fingerprint, charge.id, now())
  if row then
    local ok, wrong = same(row, c.fingerprint)
    if not ok then return nil, wrong end
    return store.charge_in(tx, row.charge), true
  end
  for name, value in pairs(c) do charge[name] = value end
  charge.status = "requires_action"
  charge.challenge = behaviour.challenge and fastr.crypto.base64url(fastr.crypto.random(24)) or nil
  store.add_charge(tx, charge, now())
  decide(tx, charge, behaviour, c.is_expired)
  return store.charge_in(tx, charge.id), false
end

-- ---- captures, refunds, voids -------------------------------------------------------------------------------------

local function left_to_capture(charge)
  return charge.amount - charge.captured - charge.voided
end

local function left_to_refund(charge)
  return charge.captured - charge.refunded
end

-- kind = in which states, how much is left, and the states and event that follow.
local MOVES = {
  capture = { from = { authorised = true, captured = true }, left = left_to_capture, event = "charge.captured",
    to = function() return "captured" end },
  refund = { from = { captured = true }, left = left_to_refund, event = "charge.refunded",
    to = function(charge, amount) return amount == left_to_refund(charge) and "refunded" or "captured" end },
  void = { from = { authorised = true, captured = true }, left = left_to_capture, event = "charge.voided",
    to = function(charge) return charge.captured > 0 and "captured" or "voided" end },
}

local function refuse(charge, kind)
  return problem.new("charge_state", { detail = ("It is %s; there is nothing to %s."):format(charge.status, kind) })
end

local function move_money(tx, charge, m)
  local move = MOVES[m.kind]
  local left = move.left(charge)
  if not move.from[charge.status] or left == 0 then return nil, refuse(charge, m.kind) end
  local amount = m.amount or left -- a void is of all that is left
  if amount > left then
    return nil, problem.new("amount_too_large", { detail = ("%d minor units are left to %s."):format(left, m.kind),
      left = left })
  end
  local status, entry = move.to(charge, amount), enter(tx, charge, m.kind, amount, m.key)
  turn_to(tx, charge, status)
  webhooks.queue(tx, charge.id, move.event, entry)
  return { charge = store.charge_in(tx, charge.id), entry = entry }
end

-- What was never approved is voided without a movement of money; what is voided already stays so.
local function void_nothing(tx, charge)
  if charge.status == "requires_action" then
    turn_to(tx, charge, "voided")
    webhooks.queue(tx, charge.id, "charge.voided")
  end
  return { charge = store.charge_in(tx, charge.id) }
end

local function has_lapsed(charge)
  return charge.status == "authorised" and charge.expires_at
    and fastr.time.parse(charge.expires_at) <= fastr.time.unix_ms()
end

-- Lets go of what was set aside and is not captured in time. Returns whether the charge has just lapsed.
function M.lapse(tx, id)
  local charge = store.lock(tx, id)
  if not charge or not has_lapsed(charge) then return false end
  local entry = enter(tx, charge, "void", left_to_capture(charge), "lapsed")
  turn_to(tx, charge, "voided")
  webhooks.queue(tx, id, "charge.voided", entry)
  return true
end

-- Captures, refunds or voids: `m` {charge = id, endpoint, kind, key, fingerprint, amount}. Returns {charge, entry} and
-- whether that key had done it before, or nil, problem.
function M.move(tx, m)
  local row = store.claim(tx, m.charge .. "/" .. m.endpoint, m.key, m.fingerprint, m.charge, now())
  if row then
    local ok, wrong = same(row, m.fingerprint)
    if not ok then return nil, wrong end
    return { charge = store.charge_in(tx, m.charge), entry = store.entry_of_key(tx, m.charge, m.kind, m.key) }, true
  end
  local charge = store.lock(tx, m.charge)
  if not charge then return nil, problem.new("charge_not_found") end
  local is_empty = charge.status == "requires_action" or charge.status == "voided"
  if m.kind == "void" and is_empty then return void_nothing(tx, charge) end
  return move_money(tx, charge, m)
end

-- ---- keys and challenges ------------------------------------------------------------------------------------------

-- Makes sure that no charge will be made with the key: {} when none was and none will be, {charge} when one was.
function M.cancel_key(tx, key)
  local row = store.claim(tx, "charges", key, nil, nil, now())
  if not row or not row.fingerprint then return {} end
  return { charge = store.charge_in(tx, row.charge) }
end

-- The shopper's answer to a challenge; the first one counts. Returns the charge.
function M.answer(tx, id, is_approved)
  local charge = store.lock(tx, id)
  if charge.status == "requires_action" then
    if is_approved then approve(tx, charge) else decline(tx, charge, "challenge_refused") end
  end
  return store.charge_in(tx, id)
end

return M
