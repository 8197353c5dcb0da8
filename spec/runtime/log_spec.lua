-- The log on a pipe that nobody reads: lines are dropped and counted, and requests go on.
local host = require("spec.support.host")
local must = require("spec.support.shell").must

local PROGRAM = [[
return {
  routes = { { method = "GET", path = "/say", handle = function() fastr.log.warn("heard") return 200, {} end },
    { method = "GET", path = "/talk", handle = function()
    for i = 1, 200 do fastr.log.warn("a line", { n = i, text = ("x"):rep(i % 10 == 0 and 6000 or 500) }) end
    return 200, {}
  end } }, consumers = {}, schedules = {},
}]]

describe("the log on a full pipe", function()
  local fifo, reader, h

  setup(function()
    fifo = must("mktemp -u /tmp/fastr-spec-XXXXXX")
    must("mkfifo " .. fifo)
    reader = tonumber(must(("sh -c 'exec sleep 300 <>%s' >/dev/null 2>&1 & echo $!"):format(fifo)))
    h = host.start { program = PROGRAM, workers = 1, stderr = fifo }
  end)
  teardown(function()
    h:stop()
    host.kill(reader, "KILL")
    os.remove(fifo)
  end)

  local function dropped()
    return tonumber(h:get("/metrics").body:match("\nfastr_log_lines_dropped_total (%d+)") or 0)
  end

  it("loses lines and counts them, and no request waits", function()
    for _ = 1, 10 do
      local began = fastr.time.unix_ms()
      assert.equal(200, h:get("/talk").status)
      assert.is_true(fastr.time.unix_ms() - began < 1000)
    end
    -- A pipe holds 64 KiB; ten requests said more than 2 MB.
    assert.is_true(dropped() > 1800, dropped() .. " lines dropped")
  end)

  it("goes on with whole lines when somebody reads again", function()
    local before = dropped()
    local out = fifo .. ".out"
    finally(function() os.remove(out) end)
    local cat = tonumber(must(("cat %s >%s & echo $!"):format(fifo, out)))
    host.eventually("it is read", function() return tonumber(must("stat -c %s " .. out)) > 30000 end)
    host.eventually("a new line arrives", function()
      assert.equal(200, h:get("/say").status)
      return must("tail -n 1 " .. out):find('"message":"heard"', 1, true)
    end)
    host.kill(cat, "KILL")
    local cut = 0
    for line in io.lines(out) do
      if line ~= "" and not fastr.json.decode(line) then cut = cut + 1 end
    end
    assert.is_true(cut <= 2, cut .. " lines are no JSON")
    assert.is_true(dropped() >= before)
  end)
end)
