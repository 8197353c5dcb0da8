-- A master and its workers, for real: reload, refusal, rollback, killed workers, drain.
local host = require("spec.support.host")

local function program(word)
  return ([[
return {
  routes = {
    { method = "GET", path = "/word", handle = function() return 200, { word = "%s" } end },
    { method = "GET", path = "/slow", handle = function() fastr.time.sleep(2500) return 200, { word = "%s" } end },
    { method = "GET", path = "/spin", handle = function() while true do end end },
    { method = "GET", path = "/raise", handle = function() error("secret-free reason") end },
    { method = "GET", path = "/object", handle = function()
      error(setmetatable({}, { __tostring = function(e) return e.message .. "" end }))
    end },
    { method = "GET", path = "/late", timeout_ms = 100, handle = function()
      local ok, message, code = fastr.time.sleep(5000)
      return 200, { ok = ok ~= nil, code = code }
    end },
    { method = "GET", path = "/deaf", timeout_ms = 100, handle = function()
      while true do fastr.time.sleep(5000) end
    end },
    { method = "GET", path = "/all", handle = function()
      local began = fastr.time.unix_ms()
      local results = fastr.all { function() fastr.time.sleep(100) return 1 end,
        function() fastr.time.sleep(100) return 2 end }
      return 200, { sum = results[1][1] + results[2][1], ms = fastr.time.unix_ms() - began }
    end },
    { method = "GET", path = "/global", handle = function() leaked = 1 return 200, {} end },
  }, consumers = {}, schedules = {},
}]]):format(word, word)
end

describe("a master", function()
  local h
  before_each(function() h = host.start { program = program("one") } end)
  after_each(function() h:stop() end)

  local function request_runs()
    host.eventually("the request runs", function()
      for _, worker in ipairs(h:ask("status").workers) do
        if worker.tasks > 0 then return true end
      end
    end)
  end

  local function word() return fastr.json.decode(h:get("/word").body).word end

  it("makes edited scripts live in all workers, with the same process ids", function()
    local before = h:pids()
    h:write("scripts/main.lua", program("two"))
    local code, output = h:fastr("reload spec")
    assert.equal(0, code, output)
    for _ = 1, 20 do assert.equal("two", word()) end
    assert.same(before, h:pids())
  end)

  it("goes on with the old version when a script has a syntax error, and says file and line", function()
    h:write("scripts/main.lua", "return {\n  routes = {\n")
    local code, output = h:fastr("reload spec")
    assert.equal(1, code)
    assert.truthy(output:find("main.lua:2", 1, true) or output:find("main.lua:3", 1, true), output)
    assert.equal("one", word())
  end)

  it("names a route that lacks its handler", function()
    h:write("scripts/main.lua", "return { routes = { { method = 'GET', path = '/x' } } }")
    local code, output = h:fastr("reload spec")
    assert.equal(1, code)
    assert.truthy(output:find("GET /x", 1, true), output)
  end)

  it("finishes a request on the version it began with", function()
    -- A client of its own: reloading blocks this process.
    os.execute(("curl -s %s/slow >%s/slow &"):format(h.url, h.dir))
    request_runs()
    h:write("scripts/main.lua", program("two"))
    assert.equal(0, (h:fastr("reload spec")))
    local answer = host.eventually("it is answered", function()
      local text = fastr.files.read(h.dir .. "/slow")
      return text ~= "" and text
    end)
    assert.equal("one", fastr.json.decode(answer).word)
    assert.equal("two", word())
  end)

  it("rolls back to the version before, and then further", function()
    for _, text in ipairs { "two", "three" } do
      h:write("scripts/main.lua", program(text))
      assert.equal(0, (h:fastr("reload spec")))
    end
    assert.is_true(h:ask("rollback scripts me").ok)
    assert.equal("two", word())
    assert.is_true(h:ask("rollback scripts me").ok)
    assert.equal("one", word())
    assert.is_false(h:ask("rollback scripts me").ok)
  end)

  it("replaces a killed worker, which then runs what is live", function()
    h:write("scripts/main.lua", program("two"))
    h:fastr("reload spec")
    local before = h:pids()
    host.kill(before[1], "KILL")
    host.eventually("another worker serves", function()
      local status = h:ready()
      return status and status.workers[1].pid ~= before[1]
    end)
    for _ = 1, 10 do assert.equal("two", word()) end
    assert.equal(before[2], h:pids()[2])
  end)

  it("serves through a sibling what reaches the slot of a frozen worker", function()
    local pids = h:pids()
    host.kill(pids[1], "STOP")
    finally(function() host.kill(pids[1], "CONT") end)
    host.eventually("a sibling accepts", function() return h:get("/word", { timeout_ms = 400 }).status == 200 end)
    for _ = 1, 10 do assert.equal(200, h:get("/word").status) end
  end)

  it("answers a raise with a problem that tells no secret, and logs where it was", function()
    local reply = h:get("/raise")
    assert.equal(500, reply.status)
    assert.equal("internal", fastr.json.decode(reply.body).code)
    assert.truthy(h:log():find(reply.headers["x-request-id"], 1, true))
    assert.is_nil(reply.body:find("secret-free", 1, true))
    assert.truthy(h:log():find("main.lua:6: secret-free reason", 1, true))
  end)

  it("survives an error object whose text cannot be made", function()
    local before = h:pids()
    local reply = h:get("/object")
    assert.equal(500, reply.status)
    assert.equal("internal", fastr.json.decode(reply.body).code)
    assert.equal("one", word())
    assert.same(before, h:pids())
  end)

  it("tells a waiting handler that its deadline has passed, and ends one that does not listen", function()
    assert.same({ ok = false, code = "timeout" }, fastr.json.decode(h:get("/late").body))
    local reply = h:get("/deaf")
    assert.equal(504, reply.status)
    assert.equal("timeout", fastr.json.decode(reply.body).code)
  end)

  it("runs the functions of fastr.all at the same time", function()
    local answer = fastr.json.decode(h:get("/all").body)
    assert.equal(3, answer.sum)
    assert.is_true(answer.ms < 190, "took " .. answer.ms .. " ms")
  end)

  it("refuses a write to a global", function()
    assert.equal(500, h:get("/global").status)
    assert.truthy(h:log():find("global 'leaked' cannot be assigned", 1, true))
  end)

  it("finishes what runs when it is told to end, and leaves no process behind", function()
    local pids = h:pids()
    local results = fastr.all {
      function() return h:get("/slow").status end,
      function() request_runs() host.kill(h.pid, "TERM") return true end,
    }
    assert.equal(200, results[1][1])
    host.eventually("all have gone", function()
      return not host.alive(h.pid) and not host.alive(pids[1]) and not host.alive(pids[2])
    end)
  end)

  it("refuses a second master of the same name", function()
    local code, output = h:fastr("serve")
    assert.equal(1, code)
    assert.truthy(output:find("another fastr named 'spec' runs already", 1, true), output)
  end)
end)

describe("an installation that was updated", function()
  it("begins with the rules on disk where those that are live do not decide all that it asks by now", function()
    local h = host.make { program = "return { routes = {}, consumers = {}, schedules = {} }", env = {
      FASTR_RULES_POINTS = "price.cart" } }
    finally(function() h:stop() end)
    local whole = assert(fastr.files.read("scripts/rules/init.lua"))
    h:write("scripts/rules/init.lua", (whole:gsub('%["cart.accept"%] = [^\n]*\n', "")))
    h:begin()
    h:quit()
    h.env = h.env:gsub("FASTR_RULES_POINTS='price.cart'", "FASTR_RULES_POINTS='price.cart;cart.accept'")
    h:write("scripts/rules/init.lua", whole)
    h:begin()
    assert.truthy(h:log():find("does not decide 'cart.accept'", 1, true), h:log())
    assert.equal(0, (h:fastr("check")))
  end)
end)

describe("a worker whose loop is stuck", function()
  it("is killed past its limit and replaced", function()
    local h = host.start { program = program("one"), env = { FASTR_LIMITS_STUCK_MS = "400" } }
    finally(function() h:stop() end)
    local before = h:pids()
    pcall(h.get, h, "/spin", { timeout_ms = 1500 })
    host.eventually("it has been replaced", function()
      local status = h:ready()
      return status and (status.workers[1].pid ~= before[1] or status.workers[2].pid ~= before[2])
    end)
    assert.equal(200, h:get("/word").status)
    assert.truthy(h:log():find("has been stuck for", 1, true))
  end)
end)
