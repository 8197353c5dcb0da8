-- handlers: one function per route of the notification service.

local compose = require "services.notification.compose"
local database = require "platform.db"
local problem = require "lib.problem"
local store = require "services.notification.store"

local M = {}

local array, null = fastr.json.array, fastr.json.null

local function show(row)
  return { id = row.id, order = row.order, event = row.event, channel = "email", template = row.template,
    language = row.language, recipient = row.shown_as, message_id = compose.message_id(row.id), status = row.status,
    tries = row.tries, reason = row.reason ~= "" and row.reason or null, created_at = row.created_at,
    sent_at = row.sent_at or null }
end

function M.list(ctx)
  local query = ctx.query
  local size, items = query.limit or 20, {}
  local rows = store.list(database.open("notification"), query.order, query.status, tonumber(query.cursor), size + 1)
  local more = rows[size + 1] ~= nil
  rows[size + 1] = nil
  for i, row in ipairs(rows) do items[i] = show(row) end
  return 200, { items = array(items), next_cursor = more and tostring(rows[size].number) or null }
end

function M.retry(ctx)
  local row = store.lock(ctx.tx, ctx.params.id)
  if not row then return nil, problem.new("notification_not_found") end
  if row.status ~= "refused" then
    return nil, problem.new("conflict", { detail = "Only what was refused is tried again; it is " .. row.status })
  end
  if not row.kept then return nil, problem.new("conflict", { detail = "Its text is not kept any more" }) end
  return 200, show(store.queue_again(ctx.tx, row.id))
end

return M
