-- jobs: what the product service does on its own.

local database = require "platform.db"
local prices = require "services.product.prices"
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

-- Records the prices of those of the products that the rules have changed.
local function record_changed(db, skus)
  local changed, failed = prices.changed(db, skus, fastr.time.unix_ms())
  if not changed then return nil, failed end
  if not changed[1] then return true end
  return db:transaction(function(tx)
    store.lock_products(tx, changed)
    return prices.record(tx, changed, { actor = "rules", reason = fastr.rules.pack() }, fastr.time.unix_ms())
  end)
end

-- Prices that other rules, or the time in a rule, have changed are written down. A change that staff made was written
-- with it; what a page shows is decided anew each time, so being late dates a reduction later and no more.
function M.record_prices()
  local db, last = database.open("product"), ""
  repeat
    local skus = store.skus_after(db, last, BATCH)
    if not skus[1] then return true end
    local recorded, failed = record_changed(db, skus)
    if not recorded then
      fastr.log.warn("product: prices are not recorded: the rules fail", { code = failed.code, detail = failed.detail })
      return true
    end
    last = skus[#skus]
  until false
end

return M
