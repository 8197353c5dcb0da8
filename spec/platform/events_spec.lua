-- docs/events.md is what the services declare.
local boot = require "platform.boot"
local events = require "platform.events"

it("docs/events.md is what bin/fastr run platform.events prints", function()
  local file = assert(io.open("docs/events.md"))
  local text = file:read("*a")
  file:close()
  assert.is_true(text == events.markdown(boot.names()), "bin/fastr run platform.events > docs/events.md")
end)

it("every event that a service waits for is told by one", function()
  local declaration = require "platform.declaration"
  local told, wrong = {}, {}
  for _, name in ipairs(boot.names()) do
    for topic, entry in pairs(declaration.data(name).produces) do
      for event in pairs(entry.events) do told[topic .. " " .. event] = true end
    end
  end
  for _, name in ipairs(boot.names()) do
    for _, entry in ipairs(declaration.data(name).consumes) do
      for event in pairs(entry.events) do
        if not told[entry.topic .. " " .. event] then wrong[#wrong + 1] = name .. " waits for " .. event end
      end
    end
  end
  assert.same({}, wrong)
end)
