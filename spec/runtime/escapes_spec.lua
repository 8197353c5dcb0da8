-- What rules try in a worker that serves: each is stopped within twice its budget, named, and the same process goes on
-- with right prices. What the sandbox refuses in detail is in sandbox_test.c.
local host = require("spec.support.host")

local program = [[
local problem = require "lib.problem"
return { routes = {
  { method = "POST", path = "/decide/{point}", handle = function(req)
    local facts = req:body() ~= "" and fastr.json.decode(req:body()) or {}
    local decision, message, code = fastr.rules.decide(req.params.point, facts, { key = req.query.key })
    if decision then return 200, decision end
    local refused = problem.new(code, { detail = message })
    return refused.status, { code = code, detail = message }
  end },
}, consumers = {}, schedules = {} }
]]

-- Instructions or CPU time of the budget end it (503), or it is an error like any other (500).
local ESCAPES = {
  { "an endless loop", "while true do end", 503 },
  { "a counted loop", "for i = 1, 1e18 do local x = i % 7 end", 503 },
  { "a loop in pcall", "while true do pcall(function() while true do end end) end", 503 },
  { "pcall in pcall", "while true do pcall(pcall, pcall, function() while true do end end) end", 503 },
  { "recursion through pcall", "local function f() pcall(f) while true do end end f()", 503 },
  { "__index", "local t = setmetatable({}, { __index = function() while true do end end }) return { t.x }", 503 },
  { "__lt", "local t = setmetatable({}, { __lt = function() while true do end end }) return { t < t }", 503 },
  { "__eq", "local m = { __eq = function() while true do end end } return { setmetatable({}, m) == setmetatable({}, m)"
    .. " }", 503 },
  { "__concat", "return { setmetatable({}, { __concat = function() while true do end end }) .. 'x' }", 503 },
  { "__tostring", "return { tostring(setmetatable({}, { __tostring = function() while true do end end })) }", 503 },
  { "a sort's order", "table.sort({ 3, 2, 1 }, function() while true do end end)", 503 },
  { "__gc", "setmetatable({}, { __gc = function() while true do end end }) while true do end", 503 },
  { "tables", "local t = {} for i = 1, 1e9 do t[i] = { i } end", 503 },
  { "a text that doubles", "local s = 'x' while true do s = s .. s end", 503 },
  { "memory's end in pcall", "local t = {} for _ = 1, 5 do pcall(function() while true do t[#t + 1] = { 1 } end end)"
    .. " end", 503 },
  { "rep", "return { ('x'):rep(1e9) }", 500 },
  { "concat", "local s, t = ('x'):rep(65536), {} for i = 1, 999 do t[i] = s end return { table.concat(t) }", 503 },
  { "format", "local s = ('x'):rep(65536) while true do s = string.format('%s%s', s, s) end", 503 },
  { "recursion", "local function f() return 1 + f() end return { f() }", 500 },
  { "an answer nested without end", "local t = {} for _ = 1, 5000 do t = { t } end return t", 500 },
  { "an answer in itself", "local t = {} t.t = t return t", 500 },
  { "a huge answer", "local t = {} for i = 1, 90000 do t[i] = i end return t", 503 },
  { "a huge trace", "local l = money.ledger('GBP', {}, 'full') for i = 1, 1e7 do l:coupon('x', true, 'y') end", 503 },
  { "a huge error", "error(('x'):rep(60000))", 500 },
  { "an error that is an object", "error(setmetatable({}, { __tostring = function() while true do end end }))", 500 },
  { "bytecode", "return { string.dump(function() end) }", 500 },
  { "patterns", "return { (('a?'):rep(30)):find('a') }", 500 },
  { "the texts' metatable", "getmetatable('').__index = {}", 500 },
  { "a library's function", "string.rep = nil", 500 },
  { "a function in the answer", "return { f = function() end }", 500 },
  { "no number", "return { 0 / 0 }", 500 },
  { "no end", "return { 1 / 0 }", 500 },
}

local NAMES = { "load", "loadstring", "dofile", "getfenv", "setfenv", "newproxy", "collectgarbage", "rawset", "xpcall",
  "coroutine", "io", "os", "debug", "package", "jit", "ffi", "print", "next", "_G" }

local FRAME = [[
local shop = require "shop"
local points = {}
for name, point in pairs(shop.points) do points[name] = point end
for i = 1, %d do points["evil." .. i] = require("evil.e" .. i) end
return { points = points, prove = shop.prove, breach = { %s },
  budget = { instructions = 400000, per_value = 4000, ms = %d, memory_kb = 8192, values = 50000 } }
]]

local FACTS = { currency = "GBP", now = "2026-12-01T10:00:00Z", zone = "GB",
  lines = { { sku = "A", quantity = 2, unit_price = 2000 } } }

local h

-- A pack as the master stores it, whether it would build or not: its hash.
local function store(files)
  local names, text = {}, { "fastr bundle 1\n" }
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do text[#text + 1] = ("%s %d\n%s\n"):format(name, #files[name], files[name]) end
  text = table.concat(text)
  local hash = fastr.crypto.sha256(text)
  h:write("var/packs/" .. hash, text)
  return hash, text
end

-- The shop's files, with these bodies as the points evil.1, evil.2, ...
local function pack(bodies, breach, ms, frame)
  local opened = assert(fastr.rules.open("scripts/rules"))
  local files = opened:files()
  opened:close()
  files["shop.lua"] = files["init.lua"]
  files["init.lua"] = (frame or FRAME):format(#bodies, breach or "", ms or 200)
  for i, body in ipairs(bodies) do
    files["evil/e" .. i .. ".lua"] = "return { decide = function(facts) " .. body .. " end }\n"
  end
  return files
end

local function activate(files) return h:ask("activate rules " .. store(files) .. " spec") end
local function decide(point, facts, key)
  local body = fastr.json.encode(facts or {})
  local path = "/decide/" .. point .. (key and "?key=" .. key or "")
  local reply = h:get(path, { method = "POST", body = body, timeout_ms = 9000 })
  return reply.status, fastr.json.decode(reply.body)
end

local function price()
  local status, decision = decide("price.cart", FACTS)
  return status == 200 and decision.total
end

local function cpu_ms(pid) return tonumber(io.open("/proc/" .. pid .. "/schedstat"):read("*n")) / 1e6 end

describe("a hostile rule in a worker that serves", function()
  before_each(function() h = host.start { program = program, workers = 1, env = { FASTR_LIMITS_RULE_MS = "500" } } end)
  after_each(function() h:stop() end)

  it("is stopped within twice its budget, named in reply, log and metric, and the same process goes on", function()
    local bodies, right = {}, price()
    for i, case in ipairs(ESCAPES) do bodies[i] = case[2] end
    local reply = activate(pack(bodies))
    assert.is_true(reply.ok, reply.error)
    local pids = h:pids()
    for i, case in ipairs(ESCAPES) do
      local before = cpu_ms(pids[1])
      local status, body = decide("evil." .. i)
      local took = cpu_ms(pids[1]) - before
      assert.equal(case[3], status, case[1] .. ": " .. tostring(body.detail))
      assert.is_true(took < 400, ("%s took %d ms of CPU"):format(case[1], took))
      if status == 503 and case[1] ~= "a huge answer" then
        assert.truthy(body.detail:find("evil/e" .. i .. ".lua:1: ", 1, true), case[1] .. ": " .. body.detail)
        assert.truthy(h:log():find(('"rule":"evil/e%d.lua"'):format(i), 1, true), case[1])
      end
      assert.equal(right, price(), case[1])
    end
    assert.same(pids, h:pids())
    local metrics = h:get("/metrics").body
    assert.truthy(metrics:find('fastr_rules_failures_total{point="evil.1",code="rules_budget",rule="evil/e1.lua"} 1', 1,
      true), metrics:match("fastr_rules_failures[^\n]*"))
  end)

  it("does what the pack says when it goes past its budget", function()
    assert.is_true(activate(pack({ "return { fine = true }", "return {}", "return {}" })).ok)
    local reply = activate(pack({ "while true do end", "while true do end", "while true do end" },
      '["evil.1"] = "previous", ["evil.2"] = { verdict = "review" }, ["evil.3"] = "refuse"'))
    assert.is_true(reply.ok, reply.error)
    local status, decision = decide("evil.1")
    assert.same({ 200, true }, { status, decision.fine })
    assert.not_equal("sha256:" .. reply.hash, decision.pack)
    status, decision = decide("evil.2")
    assert.same({ 200, "review" }, { status, decision.verdict })
    status, decision = decide("evil.3")
    assert.same({ 503, "rules_budget" }, { status, decision.code })
  end)

  it("that gets two workers stuck is undone, and stays so until it is forced", function()
    local right, live = price(), h:ask("status").lines[2].live
    local frame = FRAME:gsub("instructions = 400000", "instructions = 1000000000")
    local files = pack({ "while true do end" }, nil, 10000, frame)
    local hash = activate(files).hash
    assert.truthy(hash)
    for _ = 1, 2 do
      local pids = h:pids()
      pcall(decide, "evil.1")
      host.eventually("another worker serves", function()
        local status = h:ready()
        return status and status.workers[1].pid ~= pids[1]
      end)
    end
    local line = h:ask("status").lines[2]
    assert.same({ live, { hash } }, { line.live, line.quarantined })
    assert.truthy(line.by:find("stuck in evil.1", 1, true), line.by)
    assert.truthy(h:log():find("in quarantine", 1, true))
    assert.equal(right, price())
    local reply = activate(files)
    assert.is_false(reply.ok)
    assert.truthy(reply.error:find("is in quarantine", 1, true), reply.error)
    assert.is_true(h:ask("pardon rules " .. hash).ok)
    assert.is_true(activate(files).ok)
  end)

  it("that gets one worker stuck while it is on trial is on trial no more", function()
    local live = activate(pack({ "return { fine = true }" })).hash
    local hash = store(pack({ "while true do end" }, nil, 10000, (FRAME:gsub("400000", "1000000000"))))
    assert.is_true(h:ask("trial rules " .. hash .. " canary 10000 spec 200 100 20").ok)
    local pids = h:pids()
    pcall(decide, "evil.1", nil, "cart-1")
    host.eventually("another worker serves", function()
      local status = h:ready()
      return status and status.workers[1].pid ~= pids[1]
    end)
    local line = h:ask("status").lines[2]
    assert.same({ live, {} }, { line.live, line.quarantined })
    local trial = line.trial
    assert.same({ false, true, 1, 1 }, { trial.running, trial.breach, trial.errors, trial.kills })
    assert.equal("the candidate got a worker stuck in evil.1", trial.reason)
    assert.truthy(h:log():find("a trial has stopped itself", 1, true))
    pids = h:pids()
    assert.same({ 200, { fine = true, pack = "sha256:" .. live } }, { decide("evil.1", nil, "cart-1") })
    assert.same(pids, h:pids())
  end)

  it("that charges nonsense is refused by name, with the cart that shows it", function()
    local logged
    for _, case in ipairs {
      { "cart:order_amount_off { amount = -5 }", "negative" }, { "cart:order_amount_off { amount = 0 / 0 }", "NaN" },
      { "cart:order_amount_off { amount = 1 / 0 }", "infinite" }, { "cart:order_amount_off { amount = 'x' }", "text" },
      { "cart:order_amount_off { amount = 1, other = 2 }", "extra" }, { "cart:line_off({ number = 9 }, 5)", "no line" },
      { "cart:order_amount_off { amount = 1.5 }", "fraction" } } do
      local files = pack({})
      files["promotions/nonsense.lua"] = ([[return rule { doc = "Nonsense.", stage = "order",
  when = { at_least(2, everything) },
  apply = function(cart) %s end }
]]):format(case[1])
      local reply = activate(files)
      if reply.ok then
        local status, body = decide("price.cart", FACTS)
        assert.equal(500, status, case[2])
        assert.truthy(body.detail:find("promotions/nonsense.lua:3:", 1, true), case[2] .. ": " .. body.detail)
        logged = h:log():match('"rule":"promotions/nonsense.lua","facts":(%b{})') -- once a second
        h:write("facts.json", logged)
        local code, output = h:fastr("rules decide price.cart " .. h.dir .. "/facts.json --pack sha256:" .. reply.hash)
        assert.not_equal(0, code)
        assert.truthy(output:find("promotions/nonsense.lua:3:", 1, true), output)
      else
        assert.truthy(reply.error:find("promotions/nonsense.lua:%d"), case[2] .. ": " .. reply.error)
      end
    end
  end)
end)

describe("a pack that is not to be trusted", function()
  before_each(function() h = host.start { program = program } end)
  after_each(function() h:stop() end)

  local function refused(hash, ...)
    local before = h:ask("status").lines[2]
    local reply = h:ask("activate rules " .. hash .. " spec")
    assert.is_false(reply.ok)
    for _, expected in ipairs { ... } do assert.truthy(reply.error:find(expected, 1, true), reply.error) end
    assert.same(before, h:ask("status").lines[2])
  end

  it("is refused by worker, file and line when it names what a rule has not", function()
    for _, name in ipairs(NAMES) do
      refused((store(pack { "return { " .. name .. " }" })), "worker ", "evil/e1.lua:1: unknown name '" .. name .. "'")
    end
    refused((store(pack { "return " .. ("("):rep(5000) .. "1" .. (")"):rep(5000) })), "worker ", "evil/e1.lua:1:")
    local files = pack { "" }
    files["evil/e1.lua"] = "\27LJ\2\2"
    refused((store(files)), "worker ", "evil/e1.lua")
  end)

  it("is refused when half of it was written, or a byte of it is another", function()
    local hash, text = store(pack {})
    h:write("var/packs/" .. hash, text:sub(1, #text / 2))
    refused(hash, "worker ", hash:sub(1, 12))
    h:write("var/packs/" .. hash, text:sub(1, 999) .. string.char(255 - text:byte(1000)) .. text:sub(1001))
    refused(hash, "worker ", hash:sub(1, 12))
    h:write("var/packs/" .. hash, "")
    refused(hash, "worker ")
    h:write("var/packs/" .. hash, text)
    assert.is_true(h:ask("activate rules " .. hash .. " spec").ok)
  end)

  it("is refused everywhere when one worker alone has not the memory for it", function()
    local pids = h:pids()
    local files = pack { "" }
    files["evil/e1.lua"] = "local t = {}\nfor i = 1, 400 do t[i] = ('x'):rep(60000) .. i end\n"
      .. "return { decide = function() end }\n"
    local limit = "prlimit --pid %d --data=$((1024 * $(awk '/VmData/{print $2}' /proc/%d/status) + 4000000))"
    assert.equal(0, os.execute(limit:format(pids[2], pids[2])))
    refused((store(files)), "worker 1", "evil/e1.lua:2:")
    assert.same(pids, h:pids())
  end)
end)

describe("processes that are killed between PREPARE, ACK and the store", function()
  before_each(function() h = host.start { program = program } end)
  after_each(function() h:stop() end)

  -- An activation that a stopped worker holds up; `meanwhile` runs once the other has acknowledged. Its reply.
  local function held(stopped, hash, meanwhile, waiting)
    host.kill(stopped, "STOP")
    h:write("ask.py", "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(20)\n"
      .. "s.connect(sys.argv[1])\ns.sendall(sys.argv[2].encode() + b'\\n')\n"
      .. "print(s.makefile().readline(), end='')\n")
    local client = io.popen(("python3 %s/ask.py %s/var/run/spec.sock 'activate rules %s spec'"):format(h.dir, h.dir,
      hash))
    host.eventually("the other has acknowledged it", function()
      local preparing = h:ask("status").preparing[1]
      return preparing and #preparing.workers == (waiting or 1)
    end)
    meanwhile()
    local line = client:read("*l")
    client:close()
    return line and fastr.json.decode(line)
  end

  local function is_live(hash)
    host.eventually("all run " .. hash, function()
      local status = h:ready()
      for _, worker in ipairs(status and status.workers or {}) do
        if worker.versions.rules ~= hash:sub(1, 12) then return false end
      end
      return status and status.lines[2].live == hash
    end)
  end

  it("change nothing, when it is one that has not acknowledged: it is named", function()
    local live, pids = h:ask("status").lines[2].live, h:pids()
    local reply = held(pids[2], (store(pack {})), function() host.kill(pids[2], "KILL") end)
    assert.is_false(reply.ok)
    assert.truthy(reply.error:find("worker 1 of spec died", 1, true), reply.error)
    is_live(live)
  end)

  it("change nothing that the others do, when it is one that has: it comes back with what is live", function()
    local hash, pids = (store(pack {})), h:pids()
    local reply = held(pids[2], hash, function()
      host.kill(pids[1], "KILL")
      host.eventually("it is replaced", function() return h:pids()[1] ~= pids[1] and h:pids()[1] ~= 0 end)
      host.kill(pids[2], "CONT")
    end)
    assert.is_true(reply.ok, reply.error)
    is_live(hash)
  end)

  it("change nothing, when it is the master that leads", function()
    local live, pids = h:ask("status").lines[2].live, h:pids()
    local reply = held(pids[2], (store(pack {})), function()
      host.kill(h.pid, "KILL")
      host.kill(pids[2], "CONT")
      h:begin()
    end)
    assert.is_nil(reply)
    is_live(live)
  end)

  it("hold nobody up, when it is another master of the host: it comes back with what is live", function()
    local port, hash = host.free_port(), (store(pack {}))
    local env = ("%s FASTR_NAME=other FASTR_WORKERS=1 FASTR_LISTEN=127.0.0.1:%d"):format(h.env, port)
    local function other() return fastr.control("other", "status", h.dir .. "/var") end
    local function serve()
      local binary = (os.getenv("FASTR_BUILD") or "build") .. "/fastr"
      os.execute(("%s %s serve >>%s/log 2>&1 </dev/null &"):format(env, binary, h.dir))
      return host.eventually("the other serves", function()
        local status = other()
        return status and status.workers[1].ready and status
      end)
    end
    local before = serve()
    local stopped = before.workers[1].pid
    local reply = held(stopped, hash, function() host.kill(before.pid, "KILL") end, 0)
    host.kill(stopped, "KILL")
    assert.is_true(reply.ok, reply.error)
    is_live(hash)
    local after = serve()
    finally(function()
      host.kill(after.pid, "TERM")
      host.eventually("it ends", function() return not host.alive(after.pid) end)
    end)
    host.eventually("it runs what is live", function()
      return other().workers[1].versions.rules == hash:sub(1, 12)
    end)
  end)
end)
