-- jobs: what the cart service does on its own.

local checkout = require "services.cart.checkout"
local database = require "platform.db"
local store = require "services.cart.store"

local M = {}

local IDLE_MS = 30 * 86400 * 1000 -- housekeeping: a cart promises nothing, and holds no stock
local BATCH = 500
local SILENT_MS, SILENT_BATCH = 60000, 50 -- far longer than a checkout may run

-- Deletes anonymous and merged carts that nobody has touched for 30 days.
function M.expire()
  store.delete_idle(database.open("cart"), fastr.time.iso(fastr.time.unix_ms() - IDLE_MS), BATCH)
  return true
end

-- Opens or ends the carts whose checkout died before it could: what they claimed of coupons comes back.
function M.heal()
  local db = database.open("cart")
  for _, row in ipairs(store.stale(db, fastr.time.iso(fastr.time.unix_ms() - SILENT_MS), SILENT_BATCH)) do
    local ok, failed = checkout.heal(db, row.id)
    if ok == nil then fastr.log.warn("cannot ask order what became of a cart", { code = failed.code }) end
  end
  return true
end

return M
