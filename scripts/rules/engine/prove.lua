-- prove: runs the examples of every decision point, of its rules and of its kinds. Returns how many; raises on the
-- first that does not hold, with its file.

-- The first path at which `actual` differs from what the example expects, or nil. Only what it names is compared.
local function difference(expected, actual, path)
  if type(expected) ~= "table" then
    if expected == actual then return nil end
    return ("%s is %s, expected %s"):format(path, tostring(actual), tostring(expected))
  end
  if type(actual) ~= "table" then return path .. " is missing" end
  for key, value in pairs(expected) do
    local found = difference(value, actual[key], path .. "." .. tostring(key))
    if found then return found end
  end
end

-- What is wrong with an example, or nil.
local function wrong_example(name, point, example, check)
  local good, message = pcall(check, name, "facts", example.facts)
  if not good then return message end
  local answer = point.decide(example.facts, "full")
  good, message = pcall(check, name, "answer", answer)
  if not good then return message end
  return difference(example.answer, answer, "answer")
end

local function prove_point(name, point, check)
  local count = 0
  for i, example in ipairs(point.examples or {}) do
    local wrong = wrong_example(name, point, example, check)
    if wrong then error(("%s.lua:1: example %d (%s): %s"):format(point.file or name, i, example[1], wrong), 0) end
    count = count + 1
  end
  return count
end

-- `check`(point, "facts" or "answer", value) raises unless it is of the shape that the point declares.
return function(points, check)
  local count = 0
  for name, point in pairs(points) do
    count = count + prove_point(name, point, check)
    if point.prove then count = count + point.prove() end
  end
  return count
end
