-- jobs: what the order service does on its own.

local database = require "platform.db"
local reconcile = require "services.order.reconcile"
local returns = require "services.order.returns"
local store = require "services.order.store"
local work = require "services.order.work"

local M = {}

local BATCH = 50

local unfinished

-- For `fastr status`.
local function tell_unfinished(db)
  unfinished = unfinished or fastr.metrics.gauge("fastr_checkouts_unfinished", "",
    "Orders that are being placed, or have something to be given back")
  unfinished:set(store.unfinished(db))
end

-- Works on every order that a crash, a lost connection or an unknown payment has left. One bad order does not stop the
-- others: its lease ends, and it is tried again.
function M.resume()
  local db = database.open("order")
  work.end_leases(db)
  for _, row in ipairs(store.due(db, fastr.time.now(), BATCH)) do
    local ok, why = pcall(work.resume, db, row.id)
    if not ok then fastr.log.warn("cannot resume an order", { order = row.id, why = tostring(why) }) end
  end
  tell_unfinished(db)
  return true
end

function M.authorisations()
  store.look_at_due(database.open("order"), fastr.time.now(), BATCH)
  return true
end

-- Gives back what returns still have to give.
function M.give_back()
  local db = database.open("order")
  for _, row in ipairs(store.returns_due(db, fastr.time.now(), BATCH)) do
    local ok, why = pcall(returns.finish, db, row.id)
    if not ok then fastr.log.warn("cannot finish a return", { ["return"] = row.id, why = tostring(why) }) end
  end
  return true
end

function M.abandon()
  local db = database.open("order")
  for _, row in ipairs(store.abandoned(db, fastr.time.now(), BATCH)) do
    local done = db:transaction(function(tx)
      local order = store.lock(tx, row.id)
      if order.status ~= "placing" or order.work then return true end
      return work.cancel(tx, order, { kind = "service" }, "abandoned")
    end)
    if done then work.resume(db, row.id) end
  end
  return true
end

function M.reconcile()
  return reconcile.nightly(database.open("order"))
end

return M
