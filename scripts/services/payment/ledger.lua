-- ledger: a payment's account: what was asked of the provider, what came of it, and what that makes of the payment.
-- Rows are only ever added; a balance is their sum. Everything here happens under the lock of the payment's row. What
-- gift cards paid of the attempt has entries of its own (gift_cards.lua) and follows the payment.
--
--   local account = ledger.lock(tx, id)
--   ledger.book(account, { kind = "capture", key = key, state = "succeeded", amount = 500 })
--   ledger.close(account)      -- status, what is left to do, and events, in the same transaction

local gift_cards = require "services.payment.gift_cards"
local outbox = require "platform.outbox"
local store = require "services.payment.store"

local M = {}

local FIRST_MS, LONGEST_MS = 1000, 60000 -- until the resolver looks at what is left to do

-- What is not decided yet: the provider has the last word.
M.UNDECIDED = { unknown = true, requires_action = true }

-- ---- sums ---------------------------------------------------------------------------------------------------------

local function operation(balance, entry)
  local name = entry.kind .. " " .. entry.key
  local op = balance.operations[name]
  if not op then
    op = { kind = entry.kind, key = entry.key, amount = entry.amount, at = entry.at, reason = entry.reason }
    balance.operations[name] = op
    table.insert(balance.operations, op)
  end
  op.state = entry.state
  if entry.state == "failed" then op.why = entry.reason end
end

-- The balance of entries in their order: `done` and `asked` (asked for, not ended) are sums by kind in minor units,
-- `operations` a list of {kind, key, amount, state, at, reason, why}, and each of them by "KIND KEY" too.
function M.fold(entries)
  local function zeros() return { authorise = 0, capture = 0, refund = 0, void = 0 } end
  local balance = { done = zeros(), asked = zeros(), operations = {} }
  for _, entry in ipairs(entries) do operation(balance, entry) end
  for _, op in ipairs(balance.operations) do
    local sums = op.state == "succeeded" and balance.done or op.state == "requested" and balance.asked
    if sums then sums[op.kind] = sums[op.kind] + op.amount end
  end
  return balance
end

-- What may still be asked for, in minor units. Money that was asked for is spoken for, whatever comes of it.
local LEFT = {
  capture = function(b)
    if b.asked.void > 0 then return 0 end
    return b.done.authorise - b.done.capture - b.asked.capture - b.done.void
  end,
  refund = function(b) return b.done.capture - b.done.refund - b.asked.refund end,
  void = function(b) -- all that is not captured, and nobody is about to
    if b.asked.capture + b.asked.void > 0 then return 0 end
    return b.done.authorise - b.done.capture - b.done.void
  end,
}

function M.left(balance, kind)
  return LEFT[kind](balance)
end

-- The operations that were asked for and have not ended, but for the first request, which the charge itself answers.
function M.open_operations(balance)
  local open = {}
  for _, op in ipairs(balance.operations) do
    if op.state == "requested" and op.kind ~= "authorise" then open[#open + 1] = op end
  end
  return open
end

-- ---- an account ---------------------------------------------------------------------------------------------------

-- The account of payment `id`, its row locked; nil if there is none.
function M.lock(tx, id)
  local payment = store.lock(tx, id)
  if not payment then return nil end
  return { tx = tx, payment = payment, entries = store.entries(tx, id), before = payment.status, news = {} }
end

function M.balance(account)
  return M.fold(account.entries)
end

local TOLD = { authorise = "payment.authorised.v1", capture = "payment.captured.v1", refund = "payment.refunded.v1",
  void = "payment.voided.v1" }

-- Adds an entry {kind, key, state, amount, actor, reason}. What ended is told when the account is closed.
function M.book(account, entry)
  local now = fastr.time.now()
  entry.reference, entry.at = account.payment.charge, now
  store.add_entry(account.tx, account.payment.id, entry, now)
  table.insert(account.entries, entry)
  if entry.state == "succeeded" then table.insert(account.news, { type = TOLD[entry.kind], amount = entry.amount }) end
end

-- The payment came to nothing: `status` is "declined" or "voided".
function M.fail(account, status, reason)
  local p = account.payment
  p.status, p.reason, p.next_action = status, reason or "", nil
  M.book(account, { kind = "authorise", key = p.id, state = "failed", amount = p.amount, reason = reason })
  table.insert(account.news, { type = "payment." .. status .. ".v1", amount = p.amount })
end

-- What gift cards alone pay is taken, set aside or let go of without the provider's word: `status` says which. The
-- caller closes the account.
function M.take(account, status)
  account.payment.status = status
  table.insert(account.news, { type = "payment." .. status .. ".v1", amount = 0 })
end

-- ---- closing ------------------------------------------------------------------------------------------------------

local UNTAKEN = { authorised = "voided", captured = "refunded" }

-- Is nothing of it to be kept?
local function is_void(p)
  return p.keep_nothing or p.status == "declined" or p.status == "voided"
end

-- What gift cards paid goes back when nothing is kept of the attempt: what is left of it, so once.
local function give_back(account)
  local p = account.payment
  if p.from_gift_cards == 0 or not is_void(p) then return end
  gift_cards.give_back(account.tx, p.id, nil, { key = p.id, reason = p.reason })
  if p.amount == 0 and UNTAKEN[p.status] then M.take(account, UNTAKEN[p.status]) end
end

-- Has all that it took been given back?
local function is_refunded(account, b)
  if b.done.refund < b.done.capture then return false end
  return account.payment.from_gift_cards == 0 or gift_cards.left(account.tx, account.payment.id) == 0
end

-- Brings the payment's status up to what the entries say.
function M.reckon(account)
  local p, b = account.payment, M.balance(account)
  local is_taken = b.done.capture > 0 or p.amount == 0 and (p.status == "captured" or p.status == "refunded")
  if is_taken then
    p.status = is_refunded(account, b) and "refunded" or "captured"
  elseif b.done.authorise > 0 then
    p.status = b.done.void > 0 and "voided" or "authorised"
  end
  return p, b
end

-- Was it to be captured at once, and is only known to be authorised? (The news of the one may come before the other's.)
function M.awaits_capture(p, b)
  return p.capture == "now" and p.status == "authorised" and not b.operations["capture " .. p.id]
end

-- Is something left to do on the payment without being asked?
function M.has_work(p, b)
  if M.UNDECIDED[p.status] or M.awaits_capture(p, b) or #M.open_operations(b) > 0 then return true end
  return p.keep_nothing and M.left(b, "void") + M.left(b, "refund") > 0
end

local function next_try(p, b)
  if not M.has_work(p, b) then return nil end
  local ms = math.min(LONGEST_MS, FIRST_MS * 2 ^ math.min(p.tries, 10))
  return fastr.time.iso(fastr.time.unix_ms() + ms)
end

local function money(amount, currency)
  return { amount = amount, currency = currency }
end

-- One capture at once is told as captured alone.
local function is_news(account, b, news)
  return not (news.type == TOLD.authorise and b.done.capture > 0 and account.before ~= "authorised")
end

local function tell(account, b)
  local p = account.payment
  for _, news in ipairs(account.news) do
    if is_news(account, b, news) then
      outbox.add(account.tx, { topic = "payment", key = p.id, type = news.type, data = {
        payment = p.id, order = p.order, customer = p.customer or fastr.json.null, status = p.status,
        changed = money(news.amount, p.currency), amount = money(p.amount, p.currency),
        captured = money(b.done.capture, p.currency), refunded = money(b.done.refund, p.currency),
        from_gift_cards = p.from_gift_cards > 0 and money(p.from_gift_cards, p.currency) or nil,
        brand = p.brand, last4 = p.last4, reason = p.reason, at = fastr.time.now() } })
    end
  end
end

-- Writes down what the entries make of the payment, and tells it.
function M.close(account)
  M.reckon(account)
  give_back(account)
  local p, b = M.reckon(account)
  if p.status ~= account.before or #account.news > 0 then p.tries = 0 end
  store.save(account.tx, p, next_try(p, b), fastr.time.now())
  tell(account, b)
end

return M
