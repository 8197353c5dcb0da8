-- vault: keeps cards encrypted, and opens them for payment. The only place that sees the keys.
--
--   card --AES-256-GCM--> sealed_card      under a data key of this row alone
--   data key --AES-256-GCM--> wrapped_key  under the key-encryption key (KEK), which never leaves var/secrets
--
-- Both are bound to the row's id and owner: a cipher copied to another row, or a row given to another owner, does not
-- open. Deleting a method forgets its data key. The fingerprint is an HMAC under a third key: a plain hash of a card
-- number is the number to who can count.

local cards = require "services.payment.cards"
local keys = require "services.payment.keys"
local problem = require "lib.problem"
local store = require "services.payment.vault_store"

local M = {}

local crypto, json = fastr.crypto, fastr.json

local GUEST_MS = 3600 * 1000
local METHODS_MAX = 50

-- ---- ciphers -------------------------------------------------------------------------------------------------------

local function bound_to(what, row)
  return table.concat({ "fastr vault", what, row.id, row.owner or "guest" }, "\n")
end

-- Encrypts the card into `row` {id, owner}, under a new data key.
local function seal(row, card)
  local kek, data_key = keys.current(), crypto.random(32)
  local text = json.encode { number = card.number, exp_month = card.exp_month, exp_year = card.exp_year }
  row.kek = kek.id
  row.wrapped_key = crypto.base64url(crypto.seal(kek.key, data_key, bound_to("key", row)))
  row.sealed_card = crypto.base64url(crypto.seal(data_key, text, bound_to("card", row)))
end

-- The data key of a row, or nil if its KEK is not here or the row was tampered with.
local function unwrap(row)
  local kek = keys.find(row.kek)
  return kek and crypto.open(kek.key, crypto.unbase64url(row.wrapped_key), bound_to("key", row)) or nil
end

local function open(row)
  local data_key = unwrap(row)
  local text = data_key and crypto.open(data_key, crypto.unbase64url(row.sealed_card), bound_to("card", row))
  return text and json.decode(text) or nil
end

-- ---- methods -------------------------------------------------------------------------------------------------------

-- A random UUID (RFC 9562 version 4): 122 bits that nobody guesses, since a guest's id opens his card.
local function random_id()
  local hex = crypto.hex(crypto.random(16))
  local variant = ("89ab"):sub(tonumber(hex:sub(17, 17), 16) % 4 + 1):sub(1, 1)
  return table.concat({ hex:sub(1, 8), hex:sub(9, 12), "4" .. hex:sub(14, 16), variant .. hex:sub(18, 20),
    hex:sub(21) }, "-")
end

local function new_row(card, owner)
  local now = fastr.time.unix_ms()
  local row = { id = random_id(), owner = owner, brand = card.brand, last4 = card.last4, exp_month = card.exp_month,
    exp_year = card.exp_year, fingerprint = keys.fingerprint(card.number), created_at = fastr.time.iso(now),
    expires_at = not owner and fastr.time.iso(now + GUEST_MS) or nil }
  seal(row, card)
  return row
end

-- A card that the customer has already: the same method, with the expiry of now.
local function save_again(tx, owner, card, fingerprint)
  local row = store.same_card(tx, owner, fingerprint)
  if not row or (row.exp_month == card.exp_month and row.exp_year == card.exp_year) then return row end
  row.exp_month, row.exp_year = card.exp_month, card.exp_year
  seal(row, card)
  return store.renew(tx, row)
end

-- Keeps a checked card (of cards.check) for `owner` (a customer's id, or nil for a guest's hour), within the caller's
-- transaction. Returns the method's row and whether it is new; or nil, problem.
function M.save(tx, card, owner)
  store.share_keys(tx)
  local fingerprint = keys.fingerprint(card.number)
  local known = owner and save_again(tx, owner, card, fingerprint)
  if known then return known, false end
  if owner and store.count(tx, owner) >= METHODS_MAX then return nil, problem.new("payment_method_limit") end
  local row = store.add(tx, new_row(card, owner))
  if row then return row, true end
  return save_again(tx, owner, card, fingerprint), false -- the same request came twice at once, and this one is second
end

local function not_found()
  return nil, problem.new("payment_method_not_found")
end

-- A customer's own, or a guest's, by whoever knows its id.
local function may_use(row, customer)
  return row.owner == nil or row.owner == customer
end

local function usable(row, customer)
  if not row or not may_use(row, customer) then return not_found() end
  return row
end

-- The method as it may be shown; or nil, problem (the same whether it is another's, deleted, or never was).
function M.method(db, id, customer)
  return usable(store.find(db, id, fastr.time.now()), customer)
end

-- The same within a transaction.
function M.method_in(tx, id, customer)
  return usable(store.find_in(tx, id, fastr.time.now()), customer)
end

-- The card of a method, to be charged: {number, exp_month, exp_year, brand, last4, fingerprint}. `customer` nil: a
-- guest. Waits. Returns nil, problem: payment_method_not_found (another's, deleted, a guest's after an hour),
-- card_invalid (it has expired since), internal (its key is lost or the row was changed; logged).
function M.card(db, id, customer)
  local row, wrong = M.method(db, id, customer)
  if not row then return nil, wrong end
  if cards.has_expired(row.exp_month, row.exp_year, fastr.time.now()) then
    return nil, problem.new("card_invalid", { detail = "The card has expired.",
      errors = json.array { { path = "payment_method", problem = "has expired" } } })
  end
  local card = open(row)
  if not card then
    -- Between the row and the key file a rotation may have ended: the row tells of the new key now.
    row = store.find(db, id, fastr.time.now())
    card = row and open(row)
  end
  if not card then
    fastr.log.error("a saved card does not open: its key is missing, or its row was changed", { method = id })
    return nil, problem.new("internal")
  end
  card.brand, card.last4, card.fingerprint = row.brand, row.last4, row.fingerprint
  return card
end

function M.list(db, owner)
  return store.list(db, owner)
end

-- Shreds a method: its data key and ciphers are gone, the last four digits stay for receipts. Repeating is no error.
-- true, or nil, problem.
function M.delete(tx, id, customer)
  local row = store.lock(tx, id)
  if not row or not may_use(row, customer) then return not_found() end
  store.shred(tx, id, fastr.time.now())
  return true
end

-- Shreds what guests left. Returns how many.
function M.shred_expired(db)
  return store.shred_expired(db, fastr.time.now())
end

return M
