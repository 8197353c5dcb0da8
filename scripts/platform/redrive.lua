-- redrive: takes parked events up again, when what made them fail has been put right.
--
--   fastr run platform.redrive SERVICE                  lists what is parked
--   fastr run platform.redrive SERVICE TOPIC KEY        runs the parked events of one key, in their order
--   fastr run platform.redrive SERVICE all              those of every key

local declaration = require "platform.declaration"
local inbox = require "platform.inbox"

local M = {}

local USAGE = "usage: fastr run platform.redrive SERVICE [TOPIC KEY | all]"

local function list(parked)
  for _, entry in ipairs(parked) do
    print(string.format("%s %s: %d parked since %s: %s", entry.topic, entry.key, entry.count, entry.since,
      entry.reason))
  end
  if #parked == 0 then print("nothing is parked") end
  return true
end

-- True if no event of the key is left.
local function redrive(service, topic, key)
  local count, why = inbox.redrive(service, topic, key)
  print(string.format("%s %s: %d redriven%s", topic, key, count, why and ", then: " .. why or ""))
  return why == nil
end

local function redrive_all(service, parked)
  local well = true
  for _, entry in ipairs(parked) do well = redrive(service, entry.topic, entry.key) and well end
  return well
end

-- fastr run platform.redrive ...: false if something is still parked that was asked for.
function M.main(arguments)
  local name, topic, key = arguments[1], arguments[2], arguments[3]
  if not name or (topic and topic ~= "all" and not key) then
    io.stderr:write(USAGE, "\n")
    return false
  end
  local errors = {}
  local service = declaration.read(name, errors)
  if not service then
    io.stderr:write(table.concat(errors, "\n"), "\n")
    return false
  end
  if not topic then return list(inbox.parked(name)) end
  if topic == "all" then return redrive_all(service, inbox.parked(name)) end
  return redrive(service, topic, key)
end

return M
