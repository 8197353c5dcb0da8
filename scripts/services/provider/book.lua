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

-- The issuer said yes: the amount is set aside, and taken at once where that was asked.
local function approve(tx, charge)
  turn_to(tx, charge, "authorised")
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

return M
