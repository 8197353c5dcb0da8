-- who: who acts, and on which host, as the record names them.

local M = {}

-- What the system calls who asks: in a container there is no variable that says so.
local function system_user()
  local pipe = io.popen("id -un 2>/dev/null")
  local name = pipe and pipe:read("*l")
  if pipe then pipe:close() end
  return name
end

-- Who asks: one word, which is not mistaken for the host's agent (its begin with #).
function M.user()
  local name = (os.getenv("SUDO_USER") or os.getenv("USER") or system_user() or ""):gsub("[^%w@._+-]", "")
  return name ~= "" and name:sub(1, 40) or "somebody"
end

-- This host: the setting rules.host, or what the machine calls itself.
function M.host()
  local name = fastr.setting("rules.host", "")
  if name ~= "" then return name end
  return ((fastr.files.read("/proc/sys/kernel/hostname") or "host"):gsub("[^%w_.~-]", ""))
end

return M
