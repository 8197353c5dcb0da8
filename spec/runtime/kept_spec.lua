-- What is live outlives what is done to var/run/active and var/packs under a running shop.
local host = require("spec.support.host")

local function program(word)
  return ([[
return { routes = { { method = "GET", path = "/word", handle = function() return 200, "%s" end } }, consumers = {},
  schedules = {} }
]]):format(word)
end

describe("under a running shop", function()
  local h, pids
  before_each(function()
    h = host.start { program = program("one") }
    h:write("scripts/main.lua", program("two"))
    assert.equal(0, (h:fastr("reload spec")))
    pids = h:pids()
  end)
  after_each(function() h:stop() end)

  local function words(expected)
    for _ = 1, 20 do assert.equal(expected, h:get("/word").body) end
  end

  local function does(command) assert(os.execute("cd " .. h.dir .. "/var && " .. command) == 0, command) end

  local function line()
    for _, found in ipairs(h:ask("status").lines) do
      if found.line == "scripts/spec" then return found end
    end
  end

  -- The file is as it was, the same processes serve, and an activation and its undoing reach them all.
  local function is_well()
    local before = line()
    words("two")
    h:write("scripts/main.lua", program("three"))
    assert.equal(0, (h:fastr("reload spec")))
    host.eventually("it is live", function() return h:get("/word").body == "three" end) -- a pulse later
    words("three")
    assert.is_true(h:ask("rollback scripts me").ok)
    words("two")
    assert.equal(before.live, line().live)
    assert.same(pids, h:pids())
  end

  it("the activation file can be emptied, cut, filled with zeros, replaced and removed", function()
    for _, command in ipairs { ": > run/active", "truncate -s 300 run/active", "truncate -s 100K run/active",
      "dd if=/dev/zero of=run/active bs=100K count=1 conv=notrunc status=none", "cp /etc/passwd run/active",
      "rm run/active", "cp run/active run/other && : > run/other && mv run/other run/active" } do
      local live = line()
      does(command)
      words("two")
      host.eventually("it is written again after " .. command, function()
        local size = io.popen("stat -c %s " .. h.dir .. "/var/run/active 2>&1")
        local whole = tonumber(size:read("*a")) or 0
        size:close()
        return whole > 100 * 1024
      end)
      -- zeros that another wrote over the file are seen until it is written again
      host.eventually("it says what it said", function() return assert.same(live, line() or {}) end)
    end
    is_well()
    assert.truthy(h:log():find("run/active was cut, removed or overwritten", 1, true))
  end)

  it("it can be emptied again and again while versions change", function()
    local vandal = io.popen(("cd %s/var/run && for i in $(seq 300); do : > active; sleep 0.003; done"):format(h.dir))
    for i = 1, 10 do
      local word = i % 2 == 0 and "even" or "odd"
      h:write("scripts/main.lua", program(word))
      assert.is_true(h:fastr("reload spec") <= 1) -- it may be refused, but not die of it
      assert.equal(200, h:get("/word").status)
    end
    vandal:close()
    h:write("scripts/main.lua", program("last"))
    host.eventually("what is reloaded is live", function()
      return h:fastr("reload spec") == 0 and h:get("/word").body == "last"
    end)
    words("last")
    assert.same(pids, h:pids())
  end)

  it("stored packs can vanish or be broken: workers that are born run what is live, and it is stored again", function()
    local live = line().live
    for _, command in ipairs { "mv packs gone", "rm -r gone; truncate -s 100 packs/" .. live,
      "printf X | dd of=packs/" .. live .. " bs=1 seek=200 conv=notrunc status=none" } do
      local before = h:pids()
      does(command)
      host.kill(before[1], "KILL")
      host.eventually("another worker serves", function()
        local status = h:ready()
        return status and status.workers[1].pid ~= before[1]
      end)
      words("two")
      does("sha256sum packs/" .. live .. " | grep -q ^" .. live)
    end
    pids = h:pids()
    is_well()
    assert.is_true(h:ask("rollback scripts me").ok, "the version before was stored again, too")
    words("one")
  end)
end)
