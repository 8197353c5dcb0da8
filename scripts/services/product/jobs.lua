-- jobs: what the product service does on its own.

local database = require "platform.db"
local store = require "services.product.store"
local stock = require "services.product.stock"

local M = {}

local GRACE_MS = 60000 -- a payment that is a little late still finds its hold
local BATCH = 100

-- Tidies holds that ran out. Readers pass them by already, so being late costs nothing.
function M.expire_holds()
  local db = database.open("product")
  local before = fastr.time.iso(fastr.time.unix_ms() - GRACE_MS)
  for _, row in ipairs(store.expired(db, before, BATCH)) do
    db:transaction(function(tx) return stock.expire(tx, row.order, fastr.time.now()) end)
  end
  return true
end

return M
