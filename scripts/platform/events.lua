-- events: docs/events.md, from what the services declare: which events there are, who tells them and who acts on them.
-- `fastr run platform.events` prints it.

local declaration = require "platform.declaration"
local sorted = require "lib.sorted"

local M = {}

local HEAD = [[# Events

Printed by `bin/fastr run platform.events` from the services' declarations. Events are CloudEvents 1.0 in JSON, on the
Kafka topic that is named here, in order for each key; consumers take each once. What a consumer cannot work on is
parked in `TOPIC.dlq`.
]]

-- "cart: closes it; order", of those that act on an event of a topic.
local function consumers(services, topic, event)
  local list = {}
  for _, service in ipairs(services) do
    for _, entry in ipairs(service.consumes) do
      if entry.topic == topic and entry.events[event] then
        list[#list + 1] = service.name .. (entry.doc and ": " .. entry.doc or "")
      end
    end
  end
  return #list > 0 and table.concat(list, "; ") or "for whoever listens"
end

local function fields(of)
  return of.fields and "`" .. table.concat(sorted.keys(of.fields), "`, `") .. "`" or ""
end

-- The whole page, of these services (names).
function M.markdown(names)
  local services, out = {}, { HEAD }
  for i, name in ipairs(names) do services[i] = declaration.data(name) end
  for _, service in ipairs(services) do
    for _, topic in ipairs(sorted.keys(service.produces)) do
      local entry = service.produces[topic]
      out[#out + 1] = ("## %s\n\n%s. Told by `%s`; key: %s.\n"):format(topic, entry.doc, service.name, entry.key)
      out[#out + 1] = "| event | who acts on it | fields |\n|---|---|---|"
      for _, event in ipairs(sorted.keys(entry.events)) do
        out[#out + 1] = ("| `%s` | %s | %s |"):format(event, consumers(services, topic, event),
          fields(entry.events[event]))
      end
      out[#out + 1] = ""
    end
  end
  return table.concat(out, "\n")
end

function M.main()
  io.write(M.markdown(require("platform.boot").names()))
  return true
end

return M
