-- work: what is left to do on an order, one resting point after the other. Whoever has the order's lease runs it: the
-- checkout's own request, or, after a crash, the resumer. Every call to another service is idempotent, so a step that
-- was half done is done again.
--
--   place:   hold stock -> ask payment (outside any transaction) -> take the stock -> placed, paid -> settle
--              | too little       | declined: settle; the order stays open for another attempt
--              v                  | unknown, challenge: rest, ask again later
--   undo:    give the money back -> give the stock back -> settle
--   settle:  tell the cart: done, or open again
--
-- Where the money is only set aside (the rules want the order looked at) it is placed and not paid, and rests:
--
--   capture:        accepted: take the money -> paid -> settle
--   authorisation:  it runs out, or has ended: renew it, or undo, as the rules said

local problem = require "lib.problem"
local outbox = require "platform.outbox"
local store = require "services.order.store"
local transition = require "services.order.transition"

local M = {}

local array = fastr.json.array

local LEASE_MS = 15000            -- longer than all steps of an order that goes well
local CALL = { timeout_ms = 3000 }
local PAY = { timeout_ms = 6000 } -- what has not been answered by then is unknown, and asked about later
local LONGEST_REST_MS = 30000

local SYSTEM = { kind = "service" }

local function now()
  return fastr.time.now()
end

local function after(ms)
  return fastr.time.iso(fastr.time.unix_ms() + ms)
end

-- ---- leases -------------------------------------------------------------------------------------------------------

-- A new lease: {by, ends, worker}. It also ends when the process does, where that can be known.
function M.lease()
  return { by = fastr.crypto.uuid7(), ends = after(LEASE_MS), worker = (fastr.host.life()) }
end

-- Ends the lease of the locked order if the process that holds it has ended. Did it?
function M.end_lease(tx, order)
  if not order.lease_worker or not fastr.host.is_over(order.lease_worker) then return false end
  store.end_lease(tx, order.id, order.lease_worker, now())
  return true
end

-- The same for every order: what this host's processes left when they ended is due now.
function M.end_leases(db)
  for _, row in ipairs(store.held(db, now())) do
    if fastr.host.is_over(row.worker) then
      db:transaction(function(tx)
        store.end_lease(tx, row.id, row.worker, now())
        return true
      end)
    end
  end
end

local CHANGING = { "status", "sequence", "number", "work", "work_reason", "committed" }

-- A transaction on the order. What a run of `fn` that was not committed has changed in the table did not happen either:
-- it is put back before `fn` is run again, or its failure is told.
local function transact(db, order, fn)
  local before = {}
  for _, name in ipairs(CHANGING) do before[name] = order[name] end
  local function put_back()
    for _, name in ipairs(CHANGING) do order[name] = before[name] end
  end
  local ok, failed = db:transaction(function(tx)
    put_back()
    return fn(tx)
  end)
  if not ok then put_back() end
  return ok, failed
end

-- Puts the order down until `ms` from now; each try doubles the rest.
local function rest(db, order, reason)
  local tries = order.tries + 1
  local ms = math.min(LONGEST_REST_MS, 500 * 2 ^ math.min(tries, 10))
  db:transaction(function(tx)
    store.set_work(tx, order, order.work, reason, after(ms), tries)
    return true
  end)
end

local function turn_to(tx, order, work, reason)
  store.turn_to(tx, order, work, reason, now())
  order.work, order.work_reason = work, reason or ""
end

-- Goes on with what the order's row says now: somebody has turned it to other work meanwhile, as who cancels it.
local function go_on(tx, order)
  local row = store.lock(tx, order.id)
  order.status, order.work, order.work_reason, order.sequence = row.status, row.work, row.work_reason, row.sequence
end

local function as_it_is(db, order, attempt)
  db:transaction(function(tx)
    go_on(tx, order)
    if attempt then store.set_attempt(tx, attempt, now()) end
    return true
  end)
  return order.work ~= nil
end

-- The work is done, unless there is other by now: whether there is.
local function end_work(db, order, work, attempt)
  db:transaction(function(tx)
    store.lock(tx, order.id)
    if attempt then store.set_attempt(tx, attempt, now()) end
    store.end_work(tx, order, work)
    go_on(tx, order)
    return true
  end)
  return order.work ~= nil
end

-- Is anything to be paid for the order, by whatever means?
function M.is_payable(order)
  return order.due > 0 or #order.gift_cards > 0
end

-- ---- undo ---------------------------------------------------------------------------------------------------------

-- Cancels the order: from here on nothing can finish it, and `undo` gives back what it has.
-- Runs in the caller's transaction; true, or nil and a problem.
function M.cancel(tx, order, who, reason)
  local ok, failed = transition.move(tx, order, "cancelled", { who = who, reason = reason })
  if not ok then return nil, failed end
  turn_to(tx, order, "undo", reason)
  return true
end

local function give_up(db, order, reason)
  return transact(db, order, function(tx)
    if order.status == "cancelled" then
      turn_to(tx, order, "undo", reason)
      return true
    end
    return M.cancel(tx, order, SYSTEM, reason)
  end)
end

local GIVEN_BACK = { voided = true, refunded = true, declined = true }

-- Asks payment to keep nothing of the attempt. True when that is certain; else nil and why not.
local function give_money_back(db, attempt)
  local status = "voided"
  if attempt.status ~= "new" then
    local reply, failed = fastr.call("payment", "void", { attempt = attempt.id }, CALL)
    if not reply and failed.status ~= 404 then return nil, failed.detail or failed.code end
    status = reply and reply.status or "voided"
  end
  if not GIVEN_BACK[status] then return nil, "payment is " .. status end
  attempt.status = status
  db:transaction(function(tx)
    store.set_attempt(tx, attempt, now())
    return true
  end)
  return true
end

-- The same, or the order rests with the reason: whether it is certain.
local function give_back_or_rest(db, order, attempt)
  local ok, why = give_money_back(db, attempt)
  if not ok then rest(db, order, why) end
  return ok == true
end

local function stock_lines(order)
  local lines = {}
  for i, line in ipairs(order.lines) do lines[i] = { sku = line.sku, quantity = line.quantity } end
  return array(lines)
end

-- The units that are still out: those that were cancelled before have come back by themselves.
local function units_out(db, order)
  local lines, back = {}, db:transaction(function(tx) return store.returned(tx, order.id) end)
  for _, line in ipairs(order.lines) do
    local left = line.quantity - (back[line.sku] or 0)
    if left > 0 then lines[#lines + 1] = { sku = line.sku, quantity = left } end
  end
  return array(lines)
end

local function give_stock_back(db, order)
  if order.committed then
    return fastr.call("product", "restock", { order = order.id, key = "cancel", lines = units_out(db, order) })
  end
  local reply, failed = fastr.call("product", "release", { order = order.id }, CALL)
  if reply or failed.code ~= "conflict" then return reply, failed end
  -- It was taken off the shelf just before the crash that left this order.
  return fastr.call("product", "restock", { order = order.id, key = "cancel", lines = stock_lines(order) })
end

local function undo(db, order)
  local attempt = store.open_attempt(db, order.id)
  if attempt and not give_back_or_rest(db, order, attempt) then return false end
  local ok, failed = give_stock_back(db, order)
  if not ok then
    rest(db, order, failed.detail or failed.code)
    return false
  end
  return db:transaction(function(tx)
    store.set_stock(tx, order, false, false)
    turn_to(tx, order, "settle")
    return true
  end)
end

-- ---- settle -------------------------------------------------------------------------------------------------------

local function settle(db, order)
  local outcome = (order.status == "placing" or order.status == "cancelled") and "open" or "done"
  local ok, failed = fastr.call("cart", "settle", { cart = order.cart, order = order.id, outcome = outcome,
    attempt = store.last_attempt(db, order.id) }, CALL)
  if not ok then
    rest(db, order, failed.detail or failed.code)
    return false
  end
  return end_work(db, order, "settle")
end

-- ---- place --------------------------------------------------------------------------------------------------------

local function hold(db, order, said)
  local ok, failed = fastr.call("product", "hold", { order = order.id, lines = stock_lines(order),
    seconds = order.hold_s }, CALL)
  if ok then
    order.held = true
    return true
  end
  said.problem = failed
  if failed.status >= 500 then
    rest(db, order, failed.detail or failed.code)
    return false
  end
  give_up(db, order, failed.code)
  return nil
end

-- Marks the attempt as asked, before anything is asked: false if somebody has taken it from us.
local function mark_asked(db, order, attempt)
  return db:transaction(function(tx)
    store.set_stock(tx, order, true, order.committed)
    return { store.ask(tx, attempt.id, now()) }
  end)[1]
end

-- What gift cards pay belongs to the attempt: payment takes it before it asks for the rest, and gives it back with it.
local function shares_of(order)
  local shares = {}
  for i, share in ipairs(order.gift_cards) do shares[i] = { id = share.id, amount = share.amount } end
  return #shares > 0 and array(shares) or nil
end

local function authorise(order, attempt)
  return fastr.call("payment", "authorise", { order = order.id, attempt = attempt.id, amount = attempt.amount,
    currency = attempt.currency, gift_cards = shares_of(order),
    payment_method = attempt.payment_method ~= "" and attempt.payment_method or nil, renewals = attempt.renewals,
    verdict = order.review and "review" or "accept", customer = order.customer }, PAY)
end

-- What payment knows of the attempt. It is asked first wherever it may have been asked before; the same attempt is
-- never charged twice, because its id is payment's key.
local function ask_payment(db, order, attempt)
  if attempt.status == "new" then
    if not mark_asked(db, order, attempt) then return nil, problem.new("checkout_running") end
    attempt.status = "asked"
    return authorise(order, attempt)
  end
  local reply, failed = fastr.call("payment", "look_up", { attempt = attempt.id }, CALL)
  if not reply and failed.status == 404 then return authorise(order, attempt) end
  return reply, failed
end

local function record(db, order, attempt, work, reason)
  db:transaction(function(tx)
    store.set_attempt(tx, attempt, now())
    if work then turn_to(tx, order, work, reason) end
    return true
  end)
end

-- The payment said no, or what was asked for is nonsense: the order stays open with its hold, the cart too.
local function declined(db, order, attempt, reason)
  attempt.status, attempt.reason = "declined", reason
  record(db, order, attempt, "settle")
  return nil
end

-- A shopper has as long to approve his payment as his stock is held.
local function took_too_long(order, attempt)
  return attempt.status == "requires_action" and attempt.created_at ~= nil
    and fastr.time.unix_ms() - fastr.time.parse(attempt.created_at) > order.hold_s * 1000
end

local function wait_for_payment(db, order, attempt, said)
  said.outcome = attempt.status
  if took_too_long(order, attempt) then
    give_up(db, order, "payment_not_completed")
    return nil
  end
  record(db, order, attempt)
  rest(db, order, "payment " .. attempt.status)
  return false
end

local function given(value)
  if value == fastr.json.null then return nil end
  return value
end

-- Takes over what payment said of the attempt; nothing said is unknown.
local function take_over(attempt, reply)
  attempt.status = reply and reply.status or "unknown"
  if not reply then return end
  attempt.payment, attempt.reason = given(reply.payment), given(reply.reason)
  attempt.next_action, attempt.on_expiry = given(reply.next_action), given(reply.on_expiry)
  attempt.expires_at, attempt.look_at = given(reply.expires_at), given(reply.look_at)
end

local IS_OURS = { authorised = true, captured = true }

-- True when the money is ours (or nothing is due); nil when the order has turned to other work; false when it rests.
local function pay(db, order, attempt, said)
  if not attempt then return true end
  if IS_OURS[attempt.status] then return true end
  local reply, failed = ask_payment(db, order, attempt)
  if not reply and failed.code == "checkout_running" then
    said.problem = failed
    return false
  end
  if not reply and failed.status < 500 then
    said.problem = failed
    return declined(db, order, attempt, failed.code)
  end
  take_over(attempt, reply)
  if IS_OURS[attempt.status] then return true end
  if GIVEN_BACK[attempt.status] then -- declined, or nothing was kept of it
    said.outcome = "declined"
    return declined(db, order, attempt, given(reply.reason))
  end
  return wait_for_payment(db, order, attempt, said)
end

-- Paid, but the hold had run out and the units are gone: the money goes back, and everybody is told.
local function shortfall(db, order, attempt, failed)
  db:transaction(function(tx)
    if attempt then store.set_attempt(tx, attempt, now()) end
    outbox.add(tx, { topic = "order", key = order.id, type = "order.shortfall.v1", data = { order = order.id,
      attempt = attempt and attempt.id or order.id, detail = failed.detail or failed.code, at = now() } })
    return true
  end)
  give_up(db, order, failed.code)
  return nil
end

local function take_stock(db, order, attempt, said)
  local ok, failed = fastr.call("product", "commit", { order = order.id }, CALL)
  if ok then return true end
  said.problem = failed
  if failed.status < 500 then return shortfall(db, order, attempt, failed) end
  if attempt then record(db, order, attempt) end
  rest(db, order, failed.detail or failed.code)
  return false
end

local function paid_extra(attempt)
  if not attempt then return nil end
  -- Without the method: a guest's is a capability, and events travel far.
  return { payment = { id = attempt.payment, attempt = attempt.id, status = attempt.status,
    amount = { amount = attempt.amount, currency = attempt.currency } } }
end

-- Is nothing left to take? Of an order without a payment, if nobody is to look at it first.
local function is_paid(order, attempt)
  if attempt then return attempt.status == "captured" end
  return not order.review
end

local function pay_in(tx, order, attempt)
  if attempt then store.set_attempt(tx, attempt, now()) end
  local ok, failed = transition.move(tx, order, "paid", { who = SYSTEM, extra = paid_extra(attempt) })
  if not ok then return nil, failed end
  turn_to(tx, order, "settle")
  return true
end

local function finish_in(tx, order, attempt)
  if attempt then store.set_attempt(tx, attempt, now()) end
  store.set_stock(tx, order, true, true)
  local review = order.review and "for review: " .. order.review or nil
  local ok, failed = transition.move(tx, order, "placed", { who = SYSTEM, reason = review,
    extra = { review = order.review } })
  if not ok then return nil, failed end
  if is_paid(order, attempt) then return pay_in(tx, order, attempt) end
  turn_to(tx, order, "settle")
  return true
end

-- Everything is ours: number, history and events in one transaction. If the order was cancelled meanwhile it is undone.
local function finish(db, order, attempt, said)
  local ok, failed = transact(db, order, function(tx) return finish_in(tx, order, attempt) end)
  if ok then
    said.outcome = order.status -- placed or paid
    return true
  end
  said.problem, order.committed = failed, true
  db:transaction(function(tx)
    local row = store.lock(tx, order.id)
    if attempt then store.set_attempt(tx, attempt, now()) end
    store.set_stock(tx, order, true, true)
    order.status = row.status
    if row.status == "cancelled" then turn_to(tx, order, "undo", row.work_reason) end
    return true
  end)
  return order.status == "cancelled"
end

-- Returns true when there is more to do on the order at once, false when it rests.
local function place(db, order, said)
  local attempt = store.open_attempt(db, order.id)
  if not attempt and M.is_payable(order) then
    return give_up(db, order, "no_payment") and true
  end
  local steps = {
    function() return (order.held and attempt and attempt.status ~= "new") or hold(db, order, said) end,
    function() return pay(db, order, attempt, said) end,
    function() return take_stock(db, order, attempt, said) end,
    function() return finish(db, order, attempt, said) end,
  }
  for _, step in ipairs(steps) do
    local going = step()
    if not going then return going == nil end
  end
  return true
end

-- ---- capture ------------------------------------------------------------------------------------------------------

local function note_paid(db, order, attempt)
  if transact(db, order, function(tx) return pay_in(tx, order, attempt) end) then return true end
  return as_it_is(db, order, attempt)
end

-- Another attempt with the same card, in place of one that has ended; nil if there is one already. Its id is made here
-- and stored before anybody is asked, as always.
local function add_renewal(db, order, old)
  local attempt = { id = fastr.crypto.uuid7(), order = order.id, payment_method = old.payment_method,
    amount = old.amount, currency = old.currency, renewals = old.renewals + 1, status = "new" }
  local added = db:transaction(function(tx)
    if store.lock(tx, order.id).status ~= "placed" or store.open_attempt_in(tx, order.id) then return { false } end
    store.add_attempt(tx, attempt, now())
    return { true }
  end)
  return added[1] and attempt or nil
end

-- Asks for the money of an attempt that has not been answered: nobody is there to meet a challenge. True when it is
-- ours; nil when it has come to nothing; false when it rests.
local function ask_again(db, order, attempt)
  local reply, failed = ask_payment(db, order, attempt)
  if not reply and failed.code == "checkout_running" then return false end -- somebody has taken it from us
  if not reply and failed.status >= 500 then
    rest(db, order, failed.detail or failed.code)
    return false
  end
  take_over(attempt, reply or { status = "declined", reason = failed.code })
  record(db, order, attempt)
  if IS_OURS[attempt.status] then return true end
  if attempt.status == "unknown" then
    rest(db, order, "payment unknown")
    return false
  end
  return nil
end

local function is_due(attempt)
  return attempt.look_at ~= nil and fastr.time.parse(attempt.look_at) <= fastr.time.unix_ms()
end

-- What payment says of the attempt now; nil when it cannot be asked, and the order rests.
local function look_again(db, order, attempt)
  local reply, failed = fastr.call("payment", "look_up", { attempt = attempt.id }, CALL)
  if not reply then
    rest(db, order, failed.detail or failed.code)
    return nil
  end
  local was = attempt.status
  take_over(attempt, reply)
  if attempt.status ~= was then record(db, order, attempt) end
  return true
end

-- Puts a new authorisation in the place of one that runs out or has ended, if the rules wanted it. The attempt; nil
-- when the order is given up; false when it rests.
local function renew(db, order, old)
  local has_ended = GIVEN_BACK[old.status]
  if old.on_expiry ~= "renew" or (has_ended and old.reason ~= "authorisation_expired") then
    give_up(db, order, has_ended and old.reason or "authorisation_expired")
    return nil
  end
  if not has_ended then
    old.reason = "authorisation_expired"
    if not give_back_or_rest(db, order, old) then return false end
  end
  return add_renewal(db, order, old) or store.open_attempt(db, order.id) or false
end

-- An attempt whose money is ours: that of the order, or a new one in the place of one that has ended or, unless it is
-- taken at once, is about to. nil when the order has turned to other work; false when it rests.
local function standing(db, order, is_taken)
  local attempt = store.newest_attempt(db, order.id)
  if IS_OURS[attempt.status] and not look_again(db, order, attempt) then return false end
  local runs_out = attempt.status == "authorised" and not is_taken and is_due(attempt)
  if GIVEN_BACK[attempt.status] or runs_out then
    attempt = renew(db, order, attempt)
    if not attempt then return attempt end
  end
  if IS_OURS[attempt.status] then return attempt end
  local asked = ask_again(db, order, attempt)
  if asked then return attempt end
  if asked == nil then
    if attempt.status ~= "declined" then give_money_back(db, attempt) end
    give_up(db, order, "authorisation_expired")
  end
  return asked
end

-- Accepted: the money is taken, and that is noted. A crash between the two is nothing: payment takes it once.
local function capture(db, order)
  if not M.is_payable(order) then return note_paid(db, order, nil) end
  local attempt = standing(db, order, true)
  if not attempt then return attempt == nil and as_it_is(db, order) end
  local reply, failed = fastr.call("payment", "take", { attempt = attempt.id }, PAY)
  if reply then take_over(attempt, reply) end
  if attempt.status == "captured" then return note_paid(db, order, attempt) end
  if reply then record(db, order, attempt) end
  rest(db, order, reply and "payment " .. attempt.status or failed.detail or failed.code)
  return false
end

-- Nobody has accepted it yet: is the money still set aside?
local function authorisation(db, order)
  local attempt = standing(db, order)
  if not attempt then return attempt == nil and as_it_is(db, order) end
  if attempt.status == "captured" then return note_paid(db, order, attempt) end
  return end_work(db, order, "authorisation", attempt)
end

-- Work for an order at rest, which it should have had: whoever compares books found that something is left of it.
-- Whether it was at rest.
function M.take_up(tx, id, what)
  local order = store.lock(tx, id)
  if order.work then return false end
  turn_to(tx, order, what, "reconciliation")
  return true
end

-- Staff's word on a locked order that is placed and not paid: true, or nil and the problem. Accepting what is accepted,
-- and refusing what is cancelled, changes nothing.
function M.review(tx, order, accept, who, reason)
  if accept and (order.status == "paid" or order.work == "capture") then return true end
  if not accept and order.status == "cancelled" then return true end
  if not accept and order.work == "capture" then
    return nil, problem.new("order_transition_refused", { status_now = order.status,
      detail = "The order was accepted, and its payment is being captured: cancel it when it is paid" })
  end
  if not accept then return M.cancel(tx, order, who, reason or "not accepted") end
  local ok, failed = transition.allowed(order, "paid", who)
  if not ok then return nil, failed end
  transition.note(tx, order, "accepted", { who = who, reason = reason or "accepted" })
  turn_to(tx, order, "capture", reason)
  return true
end

-- ---- running ------------------------------------------------------------------------------------------------------

local STEPS = { place = place, capture = capture, authorisation = authorisation, undo = undo, settle = settle }

-- Works on an order whose lease the caller has until it rests. Returns {outcome = paid | declined | unknown |
-- requires_action, problem = why it came to nothing}; both may be missing when there was nothing to tell.
function M.run(db, order)
  local said = {}
  while order.work and STEPS[order.work](db, order, said) do end
  return said
end

-- Takes an order that nobody works on and runs it; nil if somebody does, or nothing is left.
function M.resume(db, id)
  local lease = M.lease()
  local order = db:transaction(function(tx) return store.take(tx, id, lease, now()) or false end)
  if not order then return nil end
  return M.run(db, order)
end

-- The shopper comes back with another card while an attempt is open: finds out what became of that attempt, and gives
-- a challenge that is still not met up. An attempt whose outcome is unknown is left alone.
function M.make_way(db, id)
  local said = M.resume(db, id)
  if not said or said.outcome ~= "requires_action" then return end
  local attempt = store.open_attempt(db, id)
  if not attempt or attempt.status ~= "requires_action" or not give_money_back(db, attempt) then return end
  db:transaction(function(tx)
    local order = store.lock(tx, id)
    if order.status == "placing" and not store.open_attempt_in(tx, id) then store.set_work(tx, order, nil) end
    return true
  end)
end

return M
