-- fastr.stream in a real worker: the handler reads the past while events come.
local host = require("spec.support.host")
local shell = require("spec.support.shell")

local PROGRAM = [[
return {
  routes = {
    { method = "GET", path = "/events", handle = function()
      local stream = fastr.stream.open("news")
      fastr.time.sleep(50)
      fastr.stream.publish("news", { id = "2", data = "twice" })
      fastr.stream.publish("news", { id = 3, data = "between" })
      local past = { { id = 1, event = "first", data = "past" }, { id = "2", data = "once" } }
      return 200, stream:replay(past), { ["cache-control"] = "no-cache" }
    end },
    { method = "GET", path = "/twice", handle = function()
      local stream = fastr.stream.open("news")
      return 200, stream:replay { { id = "a\nb" } }
    end },
    { method = "GET", path = "/full", handle = function()
      local kept = {}
      for i = 1, 2000 do
        local stream, message, code = fastr.stream.open("news")
        if not stream then return 200, { opened = i - 1, code = code } end
        kept[i] = stream
      end
    end },
  }, consumers = {}, schedules = {},
}]]

describe("a stream", function()
  local h
  setup(function() h = host.start { program = PROGRAM, workers = 1 } end)
  teardown(function() h:stop() end)

  it("has the past, then what came while it was read, each event once", function()
    local ok, message = pcall(h.get, h, "/events", { timeout_ms = 600 })
    assert.is_false(ok, "it goes on")
    assert.truthy(message)
    local _, text = shell.run(("curl -sN -m 1 %s/events"):format(h.url))
    assert.equal("id: 1\nevent: first\ndata: past\n\nid: 2\ndata: once\n\nid: 3\ndata: between\n\n", text)
  end)

  it("has each of its headers once, the handler's where he gave one", function()
    local _, head = shell.run(("curl -sN -m 0.5 -D - -o /dev/null %s/events"):format(h.url))
    assert.equal(1, select(2, head:lower():gsub("cache%-control: no%-cache\r", "")))
    assert.is_nil(head:find("no-store", 1, true))
    assert.equal(1, select(2, head:gsub("Content%-Type: text/event%-stream\r", "")))
  end)

  it("with a line end in an id is a handler's bug: 500, and logged", function()
    assert.equal(500, h:get("/twice").status)
    assert.truthy(h:log():find("stream:replay: event 1: event: a line end in its id", 1, true))
  end)

  it("is refused where there are too many, and those that nobody answered end with their task", function()
    local answer = fastr.json.decode(h:get("/full").body)
    assert.equal("busy", answer.code)
    assert.is_true(answer.opened > 1000)
    assert.equal(answer.opened, fastr.json.decode(h:get("/full").body).opened)
  end)
end)
