-- csv: comma-separated values as in RFC 4180: quoted fields, doubled quotes, line ends within quotes, LF or CRLF. Pure.

local M = {}

-- One field from `at` on: its text, and where it ends; nil and what is wrong.
local function field(text, at)
  if text:sub(at, at) ~= '"' then
    local stop = text:find("[,\r\n]", at) or #text + 1
    local value = text:sub(at, stop - 1)
    if value:find('"', 1, true) then return nil, "a quote inside a field that is not quoted" end
    return value, stop
  end
  local from = at + 1
  while true do
    local stop = text:find('"', from, true)
    if not stop then return nil, "a quoted field has no end" end
    if text:sub(stop + 1, stop + 1) ~= '"' then return (text:sub(at + 1, stop - 1):gsub('""', '"')), stop + 1 end
    from = stop + 2
  end
end

-- csv.records(text) -> list of records, each a list of texts and `line`, the number of the line on which it begins;
-- blank lines are passed over, and a byte-order mark at the beginning, as spreadsheets write it. Or nil and what is
-- wrong, with the line.
function M.records(text)
  local records, record, at, line = {}, nil, text:match("^\239\187\191()") or 1, 1
  while at <= #text do
    local value, stop = field(text, at)
    if not value then return nil, ("line %d: %s"):format(line, stop) end
    record = record or { line = line }
    record[#record + 1] = value
    local _, breaks = text:sub(at, stop - 1):gsub("\n", "")
    line = line + breaks
    local mark, ending = text:sub(stop, stop), text:match("^\r?\n()", stop)
    if stop > #text or ending then
      if #record > 1 or record[1] ~= "" then records[#records + 1] = record end
      record, line, at = nil, line + 1, ending or stop
    elseif mark == "," then
      at = stop + 1
      if at > #text then record[#record + 1] = "" end
    else
      return nil, ("line %d: a comma or the end of the line expected after a field"):format(line)
    end
  end
  if record then records[#records + 1] = record end
  return records
end

return M
