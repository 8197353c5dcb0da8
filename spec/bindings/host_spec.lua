-- fastr.host: the leading master asked from a task, one process of a host that leads in something, and
-- which processes have ended.
local host = require "spec.support.host"

local PROGRAM = [[return { routes = {
  { method = "GET", path = "/ask", handle = function()
    local reply, message, code = fastr.host.ask("status")
    return 200, { name = reply and reply.name, code = code, message = message }
  end },
  { method = "GET", path = "/lead", handle = function()
    return 200, { leads = fastr.host.lead("spec"), told = fastr.host.tell("spec", tostring(fastr.flight.id())) }
  end },
  { method = "GET", path = "/life", handle = function()
    return 200, { life = fastr.host.life(), again = fastr.host.life(), is_over = fastr.host.is_over(fastr.host.life()) }
  end },
  { method = "GET", path = "/over/{life}", handle = function(request)
    local ok, is_over = pcall(fastr.host.is_over, (request.path:match("[^/]+$")))
    return 200, { ok = ok, is_over = is_over }
  end },
  { method = "GET", path = "/misuse", handle = function()
    return 200, { line = pcall(fastr.host.ask, "status\ndrain"), name = pcall(fastr.host.lead, "../secrets") }
  end },
} }]]

describe("fastr.host", function()
  local h

  lazy_setup(function() h = host.start { program = PROGRAM, workers = 2 } end)
  lazy_teardown(function() h:stop() end)

  local function get(path) return fastr.json.decode(h:get(path).body) end

  it("asks the master that leads the host", function() assert.equal("spec", get("/ask").name) end)

  it("says that none leads", function()
    h:write("var/run/leader", "nobody\n")
    local reply = get("/ask")
    assert.equal("unavailable", reply.code, reply.message)
    h:write("var/run/leader", "spec\n")
  end)

  it("refuses a second line, and a name that is a path", function()
    assert.same({ line = false, name = false }, get("/misuse"))
  end)

  it("lets one process lead, and another when that one has ended", function()
    local leaders = {}
    for _ = 1, 40 do
      local reply = get("/lead")
      assert.equal(reply.leads, reply.told)
      leaders[reply.leads] = true
    end
    assert.is_true(leaders[true])
    for _, pid in ipairs(h:pids()) do host.kill(pid, "KILL") end
    host.eventually("somebody leads again", function() return get("/lead").leads end)
  end)

  it("names each process for good, and knows when it has ended", function()
    local one = get("/life")
    assert.same({ one.life, false }, { one.again, one.is_over })
    assert.is_false(get("/over/" .. one.life).is_over)
    for _, pid in ipairs(h:pids()) do host.kill(pid, "KILL") end
    host.eventually("the life to be over", function() return get("/over/" .. one.life).is_over end)
    assert.not_equal(one.life, get("/life").life)
  end)

  it("knows nothing of a life whose file is not here, and refuses what is no life", function()
    assert.is_false(get("/over/" .. ("0"):rep(32)).is_over)
    assert.is_false(get("/over/" .. ("g"):rep(32)).ok)
    assert.is_false(get("/over/short").ok)
  end)
end)
