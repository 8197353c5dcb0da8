-- Reload under load: 200 activations of alternating rules while wrk asks for prices, and a worker killed now and then.
-- Every reply is one version's, whole, and none fails.
local host = require("spec.support.host")

local program = [[
return { routes = { { method = "GET", path = "/price", handle = function()
  local facts = { currency = "GBP", now = "2026-12-01T10:00:00Z", zone = "GB",
    lines = { { sku = "A", quantity = 10, unit_price = 2000 }, { sku = "B", quantity = 1, unit_price = 500 } } }
  local first, info = fastr.rules.decide("price.cart", facts)
  fastr.time.sleep(1)
  local second = fastr.rules.decide("price.cart", facts)
  return 200, ("%d %d %s"):format(first.total, second.total, info.pack)
end } }, consumers = {}, schedules = {} }]]

-- wrk's script: each reply must be in the set of good ones; what is not is printed at the end.
local checker = [[
local good = { %s }
local bad, seen = {}, {}
function response(status, headers, body)
  if status ~= 200 or not good[body] then bad[#bad + 1] = status .. " " .. body else seen[body] = true end
  if #bad > 0 then print("BAD " .. bad[#bad]) bad = {} end
end
]]

-- Asks the master for `count` activations of the two packs in turn, in one run of Python: a process for each would take
-- longer than the activations. Prints how long all took and the slowest, in ms.
local activations = [[
import json, socket, sys, time
path, a, b, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
began, slowest = time.monotonic(), 0
for i in range(count):
    at = time.monotonic()
    with socket.socket(socket.AF_UNIX) as master:
        master.connect(path)
        master.sendall(("activate rules %s spec\n" % (a if i % 2 else b)).encode())
        reply = json.loads(master.makefile().readline())
    assert reply["ok"], reply
    slowest = max(slowest, time.monotonic() - at)
print("%d %d" % ((time.monotonic() - began) * 1000, slowest * 1000))
]]

local h

local function activate(hash)
  local reply = h:ask("activate rules " .. hash .. " spec")
  assert(reply and reply.ok, reply and reply.error or "no answer")
end

-- The pack on disk with the order's discount at `percent`, stored: its hash, and what /price answers by it.
local function version(percent)
  local pack = assert(fastr.rules.open("scripts/rules"))
  local text = pack:files()["definitions/promotions.lua"]
  pack = assert(pack:with("definitions/promotions.lua", (text:gsub("value = 10 ", ("value = %d "):format(percent)))))
  assert(pack:store())
  local hash = pack:hash():sub(8)
  assert(os.execute(("cp %s/packs/%s %s/var/packs/"):format(fastr.setting("var", "var"), hash, h.dir)) == 0)
  local total = 20500 - math.floor(20500 * percent / 100)
  return hash, ("%d %d sha256:%s"):format(total, total, hash)
end

describe("200 activations under load", function()
  before_each(function() h = host.start { program = program } end)
  after_each(function() h:stop() end)

  local function load(good, seconds)
    h:write("check.lua", checker:format(good))
    return io.popen(("wrk -t1 -c16 -d%ds -s %s/check.lua %s/price 2>&1"):format(seconds, h.dir, h.url))
  end

  it("leave no reply that fails, and none that is a mixture of two versions", function()
    local a, says_a = version(12)
    local b, says_b = version(20)
    activate(a)
    local pids = h:pids()
    local wrk = load(('["%s"] = true, ["%s"] = true'):format(says_a, says_b), 15)
    h:write("activate.py", activations)
    local driver = io.popen(("python3 %s/activate.py %s/var/run/spec.sock %s %s 200 2>&1"):format(h.dir, h.dir, a, b))
    local answer = driver:read("*a")
    driver:close()
    local took, slowest = answer:match("^(%d+) (%d+)\n$")
    assert(took, answer)
    local said = wrk:read("*a")
    wrk:close()
    assert.is_nil(said:find("BAD", 1, true), said)
    assert.is_nil(said:find("Socket errors", 1, true), said)
    assert.is_nil(said:find("Non-2xx", 1, true), said)
    assert.is_true(tonumber(took) < 60000, "200 activations took " .. took .. " ms")
    assert.same(pids, h:pids())
    print(("%s ms for 200 activations; slowest %s ms; %s"):format(took, slowest, said:match("Requests/sec:%s+[%d.]+")))
  end)

  it("survive workers that are killed on the way: what is live is live in all, and they go on", function()
    local a = version(12)
    local b, says_b = version(20)
    activate(a)
    for i = 1, 8 do
      local pids = h:pids()
      os.execute(("(sleep 0.00%d; kill -9 %d) &"):format(i % 10, pids[i % 2 + 1]))
      h:ask("activate rules " .. (i % 2 == 0 and a or b) .. " spec") -- may be refused: then nothing has changed
      host.eventually("a killed worker is replaced", function()
        local now = h:pids()
        return now[i % 2 + 1] ~= pids[i % 2 + 1] and h:ready()
      end)
    end
    activate(b)
    for _ = 1, 40 do assert.equal(says_b, h:get("/price").body) end
  end)
end)
