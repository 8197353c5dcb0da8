-- jobs: what the test provider does on its own.

local book = require "services.provider.book"
local database = require "platform.db"
local store = require "services.provider.store"
local webhooks = require "services.provider.webhooks"

local M = {}

local SLICE_MS, POLL_MS, FAILED_MS = 900, 200, 500
local BATCH = 50
local KEEP_MS = 7 * 86400 * 1000

-- One slice of sending: goes on while there is something due, waits for the next commit or the next look otherwise.
function M.deliver()
  local db, ends = database.open("provider"), fastr.time.unix_ms() + SLICE_MS
  repeat
    local ok, count = pcall(webhooks.deliver, db)
    if not ok then
      fastr.time.sleep(FAILED_MS)
      return nil, "webhooks: " .. (type(count) == "table" and count.detail or tostring(count))
    end
    if count == 0 then fastr.flight.await("provider.webhooks", POLL_MS) end
  until fastr.time.unix_ms() >= ends
  return true
end

function M.lapse()
  local db = database.open("provider")
  for _, row in ipairs(store.lapsed(db, fastr.time.now(), BATCH)) do
    db:transaction(function(tx) return { book.lapse(tx, row.id) } end)
  end
  return true
end

function M.sweep()
  store.forget_delivered(database.open("provider"), fastr.time.iso(fastr.time.unix_ms() - KEEP_MS))
  return true
end

return M
