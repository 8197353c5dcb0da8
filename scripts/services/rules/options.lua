-- options: the words of a command line, and the files that they name.

local M = {}

-- Reads `arguments`: plain words go to the names in `places`, in order; `--name value` and `--name` to `flags`, a table
-- of name -> whether it takes a value. A table, or nil and what is wrong.
function M.read(arguments, places, flags)
  local given, at = {}, 1
  local i = 1
  while i <= #arguments do
    local name = arguments[i]:match("^%-%-([%a-]+)$")
    if name and flags[name] == nil then return nil, "there is no option --" .. name end
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

-- The text of the file at `path`, or nil and why it cannot be read.
function M.text(path)
  local file, message = io.open(path, "r")
  if not file then return nil, message end
  local text = file:read("*a")
  file:close()
  if not text then return nil, path .. ": cannot be read" end
  return text
end

return M
