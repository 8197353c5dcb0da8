-- Pages of other origins: every answer of a real master, whoever makes it, can be read by those that are listed.
local host = require("spec.support.host")

local PROGRAM = [[
return {
  routes = {
    { method = "GET", path = "/word", handle = function() return 200, { word = "one" } end },
    { method = "POST", path = "/word", body_bytes = 10, handle = function() return 201, {} end },
    { method = "GET", path = "/raise", handle = function() error("x") end },
    { method = "GET", path = "/deaf", timeout_ms = 100, handle = function()
      while true do fastr.time.sleep(5000) end
    end },
    { method = "GET", path = "/full", concurrency = 1, handle = function() fastr.time.sleep(600) return 200, {} end },
    { method = "GET", path = "/events", handle = function() return 200, fastr.stream.open("x") end },
  }, consumers = {}, schedules = {},
}]]
local PAGE = "http://localhost:5173"

describe("a page of another origin", function()
  local h
  setup(function()
    h = host.start { program = PROGRAM, workers = 1,
      env = { FASTR_CORS_ORIGINS = "http://localhost:*", FASTR_LIMITS_LINE_BYTES = "400" } }
  end)
  teardown(function() h:stop() end)

  local function ask(path, options)
    options = options or {}
    options.headers = options.headers or {}
    options.headers.Origin = options.headers.Origin or PAGE
    return h:get(path, options)
  end

  it("can read every answer, also what the runtime itself refuses", function()
    local cases = { { "/word", 200 }, { "/nowhere", 404 }, { "/word", 405, { method = "DELETE" } },
      { "/word", 413, { method = "POST", body = ("x"):rep(11) } }, { "/raise", 500 }, { "/deaf", 504 },
      { "/%zz", 400 }, { "/word?a=%zz", 400 }, { "/" .. ("x"):rep(400), 414 } }
    for _, case in ipairs(cases) do
      local reply = ask(case[1], case[3])
      local origin = reply.headers["access-control-allow-origin"]
      assert.same({ case[2], true }, { reply.status, origin == PAGE or origin == "*" }, case[1]:sub(1, 20))
    end
  end)

  it("can read that the route is full, and when to come again", function()
    local results = fastr.all { function() return ask("/full") end, function() return ask("/full") end }
    local refused = results[1][1].status == 503 and results[1][1] or results[2][1]
    assert.same({ 503, "1", PAGE }, { refused.status, refused.headers["retry-after"],
      refused.headers["access-control-allow-origin"] })
  end)

  it("may ask before it sends, wherever it will be sent", function()
    for _, path in ipairs { "/word", "/nowhere", "/raise" } do
      local reply = ask(path, { method = "OPTIONS", headers = { ["Access-Control-Request-Method"] = "PATCH",
        ["Access-Control-Request-Headers"] = "authorization,idempotency-key" } })
      assert.same({ 204, PAGE, "authorization,idempotency-key" }, { reply.status,
        reply.headers["access-control-allow-origin"], reply.headers["access-control-allow-headers"] })
      assert.truthy(reply.headers["access-control-allow-methods"]:find("PATCH", 1, true))
    end
  end)

  it("of an origin that is not listed is told nothing, and a cache keeps the answers apart", function()
    local options = { method = "OPTIONS", headers = { Origin = "http://evil.example",
      ["Access-Control-Request-Method"] = "POST" } }
    for _, reply in ipairs { ask("/word", { headers = { Origin = "http://evil.example" } }), ask("/word", options) } do
      assert.is_nil(reply.headers["access-control-allow-origin"])
      assert.is_nil(reply.headers["access-control-allow-methods"])
      assert.equal("Origin", reply.headers.vary)
    end
  end)

  it("learns the methods of a path from a plain OPTIONS", function()
    local reply = ask("/word", { method = "OPTIONS" })
    assert.same({ 204, "GET, HEAD, POST" }, { reply.status, reply.headers.allow })
  end)
end)
