-- gift_cards: money of a customer that lies with the shop. What is on a card is the sum of its entries, written under
-- the card's lock, several cards in the order of their ids, after the lock of the payment they belong to.
--
--   spend      in the transaction that opens an attempt at payment, before the provider is asked for the rest
--   give back  in the one in which it turns out that nothing is kept of the attempt, or that a part is refunded
--
-- So a crash leaves both or none. What paid last is given back first: the payment card, then the gift cards from the
-- last one that paid. What comes back to a card that has expired meanwhile can be used again; what had expired on it
-- cannot.

local keys = require "services.payment.keys"
local money = require "lib.money"
local outbox = require "platform.outbox"
local problem = require "lib.problem"
local store = require "services.payment.gift_store"

local M = {}

local REVIVED_MS = 90 * 86400 * 1000 -- for so long an expired card is good again when money comes back to it
local ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" -- Crockford's base 32: nothing that is mistaken for another
local BITS = 5

-- ---- codes --------------------------------------------------------------------------------------------------------

-- The code at a place of a batch: 16 characters, 80 bits, in groups of four. It follows from our key, so that a reply
-- that was lost can be made again for who issued the batch; nobody else can make it, and nobody keeps it.
local function code_at(batch, place)
  local bytes, letters, held, bits = fastr.crypto.unhex(keys.gift_card("issue", batch .. ":" .. place)), {}, 0, 0
  for i = 1, 10 do
    held, bits = held * 256 + bytes:byte(i), bits + 8
    while bits >= BITS do
      local rest = held % 2 ^ (bits - BITS)
      local index = (held - rest) / 2 ^ (bits - BITS)
      letters[#letters + 1] = ALPHABET:sub(index + 1, index + 1)
      held, bits = rest, bits - BITS
    end
  end
  return (table.concat(letters):gsub("(....)(....)(....)(....)", "%1-%2-%3-%4"))
end

-- As it is looked up: blanks, dashes and case do not matter, nor does what looks like another letter.
local function plain(code)
  return (code:upper():gsub("[%s-]", ""):gsub("O", "0"):gsub("[IL]", "1"))
end

local function hash(code)
  return keys.gift_card("code", plain(code))
end

-- ---- a card -------------------------------------------------------------------------------------------------------

local function has_expired(card)
  return card.expires_at ~= nil and fastr.time.parse(card.expires_at) < fastr.time.unix_ms()
end

-- "active", or why it cannot pay now: "blocked", "expired", "empty".
function M.status(card)
  if card.status ~= "active" then return card.status end
  if has_expired(card) then return "expired" end
  return card.balance > 0 and "active" or "empty"
end

-- The card of a code, or nil, gift_card_not_found: the same for every code that is none.
function M.find(db, code)
  local card = store.find(db, hash(code))
  if card then return card end
  return nil, problem.new("gift_card_not_found", { detail = "There is no gift card with this code" })
end

function M.load(db, id)
  local card = store.load(db, id)
  if card then return card end
  return nil, problem.new("gift_card_not_found")
end

-- Adds an entry to a locked card, and tells it. False if there would be less than nothing on it.
local function book(tx, card, entry)
  local now = fastr.time.now()
  entry.card = card.id
  if not store.add(tx, entry, now) then return false end
  card.balance = card.balance + entry.amount
  local m = money.of(card.currency)
  outbox.add(tx, { topic = "payment", key = card.id, type = "payment.gift_card_moved.v1", data = { gift_card = card.id,
    last4 = card.last4, kind = entry.kind, changed = m(entry.amount), balance = m(card.balance),
    payment = entry.payment or fastr.json.null, at = now } })
  return true
end

local function wrong(path, text)
  return problem.new("validation", { detail = path .. " " .. text,
    errors = fastr.json.array { { path = path, problem = text } } })
end

-- ---- staff --------------------------------------------------------------------------------------------------------

local function tell_issued(tx, cards)
  local now = fastr.time.now()
  for _, card in ipairs(cards) do
    local amount = { amount = card.amount, currency = card.currency }
    outbox.add(tx, { topic = "payment", key = card.id, type = "payment.gift_card_moved.v1", data = {
      gift_card = card.id, last4 = card.last4, kind = "issue", changed = amount, balance = amount,
      payment = fastr.json.null, at = now } })
  end
end

local function make(tx, batch, wanted, actor)
  local cards = {}
  for place = 1, wanted.count do
    local code = code_at(batch, place)
    cards[place] = { id = keys.random_id(), code_hash = hash(code), last4 = code:sub(-4),
      currency = wanted.amount.currency, amount = wanted.amount.amount, expires_at = wanted.expires_at, batch = batch,
      place = place }
  end
  store.issue(tx, fastr.json.array(cards), actor, wanted.reason or "", fastr.time.now())
  tell_issued(tx, cards)
  return true
end

-- The cards of the batch with their codes, in its order.
function M.issued(db, batch)
  local cards = store.batch(db, batch)
  for place, card in ipairs(cards) do card.code = code_at(batch, place) end
  return cards
end

-- Issues `wanted` {count, amount (money), expires_at, reason} once for the batch's id. Returns the cards with
-- their codes; or nil, validation: they would have expired by now, or there is no such
-- currency.
function M.issue(db, batch, wanted, actor)
  if #store.batch(db, batch) == 0 then
    if has_expired(wanted) then return nil, wrong("expires_at", "is in the past") end
    if not pcall(money.exponent, wanted.amount.currency) then
      return nil, wrong("amount.currency", "is no currency of ISO 4217")
    end
    db:transaction(function(tx) return make(tx, batch, wanted, actor) end)
  end
  return M.issued(db, batch)
end

local function locked(tx, id)
  local card = store.lock(tx, { id })[1]
  if card then return card end
  return nil, problem.new("gift_card_not_found")
end

-- Changes status or expiry (false: never; nil: as it is). The card, or nil, gift_card_not_found.
function M.change(tx, id, status, expires_at)
  local card, failed = locked(tx, id)
  if not card then return nil, failed end
  card.status = status or card.status
  if expires_at ~= nil then card.expires_at = expires_at or nil end
  store.set(tx, id, card.status, card.expires_at, fastr.time.now())
  return card
end

-- Adds the signed amount, once for the key. The card; or nil, problem: gift_card_not_found, conflict (less than nothing
-- would be left, or more than can be counted), validation (another currency, or nothing).
function M.adjust(tx, id, amount, entry)
  local card, failed = locked(tx, id)
  if not card then return nil, failed end
  if amount.currency ~= card.currency then return nil, wrong("amount.currency", "must be " .. card.currency) end
  if amount.amount == 0 then return nil, wrong("amount.amount", "must not be 0") end
  entry.kind, entry.amount = "adjust", amount.amount
  if book(tx, card, entry) then return card end
  return nil, problem.new("conflict", { detail = ("%d %s are on it"):format(card.balance, card.currency) })
end

-- ---- paying -------------------------------------------------------------------------------------------------------

local WHY = { blocked = "is blocked", expired = "has expired", empty = "is empty", currency = "is in another currency",
  balance = "has less on it by now" }

local function refused(last4, reason)
  return problem.new("gift_card_refused", { reason = reason, last4 = last4,
    detail = ("The gift card that ends in %s %s"):format(last4, WHY[reason]) })
end

-- Why the card cannot pay `amount` of that currency; nil if it can.
local function objection(card, amount, currency)
  if card.currency ~= currency then return "currency" end
  local status = M.status(card)
  if status ~= "active" then return status end
  if card.balance < amount then return "balance" end
end

local function by_id(tx, ids)
  local cards = {}
  for _, card in ipairs(store.lock(tx, ids)) do cards[card.id] = card end
  return cards
end

-- What a list of {id, amount} comes to, in minor units.
function M.sum(shares)
  local sum = 0
  for _, share in ipairs(shares or {}) do sum = sum + share.amount end
  return sum
end

-- Takes from each card what it is to pay of the attempt `payment`, in this order; all of it or nothing (the caller
-- rolls back): true, or nil, problem: gift_card_not_found, gift_card_refused with its reason.
function M.spend(tx, payment, currency, shares)
  local ids = {}
  for i, share in ipairs(shares) do ids[i] = share.id end
  local cards = by_id(tx, ids)
  for _, share in ipairs(shares) do
    local card = cards[share.id]
    if not card then return nil, problem.new("gift_card_not_found") end
    local why = objection(card, share.amount, currency)
    if why then return nil, refused(card.last4, why) end
    if not book(tx, card, { kind = "spend", key = payment, payment = payment, amount = -share.amount }) then
      return nil, refused(card.last4, "balance")
    end
  end
  return true
end

-- ---- giving back --------------------------------------------------------------------------------------------------

-- What had expired on a card stays so, and is written off; what comes back now can be used for a while.
local function revive(tx, card, key)
  if not has_expired(card) then return end
  if card.balance > 0 then
    book(tx, card, { kind = "expire", key = "expire " .. key, amount = -card.balance, reason = "expired" })
  end
  card.expires_at = fastr.time.iso(fastr.time.unix_ms() + REVIVED_MS)
  store.set(tx, card.id, card.status, card.expires_at, fastr.time.now())
end

local function open_shares(tx, payment)
  local open, ids = {}, {}
  for _, share in ipairs(store.shares(tx, payment)) do
    if share.paid > share.given_back then
      table.insert(open, 1, share) -- the last that paid first
      ids[#ids + 1] = share.card
    end
  end
  return open, ids
end

-- What of the attempt gift cards paid and have not been given back, in minor units. Under the payment's lock.
function M.left(tx, payment)
  local left = 0
  for _, share in ipairs(store.shares(tx, payment)) do left = left + share.paid - share.given_back end
  return left
end

-- Gives `amount` (nil: all that is left) of what they paid back to the cards, under the payment's lock; `entry`: key,
-- actor, reason. Asking again with the key of a give-back that was done is a mistake of the caller's.
function M.give_back(tx, payment, amount, entry)
  local open, ids = open_shares(tx, payment)
  if #open == 0 then return end
  local cards, left = by_id(tx, ids), amount or math.huge
  for _, share in ipairs(open) do
    local part = math.min(left, share.paid - share.given_back)
    if part <= 0 then return end
    revive(tx, cards[share.card], entry.key)
    assert(book(tx, cards[share.card], { kind = "give_back", key = entry.key, payment = payment, amount = part,
      actor = entry.actor, reason = entry.reason }), "a gift card was given back twice for one key")
    left = left - part
  end
end

return M
