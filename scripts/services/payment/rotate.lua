-- rotate: replaces the key-encryption key of the vault, while the shop sells.
--
--   fastr run services.payment.rotate       again, if it was interrupted: it goes on

local database = require "platform.db"
local vault = require "services.payment.vault"

local M = {}

-- fastr run ...: false if the older key could not be given up.
function M.main(arguments)
  if arguments[1] then
    io.stderr:write("usage: fastr run services.payment.rotate\n")
    return false
  end
  local result = vault.rotate(database.open("payment"))
  print(string.format("%s: %d data keys are wrapped by the new key", result.resumed and
    "went on with the rotation that was under way" or "made a new key", result.done))
  if result.finished then
    print("the older key is forgotten; back up var/secrets/vault_keys now")
    return true
  end
  io.stderr:write(string.format("%d saved cards do not open under any key and keep the older one: they were changed, "
    .. "or belong to a key that is not in var/secrets/vault_keys; the log of their next use names the key\n",
    result.broken))
  return false
end

return M
