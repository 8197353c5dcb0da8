-- specs: what a pack's own specs say, run by a process of their own that has little time, little memory and no way out.

local child = require "services.rules.child"
local packs = require "services.rules.packs"

local M = {}

local function ended(code, seconds)
  if code == 137 or code == 152 then return ("they took more than %d s of CPU"):format(seconds) end -- KILL, XCPU
  if code > 128 then return ("their process was ended by signal %d"):format(code - 128) end
  return ("their process ended with %d"):format(code)
end

local function failed(found, source)
  local parts = {}
  for i, failure in ipairs(found.failures) do
    parts[i] = failure.name .. "\n" .. packs.shown(failure.message, source)
    if i == 5 and #found.failures > 5 then
      parts[6] = ("and %d more"):format(#found.failures - 5)
      break
    end
  end
  return table.concat(parts, "\n")
end

-- Runs the specs of the pack at `source` (a folder or a hash): how many tests hold, and in how many files; or nil and
-- what is wrong, shown with file and line.
function M.run(source)
  local seconds = tonumber(fastr.setting("rules.spec_seconds", "10"))
  local text, code = child.run(child.limited(child.command { "specs", source }, seconds))
  local found = fastr.json.decode(text)
  if type(found) ~= "table" then return nil, ended(code, seconds) end
  if found.missing then return nil, "busted is not installed: apt-get install lua-busted" end
  if #found.failures > 0 then return nil, failed(found, source) end
  return found.held, found.files
end

return M
