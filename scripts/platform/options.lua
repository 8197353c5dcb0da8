-- options: the words of a command line.

local near = require "lib.near"

local M = {}

-- Reads `arguments`: plain words go to the names in `places`, in order; `--name value` and `--name` to `flags`, a table
-- of name -> whether it takes a value. A table, or nil and what is wrong.
function M.read(arguments, places, flags)
  local given, at = {}, 1
  local i = 1
  while i <= #arguments do
    local name = arguments[i]:match("^%-%-([%a-]+)$")
    if name and flags[name] == nil then
      return nil, ("there is no option --%s%s"):format(name, near(name, flags))
    end
    if name and flags[name] then
      i = i + 1
      if not arguments[i] then return nil, "--" .. name .. " needs a value" end
      given[name] = arguments[i]
    elseif name then
      given[name] = true
    elseif places[at] then
      given[places[at]] = arguments[i]
      at = at + 1
    elseif places.rest then
      given.rest = given.rest or {}
      table.insert(given.rest, arguments[i])
    else
      return nil, "unexpected argument '" .. arguments[i] .. "'"
    end
    i = i + 1
  end
  return given
end

-- A time as people write it, "2026-11-27T12:00Z" or "2026-11-27", in full; nil for nil. Else nil and what is wrong with
-- `option`.
function M.time(text, option)
  if not text then return nil end
  local full = text:gsub("^(%d+-%d+-%d+)$", "%1T00:00Z"):gsub("T(%d%d:%d%d)(Z)$", "T%1:00%2")
  if fastr.time.parse(full) then return full end
  return nil, option .. ": a time as 2026-11-27T12:00Z is expected, not '" .. text .. "'"
end

return M
