-- needs: what the rules in force want to know beyond what the caller has: facts are looked up only if a decision point
-- declares that it needs them (`needs` in the pack), and side by side.

local M = {}

-- needs.look_up(points, look_ups, about) -> {[name] = value} of what the points (list of names) need and `look_ups` can
-- say: {[name] = function(about) -> value or nil; or nil, problem}. Or nil and the problem of the first that failed.
function M.look_up(points, look_ups, about)
  local names, tasks, known = {}, {}, {}
  for name in pairs(fastr.rules.needs(unpack(points))) do
    local look_up = look_ups[name]
    if look_up then
      names[#names + 1], tasks[#tasks + 1] = name, function() return look_up(about) end
    end
  end
  for i, result in ipairs(#tasks > 0 and fastr.all(tasks) or {}) do
    if result[2] then return nil, result[2] end
    known[names[i]] = result[1]
  end
  return known
end

return M
