-- events: what the order service does with its own events (every worker feeds the streams that watch the order), and
-- with payment's: an order that waits for one is looked at again at once.

local store = require "services.order.store"
local view = require "services.order.view"

local M = {}

-- A broadcast event has no transaction: nothing is stored, and nothing is lost that the history does not have.
function M.stream(_, event)
  local data = event.data
  fastr.stream.publish("order:" .. data.order, view.stream_event({ sequence = event.version, status = data.status,
    at = data.at, reason = data.reason }))
  return true
end

-- The news is only that there is some: what became of the attempt is asked of payment, as always.
function M.payment_moved(tx, event)
  store.wake(tx, event.data.order, fastr.time.now())
end

-- The money of an order that waits to be accepted was taken or let go of by somebody else: staff, or the provider.
function M.payment_ended(tx, event)
  local now = fastr.time.now()
  store.wake(tx, event.data.order, now)
  store.look_at(tx, event.data.order, now)
end

return M
