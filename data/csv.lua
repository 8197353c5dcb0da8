-- CSV as in RFC 4180: quoted fields, doubled quotes, LF or CRLF.
local M = {}

-- The fields of one record (text without its line end).
local function fields(line)
  local list, at = {}, 1
  while true do
    local value
    if line:sub(at, at) == '"' then
      local stop = at
      repeat
        stop = assert(line:find('"', stop + 1, true), "a quoted field has no end: " .. line)
        local doubled = line:sub(stop + 1, stop + 1) == '"'
        if doubled then stop = stop + 1 end
      until not doubled
      value, at = line:sub(at + 1, stop - 1):gsub('""', '"'), stop + 1
    else
      local stop = (line:find(",", at, true) or #line + 1) - 1
      value, at = line:sub(at, stop), stop + 1
    end
    list[#list + 1] = value
    if at > #line then return list end
    assert(line:sub(at, at) == ",", "a quote inside a field: " .. line)
    at = at + 1
  end
end

-- Iterates over a file's records as tables by the names in its first line. Raises when the file cannot be read.
function M.rows(path)
  local next_line = assert(io.open(path)):lines()
  local names = fields((next_line():gsub("\r$", "")))
  return function()
    local line = next_line()
    if not line then return nil end
    local row = {}
    for i, value in ipairs(fields((line:gsub("\r$", "")))) do row[names[i]] = value end
    return row
  end
end

return M
