-- events: what the order service does with its own events: every worker feeds the streams that watch the order.

local view = require "services.order.view"

local M = {}

-- A broadcast event has no transaction: nothing is stored, and nothing is lost that the history does not have.
function M.stream(_, event)
  local data = event.data
  fastr.stream.publish("order:" .. data.order, view.stream_event({ sequence = event.version, status = data.status,
    at = data.at, reason = data.reason }))
  return true
end

return M
