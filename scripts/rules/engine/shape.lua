-- shape: short words for the shapes of facts and answers. A shape is plain data that the runtime checks a value by.

local M = {}

local MAX = 9007199254740991

local function merged(base, more)
  for name, value in pairs(more or {}) do base[name] = value end
  return base
end

function M.text(more) return merged({ kind = "text", min = 1, max = 500 }, more) end
function M.integer(more) return merged({ kind = "integer" }, more) end
function M.count(more) return merged({ kind = "integer", min = 0, max = MAX }, more) end
function M.number(more) return merged({ kind = "number" }, more) end
function M.boolean() return { kind = "boolean" } end
function M.any() return { kind = "any" } end
function M.list(of, more) return merged({ kind = "list", of = of }, more) end
function M.map(of) return { kind = "map", of = of } end
function M.object(fields) return { kind = "object", fields = fields } end

-- The same shape, absent or null allowed; null counts as `null_as` where null says something else than absence.
function M.optional(shape, null_as)
  local copy = merged({}, shape)
  copy.optional, copy.null_as = true, null_as
  return copy
end

M.texts = M.list(M.text(), { max = 10000 })
M.time = M.text { max = 40 }

return M
