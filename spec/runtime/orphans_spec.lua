-- A master that is killed leaves workers behind: they serve until its successor does, and are in nobody's way.
local host = require("spec.support.host")

local program = [[
return { routes = {
  { method = "GET", path = "/pid", handle = function() return 200, fastr.flight.id() end },
  { method = "GET", path = "/slow", handle = function() fastr.time.sleep(1500) return 200, "slow" end },
  { method = "GET", path = "/spin", handle = function() while true do end end },
}, consumers = {}, schedules = {} }
]]

-- Shoppers without patience: each asks on a new connection and tells what went wrong, until there is a file `over`.
local shoppers = [[
import collections, os, socket, sys, threading, time
port, folder, until = int(sys.argv[1]), sys.argv[2], time.monotonic() + 30
over = folder + "/over"
seen = collections.Counter()
def ask():
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return s.makefile("rb").readline().split(b" ")[1].decode()
def shop():
    while not os.path.exists(over) and time.monotonic() < until:
        try:
            seen[ask()] += 1
            open(folder + "/begun", "w").close()
        except (OSError, IndexError) as error:
            seen[type(error).__name__] += 1
threads = [threading.Thread(target=shop) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(dict(seen))
]]

describe("a master that is killed under load and started again", function()
  local h
  before_each(function() h = host.start { program = program, env = { FASTR_LIMITS_STUCK_MS = "1000" } } end)
  after_each(function() h:stop() end)

  local function gone(pids)
    for _, pid in ipairs(pids) do
      if host.alive(pid) then return false end
    end
    return true
  end

  -- Kills the master while shoppers ask, starts another after `pause` ms: what they saw, and the ms until it was ready.
  local function replaced(pause)
    h:write("shoppers.py", shoppers)
    local crowd = io.popen(("python3 %s/shoppers.py %d %s 2>&1"):format(h.dir, h.port, h.dir))
    local pids = h:pids()
    host.eventually("the shoppers ask", function() return io.open(h.dir .. "/begun") end)
    host.kill(h.pid, "KILL")
    fastr.time.sleep(pause)
    local began = fastr.time.unix_ms()
    h:serve()
    host.eventually("the successor is ready: " .. h:log(), function()
      local status = h:ready()
      return status and status.pid == h.pid
    end)
    local took = fastr.time.unix_ms() - began
    host.eventually("the orphans end", function() return gone(pids) end, 5)
    h:write("over", "")
    local said = crowd:read("*a")
    crowd:close()
    return said, took
  end

  it("is missed by nobody, whether its successor comes at once or takes a second", function()
    for _, pause in ipairs { 0, 1000 } do
      local said, took = replaced(pause)
      assert.truthy(said:match("^{'200': %d+}\n$"), said)
      print(("successor ready after %d ms; %s"):format(took, said:gsub("\n", "")))
      os.remove(h.dir .. "/over")
      os.remove(h.dir .. "/begun")
    end
  end)

  it("leaves what had begun to its end, and no worker for good: not even one whose loop is stuck", function()
    local pids = h:pids()
    local results = fastr.all {
      function() return h:get("/slow").status end,
      function()
        host.eventually("it has begun", function()
          local workers = h:ask("status").workers
          return workers[1].tasks + workers[2].tasks > 0
        end)
        host.kill(h.pid, "KILL")
      end,
    }
    assert.equal(200, results[1][1])
    pcall(h.get, h, "/spin", { timeout_ms = 300 })
    host.eventually("the orphans end", function() return gone(pids) end)
    assert.is_false((pcall(h.get, h, "/pid")))
  end)
end)
