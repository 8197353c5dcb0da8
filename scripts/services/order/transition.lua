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

-- May `who` ({kind, id}) move the order to `to`? The list of statuses on the way there, mostly empty, and the decision;
-- or nil and the problem. `all_back`: everything of it comes back with the return that is asked for.
function M.allowed(order, to, who, all_back)
  local decision, message, code = fastr.rules.decide("order.transition", { from = order.status, to = to,
    who = who.kind, now = fastr.time.now(), all_back = all_back, order = { total = order.total,
      currency = order.currency, placed_at = order.placed_at, review = order.review ~= nil } }, { key = order.cart })
  if not decision then return nil, problem.new(code, { detail = message }) end
  if decision.allow then return decision.via or {}, decision end
  return nil, refused(order, to, decision.reason)
end

-- How a history names who did it.
function M.actor(who)
  return who.id and who.kind .. ":" .. who.id or who.kind
end

-- Writes the first entry of a history. It is nobody's news yet, so no event tells it.
function M.begin(tx, order, who, now)
  store.add_history(tx, order, { sequence = 0, to = "placing", actor = M.actor(who), reason = "", at = now })
end

-- Adds the next entry to the history of a locked order, and tells it.
local function tell(tx, order, kind, entry, change)
  entry.actor, entry.reason = M.actor(change.who), change.reason or ""
  store.add_history(tx, order, entry)
  if entry.to == "placed" then order.priced = store.priced(tx, order.id) end
  outbox.add(tx, { topic = "order", key = order.id, type = "order." .. kind .. ".v1", sequence = entry.sequence,
    data = view.event(order, entry, change.extra) })
  return true
end

-- Something happened to a locked order that leaves its status as it is: event order.KIND.v1. `change` as for move.
function M.note(tx, order, kind, change)
  local now = fastr.time.now()
  order.sequence = store.count_up(tx, order, now)
  return tell(tx, order, kind, { sequence = order.sequence, from = order.status, to = order.status, at = now }, change)
end

local function step(tx, order, to, change)
  local from, now = order.status, fastr.time.now()
  local row = store.set_status(tx, order, from, to, now)
  if not row then return nil, refused(order, to, "The order has moved on meanwhile") end
  order.status, order.sequence, order.number = to, row.sequence, row.number
  return tell(tx, order, to, { sequence = row.sequence, from = from, to = to, at = now }, change)
end

-- Moves a locked order to `to`. `change`: who, reason, and what else the event is to tell (`extra`).
-- Returns true, or nil and a problem; the order's table then has the new status, number and sequence.
function M.move(tx, order, to, change)
  local via, failed = M.allowed(order, to, change.who)
  if not via then return nil, failed end
  for _, between in ipairs(via) do
    local ok
    ok, failed = step(tx, order, between, change)
    if not ok then return nil, failed end
  end
  return step(tx, order, to, change)
end

return M
