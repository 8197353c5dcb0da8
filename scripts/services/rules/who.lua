-- who: who acts, and on which host, as the record names them.

local M = { user = require("platform.who").user }

-- This host: the setting rules.host, or what the machine calls itself.
function M.host()
  local name = fastr.setting("rules.host", "")
  if name ~= "" then return name end
  return ((fastr.files.read("/proc/sys/kernel/hostname") or "host"):gsub("[^%w_.~-]", ""))
end

return M
