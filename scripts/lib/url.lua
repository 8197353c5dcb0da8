-- url: percent-encoding (RFC 3986) and the pieces of a request target. Pure Lua.

local M = {}

-- Encodes all but the unreserved characters (RFC 3986 2.3).
function M.encode(text)
  return (text:gsub("[^%w_.~-]", function(c) return string.format("%%%02X", c:byte()) end))
end

-- Decodes %XX; with `plus`, "+" too is a space (queries of forms). A "%" without two digits stays as it is.
function M.decode(text, plus)
  if plus then text = text:gsub("+", " ") end
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- "a=1&b=x%20y" -> {a = "1", b = "x y"}; of a repeated key the last counts.
function M.parse_query(text)
  local query = {}
  for pair in text:gmatch("[^&]+") do
    local key, value = pair:match("^([^=]*)=?(.*)$")
    query[M.decode(key, true)] = M.decode(value, true)
  end
  return query
end

-- {q = "tea", limit = 20} -> "limit=20&q=tea", keys sorted.
function M.query(values)
  local parts = {}
  for key, value in pairs(values) do
    parts[#parts + 1] = M.encode(tostring(key)) .. "=" .. M.encode(tostring(value))
  end
  table.sort(parts)
  return table.concat(parts, "&")
end

-- "/a/b?x=1" -> "/a/b", {x = "1"}
function M.split(target)
  local path, query = target:match("^([^?]*)%??(.*)$")
  return path, M.parse_query(query)
end

return M
