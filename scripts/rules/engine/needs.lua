-- needs: what a decision point may say that it needs: facts that a service must look up, before it asks, somewhere else
-- than in what it has at hand. A service gathers those that are declared, side by side, and no others.

local near = require "lib.near"

-- Every name is a path of optional facts, and known to the services that ask.
local KNOWN = { ["customer.group"] = true, ["customer.orders_placed"] = true, ["history"] = true, ["payment"] = true }

local function has_field(shape, path)
  for _, name in ipairs(text.split(path, ".")) do
    shape = shape.fields and rawget(shape.fields, name)
    if not shape then return false end
  end
  return true
end

-- Raises unless each of a point's needs can be looked up, and is one of its facts.
return function(points)
  for name, point in pairs(points) do
    for i, need in ipairs(point.needs or {}) do
      local where = ("%s.lua:1: needs[%d]: "):format(point.file, i)
      if not rawget(KNOWN, need) then
        error(("%snobody can look up '%s'%s"):format(where, need, near(need, KNOWN)), 0)
      end
      if not has_field(point.facts, need) then error(where .. ("'%s' is not among its facts"):format(need), 0) end
    end
    if not point.file then error(("init.lua:1: point '%s' does not say its file"):format(name), 0) end
  end
end
