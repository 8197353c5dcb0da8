-- child: fastr itself in another process, for what is better done in one: the specs of a pack, under limits, the
-- same decisions with another hash seed, a share of a replay. It inherits this one's settings; it needs no server.

local M = {}

-- For who runs what others wrote: seconds of CPU, address space, no file is written, few are open.
local LIMITS = "ulimit -t %d; ulimit -v %s; ulimit -f 0; ulimit -n 64"

-- Kilobytes of address space; what stands behind them, as a sanitizer's shadow, may need another word of ulimit's.
local function address_space()
  local value = fastr.setting("rules.specs_kb", "524288")
  if value:find("^%d+$") or value == "unlimited" then return value end
  error(("setting rules.specs_kb is '%s': it must be kilobytes, or unlimited"):format(value), 0)
end

-- The same command line under these limits, which are not those of who waits for it and says how it ended.
function M.limited(command, seconds)
  return ("(%s; exec %s)"):format(LIMITS:format(seconds, address_space()), command)
end

-- A text as one word of the shell.
function M.quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The command line of `fastr rules ARGUMENTS`: the binary that runs now, whatever it is called.
function M.command(arguments, redirection)
  local parts = {}
  for i, each in ipairs(arguments) do parts[i] = M.quoted(each) end
  return ('"/proc/$PPID/exe" rules %s %s'):format(table.concat(parts, " "), redirection or "")
end

-- Runs a command line: what it printed, and its exit code (above 128: a signal ended it).
function M.run(command)
  local pipe = assert(io.popen(command .. "; printf 'exit %d' $?"))
  local said = pipe:read("*a")
  pipe:close()
  local text, code = said:match("^(.*)exit (%d+)$")
  return text or said, tonumber(code) or 255
end

-- Starts a command line and does not wait for it.
function M.start(command)
  return os.execute(("{ %s; } >/dev/null 2>&1 &"):format(command)) == 0
end

return M
