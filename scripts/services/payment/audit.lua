-- audit: payment's ledger beside the provider's book, each difference in words. What differs can be asked about again,
-- which takes in what the provider knows and no webhook has brought; no money is moved by that.

local attempts = require "services.payment.attempts"
local ledger = require "services.payment.ledger"
local provider = require "services.payment.provider"
local shape = require "lib.shape"
local store = require "services.payment.store"

local M = {}

local SETTLING_MS = 60000 -- what is younger is under way
local BATCH = 8           -- questions to the provider at the same time

local function money(amount, p)
  return fastr.money.format(amount, p.currency) .. " " .. p.currency
end

-- ---- what payments come to ----------------------------------------------------------------------------------------

-- What gift cards paid of the payment and still do, and what they were given back by refunds, which are put behind the
-- `operations`. What was given back because nothing came of it was never paid.
local function of_gift_cards(p, operations)
  local paid, refunded = 0, 0
  for _, e in ipairs(p.gift_entries) do
    if e.kind == "spend" or e.key == p.id then
      paid = paid - e.amount
    else
      refunded = refunded + e.amount
      operations[#operations + 1] = { kind = "refund", key = e.key, amount = e.amount, state = "succeeded" }
    end
  end
  return paid, refunded
end

-- A payment as others compare with it.
local function account(p, entries)
  local b, operations = ledger.fold(entries), {}
  for i, op in ipairs(b.operations) do
    operations[i] = { kind = op.kind, key = op.key, amount = op.amount, state = op.state }
  end
  local paid, refunded = of_gift_cards(p, operations)
  return { payment = p.id, order = p.order, status = p.status, from_gift_cards = paid, to_gift_cards = refunded,
    amount = p.amount, currency = p.currency, captured = b.done.capture, refunded = b.done.refund,
    set_aside = ledger.left(b, "void"), has_work = ledger.has_work(p, b) or false,
    operations = fastr.json.array(operations) }
end

-- The accounts of all payments of these orders, oldest first.
function M.accounts(db, orders)
  local items = {}
  for i, p in ipairs(store.of_orders(db, orders)) do items[i] = account(p, p.entries) end
  return fastr.json.array(items)
end

-- ---- beside the book ----------------------------------------------------------------------------------------------

local function difference(p, code, text)
  return { code = code, text = text, payment = p.id, order = p.order }
end

-- What differs between a payment and its charge (nil: the provider has none), or nil.
function M.compare(p, a, charge)
  local took = charge and charge.captured or 0
  local gave = charge and charge.refunded or 0
  if a.captured ~= took then
    return difference(p, "captured_differs", ("payment %s: the ledger says %s captured, the provider %s"):format(p.id,
      money(a.captured, p), money(took, p)))
  end
  if a.refunded ~= gave then
    return difference(p, "refunded_differs", ("payment %s: the ledger says %s refunded, the provider %s"):format(p.id,
      money(a.refunded, p), money(gave, p)))
  end
  local status = charge and charge.status or "unknown"
  local is_aside, may_be = status == "authorised", status == "authorised" or status == "captured"
  if (is_aside and a.set_aside == 0) or (a.set_aside > 0 and not may_be) then
    return difference(p, "set_aside_differs", ("payment %s: the ledger says %s set aside, at the provider it is %s")
      :format(p.id, money(a.set_aside, p), status))
  end
end

-- Does the payment differ for good, or is it only under way? Returns the difference, or nil; or false and why the
-- provider cannot be asked.
local function differs(p)
  local charge, other = provider.look_up(p)
  if not charge and other.unknown then return false, other.why end
  return M.compare(p, account(p, p.entries), charge)
end

local function is_settling(p)
  return fastr.time.unix_ms() - fastr.time.parse(p.updated_at) < SETTLING_MS
end

-- Takes in what the provider knows: how it is now.
local function repair(db, found)
  local ok, why = pcall(attempts.catch_up, db, found.payment)
  local again = ok and differs(store.of_ids(db, { found.payment })[1])
  if ok and again == nil then return "looked up at the provider: they agree now" end
  return "looked up at the provider: " .. (ok and "they still differ" or tostring(why))
end

local function looked_at(db, p, body)
  local found, why = differs(p)
  if found == false then return { error = why } end
  if not found or (is_settling(p) and not body.now) then return {} end
  if body.repair then found.repaired = repair(db, found) end
  return { found = found }
end

local function side_by_side(db, rows, body, visit)
  for i = 1, #rows, BATCH do
    local work = {}
    for k = i, math.min(i + BATCH - 1, #rows) do
      work[#work + 1] = function() return looked_at(db, rows[k], body) end
    end
    for _, result in ipairs(fastr.all(work)) do visit(result[1]) end
  end
end

-- Compares a page of payments with the provider's book: {since, after, limit, now (also those under way), repair} ->
-- {differences, accounts, next}. Or nil, problem: the provider cannot be asked.
function M.payments(db, body)
  local rows = store.page(db, body.since, body.after, body.limit)
  local differences, accounts, away = {}, {}, nil
  side_by_side(db, rows, body, function(result)
    away = away or result.error
    differences[#differences + 1] = result.found
  end)
  if away then return nil, away end
  for i, p in ipairs(rows) do accounts[i] = account(p, p.entries) end
  return { differences = fastr.json.array(differences), accounts = fastr.json.array(accounts),
    next = #rows == body.limit and rows[#rows].id or nil }
end

-- ---- what the provider has and payment does not --------------------------------------------------------------------

local ID = shape.text { format = "uuid" }

local function keys_of(charges)
  local ids = {}
  for _, charge in ipairs(charges) do
    if shape.check(ID, charge.key) then ids[#ids + 1] = charge.key end
  end
  return ids
end

-- A page of the provider's book: the charges that no payment stands for -> {differences, next}; or nil and why the
-- provider cannot be asked. Nobody repairs these: somebody has used the shop's key elsewhere, or rows were lost.
function M.strangers(db, body)
  local page, other = provider.book(body.since, body.after, body.limit)
  if not page then return nil, other.why or other.code end
  local known, found = {}, {}
  for _, p in ipairs(store.of_ids(db, keys_of(page.items))) do known[p.id] = true end
  for _, charge in ipairs(page.items) do
    if not known[charge.key] and charge.captured ~= charge.refunded then
      found[#found + 1] = { code = "charge_unknown", payment = charge.key,
        text = ("charge %s of the provider, key %s, reference %s: %s captured and %s refunded, and there is no payment")
          :format(charge.id, charge.key, charge.reference, money(charge.captured, charge),
            money(charge.refunded, charge)) }
    end
  end
  return { differences = fastr.json.array(found), next = page.next }
end

return M
