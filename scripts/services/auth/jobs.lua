-- jobs: the schedules of auth.

local keys = require "services.auth.keys"
local passwords = require "services.auth.passwords"
local store = require "services.auth.store"

local M = {}

-- The shop's first owner: the setting admin.email and the secret admin_password, both made by bin/up. An account that
-- is there is left alone, so that a changed password stays changed.
function M.ensure_owner()
  local email, password = fastr.setting("admin.email", ""):lower(), fastr.secret("admin_password")
  if email == "" or not password or store.account_by_email(email) then return true end
  store.add_account(fastr.crypto.uuid7(), email, passwords.hash(password), { "customer", "owner" })
  fastr.log.info("made the first owner's account", {})
  return true
end

function M.rotate_keys()
  store.transaction(function(tx)
    store.lock_keys(tx)
    keys.rotate()
    return true
  end)
  return true
end

function M.sweep()
  store.sweep()
  return true
end

return M
