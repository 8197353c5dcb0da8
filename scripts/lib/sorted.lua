-- sorted: what a table has, in an order that is the same in every process.

local M = {}

-- The keys of a map, all texts or all numbers: a new list, smallest first.
function M.keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

return M
