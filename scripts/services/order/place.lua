-- place: one attempt at buying a cart. Decides the price on the facts the cart gathered, then opens the order's row,
-- which is the saga's, and works on it until it rests.
--
--   no order of the cart         -> a new one, in state placing, with this attempt
--   placed or paid               -> that order is the answer: a cart is bought once
--   placing, this attempt        -> go on where it stands
--   placing, somebody at work    -> 409 checkout_running
--   placing, other attempt open  -> find out what became of it, then look again
--   placing, attempts all failed -> frozen anew with what the cart holds now, and another attempt

local facts = require "services.order.facts"
local money = require "lib.money"
local problem = require "lib.problem"
local store = require "services.order.store"
local transition = require "services.order.transition"
local view = require "services.order.view"
local work = require "services.order.work"

local M = {}

local array = fastr.json.array

local ROUNDS = 4
local WAIT_MS, LOOK_MS = 10000, 100 -- for a run of the same attempt; less than the cart waits for us

-- ---- what the rules say -------------------------------------------------------------------------------------------

-- The cart's id is the key in both: while a version is tried on a share of the carts, the one that priced the cart for
-- the shopper decides about its order.
local function decide(point, asked, cart)
  local decision, info, code = fastr.rules.decide(point, asked, { key = cart, compare = "answer" })
  if decision then return decision, info end
  return nil, problem.new(code, { detail = info })
end

-- The price of the facts, and what the order keeps of it, to be proved later: {facts, decision, proof, pack, abi},
-- facts and decision as texts, byte for byte. Or nil and a problem.
local function price(asked, cart)
  local text = fastr.json.canonical(asked)
  local decision, info, code = fastr.rules.decide_text("price.cart", text, { key = cart })
  if not decision then return nil, problem.new(code, { detail = info }) end
  return fastr.json.decode(decision), { facts = text, decision = decision, pack = info.pack, abi = info.abi,
    proof = fastr.crypto.sha256(text .. "\n" .. decision) }
end

-- Why the total is another than was agreed: what the cart says, and that the rules have changed since it asked.
local function reasons_of(body, pack)
  local reasons = array(body.reasons)
  if body.pack ~= pack then
    reasons[#reasons + 1] = { code = "rules_version", from = body.pack, to = pack,
      detail = "Other rules decide this cart's price now" }
  end
  return reasons
end

-- The same total, but gift cards pay another part of it than was agreed.
local function drift_of_due(body, decision, pack)
  local expected, due = body.expected_due, { amount = decision.due, currency = decision.currency }
  if not expected or money.same(expected, due) then return nil end
  return problem.new("price_changed", { expected_due = expected, due = due, reasons = reasons_of(body, pack),
    total = { amount = decision.total, currency = decision.currency },
    detail = ("%d %s (in minor units) are left to pay, not %d %s: gift cards pay another part now"):format(due.amount,
      due.currency, expected.amount, expected.currency) })
end

local function drift(body, decision, pack)
  local total = { amount = decision.total, currency = decision.currency }
  local expected = body.expected_total
  if money.same(expected, total) then return drift_of_due(body, decision, pack) end
  return problem.new("price_changed", { expected = expected, total = total, reasons = reasons_of(body, pack),
    detail = ("The total is %d %s (in minor units), not %d %s"):format(total.amount, total.currency, expected.amount,
      expected.currency) })
end

-- What the rules say of an order that they take: {verdict, code, reason, hold_s, open_s}; or nil and the problem.
local function accepted(db, body, decision)
  local known, away = facts.of_acceptance(db, body, decision.total)
  if not known then return nil, away end
  local accept, failed = decide("order.accept", known, body.cart)
  if not accept then return nil, failed end
  if accept.verdict == "reject" then
    return nil, problem.new("order_refused", { detail = accept.reason, reason = accept.code })
  end
  return accept
end

-- What the order freezes, from one decision of now: or nil and a problem.
local function decided(db, body)
  local decision, kept = price(body.facts, body.cart)
  if not decision then return nil, kept end
  local failed = drift(body, decision, kept.pack)
  if failed then return nil, failed end
  local accept
  accept, failed = accepted(db, body, decision)
  if not accept then return nil, failed end
  local frozen = view.freeze(decision, body)
  frozen.hold_s, frozen.open_s = accept.hold_s, accept.open_s
  -- Why a person is to look at it, if that is so.
  frozen.review = accept.verdict == "review" and (accept.reason or accept.code or "review") or nil
  if frozen.due > 0 and not body.payment_method then
    return nil, problem.new("validation", { detail = "payment_method is missing",
      errors = array { { path = "payment_method", problem = "is missing" } } })
  end
  frozen.kept = kept
  return frozen
end

-- ---- opening ------------------------------------------------------------------------------------------------------

local function order_of(body, frozen, lease)
  return {
    cart = body.cart, customer = body.customer, email = body.email, currency = body.currency,
    token_hash = fastr.crypto.sha256(body.token), shipping_address = body.shipping_address,
    shipping_method = body.shipping_method, lines = frozen.lines, totals = frozen.totals, total = frozen.total,
    due = frozen.due, gift_cards = frozen.gift_cards, shipping = frozen.shipping, facts = frozen.kept.facts,
    decision = frozen.kept.decision, proof = frozen.kept.proof, pack = frozen.kept.pack, abi = frozen.kept.abi,
    lease_by = lease.by, lease_until = lease.ends, lease_worker = lease.worker, work = "place", tries = 0, held = false,
    committed = false, status = "placing",
    sequence = 0, review = frozen.review, hold_s = frozen.hold_s, open_s = frozen.open_s,
  }
end

local function add_attempt(tx, order, body)
  if not work.is_payable(order) then return end
  store.add_attempt(tx, { id = body.attempt, order = order.id, amount = order.due,
    payment_method = order.due > 0 and body.payment_method or "", currency = order.currency }, fastr.time.now())
end

local function create(tx, body, frozen)
  local order = order_of(body, frozen, work.lease())
  order.id = fastr.crypto.uuid7()
  if not store.create(tx, order, fastr.time.now()) then return { again = true } end
  transition.begin(tx, order, body.actor, fastr.time.now())
  add_attempt(tx, order, body)
  return { run = order }
end

local function freeze_again(tx, old, body, frozen)
  local order = order_of(body, frozen, work.lease())
  order.id, order.sequence = old.id, old.sequence
  store.freeze_again(tx, order, fastr.time.now())
  add_attempt(tx, order, body)
  return { run = order }
end

local function outcome_of_attempt(attempt)
  if attempt.status == "captured" then return "paid" end
  if attempt.status == "authorised" then return "placed" end
  if attempt.status == "voided" or attempt.status == "refunded" then return "declined" end
  return attempt.status
end

-- The attempt is known already: go on with it, or say how it ended.
local function same_attempt(tx, order, attempt)
  if not order.work then return { outcome = outcome_of_attempt(attempt), id = order.id } end
  local lease = work.lease()
  local taken = store.take(tx, order.id, lease, fastr.time.now())
  if not taken then return nil, problem.new("checkout_running", { retry_after = 1 }) end
  return { run = taken }
end

-- An order of this cart that is still placing; `frozen` is what a new attempt would freeze, or nil with `failed`.
local function placing(tx, order, body, frozen, failed)
  local attempt = store.attempt(tx, body.attempt)
  if order.busy and not work.end_lease(tx, order) then
    if attempt then return { wait = true } end
    return nil, problem.new("checkout_running", { retry_after = 1 })
  end
  if attempt then return same_attempt(tx, order, attempt) end
  if store.open_attempt_in(tx, order.id) or order.work then return { resolve = order.id } end
  if not frozen then return nil, failed end
  return freeze_again(tx, order, body, frozen)
end

-- How a checkout that ended well did: was the money taken, or only set aside?
local function bought(order)
  return order.status == "placed" and "placed" or "paid"
end

-- One look at what the cart has, under the lock of its order. Returns one of {outcome, id}, {run = leased order},
-- {resolve = id}, {again}, {wait}; or nil and a problem.
local function open(tx, body, frozen, failed)
  local order = store.lock_of_cart(tx, body.cart, fastr.time.now())
  if not order then
    if not frozen then return nil, failed end
    return create(tx, body, frozen)
  end
  if order.status ~= "placing" then return { outcome = bought(order), id = order.id } end
  return placing(tx, order, body, frozen, failed)
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

M.bought = bought

-- The answer of `place` and `of_cart`: the order as it is now, and how the attempt ended.
function M.answer(db, id, outcome)
  return { outcome = outcome, order = view.order(store.load(db, id)) }
end

local function run(db, order)
  local said = work.run(db, order)
  if said.outcome then return M.answer(db, order.id, said.outcome) end
  return nil, said.problem or problem.new("checkout_running", { retry_after = 1 })
end

-- open, until nobody else is at this very attempt: its first request is, when the process that asked for it has died,
-- or the resumer. It is not refused, for a checkout that is refused is over, and this one is not.
local function open_in_turn(db, body, frozen, failed)
  local last = fastr.time.unix_ms() + WAIT_MS
  repeat
    local step, wrong = db:transaction(function(tx) return open(tx, body, frozen, failed) end)
    if not step or not step.wait then return step, wrong end
    fastr.time.sleep(LOOK_MS)
  until fastr.time.unix_ms() > last
  return nil, problem.new("unavailable", { detail = "This checkout is still under way", retry_after = 1 })
end

-- Buys the cart of `body`, or goes on with it: {outcome, order}, or nil and a problem.
function M.place(db, body)
  local frozen, failed = decided(db, body)
  for _ = 1, ROUNDS do
    local step, wrong = open_in_turn(db, body, frozen, failed)
    if not step then return nil, wrong end
    if step.outcome then return M.answer(db, step.id, step.outcome) end
    if step.run then return run(db, step.run) end
    if step.resolve then work.make_way(db, step.resolve) end
  end
  return nil, problem.new("checkout_running", { retry_after = 2 })
end

return M
