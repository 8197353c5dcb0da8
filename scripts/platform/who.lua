-- who: who asks at a terminal, as the record names him.

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

return M
