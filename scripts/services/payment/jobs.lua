-- jobs: the schedules of payment.

local attempts = require "services.payment.attempts"
local database = require "platform.db"
local vault = require "services.payment.vault"

local M = {}

-- Shreds guests' cards whose hour is over.
function M.shred_guests()
  vault.shred_expired(database.open("payment"))
  return true
end

M.resolve = attempts.resolve

return M
