-- fastr.child: one of fastr's own commands in another process.
local host = require "spec.support.host"
local shell = require "spec.support.shell"

local run = fastr.child.run

-- A child that would not end by itself.
local ENDLESS = [[return { routes = { { method = "GET", path = "/run", timeout_ms = 1500, handle = function()
  local _, _, code = fastr.child.run({ "rules", "watch", "--dry", "--orders", "/dev/null" }, "")
  return 200, { code = code } end } } }]]

describe("a child", function()
  it("prints, and ends with a code", function()
    local said, code = run({ "rules", "--help" }, "")
    assert.equal(0, code)
    assert.truthy(said:find("fastr rules check", 1, true))
    assert.same({ "", 2 }, { run({ "rules", "nonsense" }, "") })
  end)

  it("reads what it is given, however much that is", function()
    local facts = fastr.json.encode { promotions = fastr.json.array { ("x"):rep(400) } }
    local text = facts .. (" "):rep(2000000)
    local said, code = run({ "rules", "decide", "price.limits", "/dev/stdin" }, text)
    assert.equal(0, code)
    assert.same({}, fastr.json.decode(said).limits)
  end)

  it("is one of four at most", function()
    local function one() return { run({ "rules", "--help" }, "") } end
    local busy, results = 0, fastr.all { one, one, one, one, one, one }
    for _, result in ipairs(results) do
      if result[1][3] == "busy" then busy = busy + 1 else assert.is_string(result[1][1]) end
    end
    assert.equal(2, busy)
    assert.equal(0, select(2, run({ "rules", "--help" }, "")))
  end)

  it("is killed when the task that waits for it ends, and reaped", function()
    local h = host.start { program = ENDLESS, workers = 1 }
    finally(function() h:stop() end)
    h:add_tools()
    local worker = h:pids()[1]
    local said = h:get("/run", { timeout_ms = 20000 })
    assert.equal('{"code":"timeout"}', said.body)
    host.eventually("no child is left", function() return shell.run("pgrep -P " .. worker) == 1 end)
    assert.is_true(host.alive(worker))
  end)

  it("is asked rightly, or nothing is started", function()
    assert.has_error(function() run({}, "") end)
    assert.has_error(function() run({ "rules", {} }, "") end)
    assert.has_error(function() run("rules", "") end)
    assert.has_error(function() run({ "rules" }) end)
  end)
end)
