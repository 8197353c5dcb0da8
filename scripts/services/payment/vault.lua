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
local METHODS_MAX = 50 -- against testing cards by the hundred, not a rule of business

-- ---- ciphers -------------------------------------------------------------------------------------------------------

local function bound_to(what, row)
  return table.concat({ "fastr vault", what, row.id, row.owner or "guest" }, "\n")
end

local function wrap(row, data_key, kek)
  row.kek, row.wrapped_key = kek.id, crypto.base64url(crypto.seal(kek.key, data_key, bound_to("key", row)))
end

-- Encrypts the card into `row` {id, owner}, under a new data key.
local function seal(row, card)
  local data_key = crypto.random(32)
  local text = json.encode { number = card.number, exp_month = card.exp_month, exp_year = card.exp_year }
  wrap(row, data_key, keys.current())
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

local function new_row(card, owner, fingerprint)
  local now = fastr.time.unix_ms()
  local row = { id = keys.random_id(), owner = owner, brand = card.brand, last4 = card.last4,
    exp_month = card.exp_month, exp_year = card.exp_year, fingerprint = fingerprint, created_at = fastr.time.iso(now),
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
  local row = store.add(tx, new_row(card, owner, fingerprint))
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

local function unfit(why)
  return nil, problem.new("card_invalid", { detail = "The saved card " .. why .. ".",
    errors = json.array { { path = "payment_method", problem = why } } })
end

-- The card of a method, to be charged: {number, exp_month, exp_year, brand, last4, fingerprint, saved = it is kept
-- until its customer deletes it}. `customer` nil: a guest. Waits. Returns nil, problem: payment_method_not_found
-- (another's, deleted, a guest's after an hour), or card_invalid (it has expired since; or its key is lost or its row
-- was changed, which is logged).
function M.card(db, id, customer)
  local row, wrong = M.method(db, id, customer)
  if not row then return nil, wrong end
  if cards.has_expired(row.exp_month, row.exp_year, fastr.time.now()) then return unfit("has expired") end
  local card = open(row)
  if not card then
    -- Between the row and the key file a rotation may have ended: the row tells of the new key now.
    row, wrong = M.method(db, id, customer)
    if not row then return nil, wrong end
    card = open(row)
  end
  if not card then
    fastr.log.error("a saved card does not open: its key is missing, or its row was changed", { kek = row.kek })
    return unfit("cannot be read any more: save the card again")
  end
  card.brand, card.last4, card.fingerprint = row.brand, row.last4, row.fingerprint
  card.saved = row.expires_at == nil
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

-- ---- rotation ------------------------------------------------------------------------------------------------------

local BATCH = 100
local LEAST_ID = "00000000-0000-0000-0000-000000000000"

-- Wraps the next batch of data keys anew; the ciphers under them stay. Returns the last id (nil: there was none left),
-- how many were done, and how many do not open under their own key.
local function rewrap_batch(tx, after)
  store.share_keys(tx)
  local kek, done, broken = keys.current(), 0, 0
  local rows = store.wrapped_by_others(tx, kek.id, after, BATCH)
  for _, row in ipairs(rows) do
    local data_key = unwrap(row)
    if data_key then
      wrap(row, data_key, kek)
      store.rewrap(tx, row)
      done = done + 1
    else
      broken = broken + 1
    end
  end
  return { last = #rows > 0 and rows[#rows].id or nil, done = done, broken = broken }
end

local function rewrap_all(db)
  local after, done, broken = LEAST_ID, 0, 0
  while after do
    local batch = db:transaction(function(tx) return rewrap_batch(tx, after) end)
    after, done, broken = batch.last, done + batch.done, broken + batch.broken
  end
  return done, broken
end

-- Forgets the older key if nothing needs it: no card is stored meanwhile. False if something does.
local function give_up_older(db)
  return db:transaction(function(tx)
    store.lock_keys(tx)
    if #store.wrapped_by_others(tx, keys.current().id, LEAST_ID, 1) > 0 then return false end
    keys.end_rotation()
    return true
  end)
end

-- Replaces the key-encryption key: a new one is made, every data key is wrapped by it, the older one is forgotten.
-- Until then both open cards. What was interrupted goes on with the next call. Waits. Returns {resumed, done, broken,
-- finished}: finished is false while `broken` cards, which the older key does not open either, keep it.
function M.rotate(db)
  local is_new = db:transaction(function(tx)
    store.lock_keys(tx)
    return keys.begin_rotation()
  end)
  local result = { resumed = not is_new, done = 0 }
  repeat
    local done
    done, result.broken = rewrap_all(db)
    result.done = result.done + done
    result.finished = give_up_older(db)
  until result.finished or result.broken > 0
  return result
end

return M
