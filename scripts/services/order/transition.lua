-- transition: how an order's status changes: the rules allow it, one guarded statement does it, the history keeps it,
-- an event tells it; all in the caller's transaction. Nothing else writes a status.

local problem = require "lib.problem"
local outbox = require "platform.outbox"
local store = require "services.order.store"
local view = require "services.order.view"

local M = {}

local function refused(order, to, reason)
  return problem.new("order_transition_refused", { status_now = order.status,
    detail = reason or ("An order that is " .. order.status .. " cannot become " .. to) })
end

-- May `who` ({kind, id}) move the order to `to`? True, or nil and the problem.
local function allowed(order, to, who)
  local decision, message, code = fastr.rules.decide("order.transition", { from = order.status, to = to,
    who = who.kind, order = { total = order.total, currency = order.currency } })
  if not decision then return nil, problem.new(code, { detail = message }) end
  if decision.allow then return true end
  return nil, refused(order, to, decision.reason)
end

local function actor(who)
  return who.id and who.kind .. ":" .. who.id or who.kind
end

-- Writes the first entry of a history. It is nobody's news yet, so no event tells it.
function M.begin(tx, order, who, now)
  store.add_history(tx, order, { sequence = 0, to = "placing", actor = actor(who), reason = "", at = now })
end

-- Moves a locked order to `to`. `change`: who, reason, and what else the event is to tell (`extra`).
-- Returns true, or nil and a problem; the order's table then has the new status, number and sequence.
function M.move(tx, order, to, change)
  local ok, failed = allowed(order, to, change.who)
  if not ok then return nil, failed end
  local from, now = order.status, fastr.time.now()
  local row = store.set_status(tx, order, from, to, now)
  if not row then return nil, refused(order, to, "The order has moved on meanwhile") end
  order.status, order.sequence, order.number = to, row.sequence, row.number
  local entry = { sequence = row.sequence, from = from, to = to, actor = actor(change.who),
    reason = change.reason or "", at = now }
  store.add_history(tx, order, entry)
  outbox.add(tx, { topic = "order", key = order.id, type = "order." .. to .. ".v1", sequence = row.sequence,
    data = view.event(order, entry, change.extra) })
  return true
end

return M
