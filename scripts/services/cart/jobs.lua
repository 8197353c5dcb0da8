-- jobs: what the cart service does on its own.

local database = require "platform.db"
local store = require "services.cart.store"

local M = {}

local IDLE_MS = 30 * 86400 * 1000
local BATCH = 500

-- Deletes anonymous carts that nobody has touched for 30 days.
function M.expire()
  store.delete_idle(database.open("cart"), fastr.time.iso(fastr.time.unix_ms() - IDLE_MS), BATCH)
  return true
end

return M
