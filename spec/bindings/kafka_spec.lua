-- fastr.kafka against a running broker. Consumers run in a fastr of their own with groups of this run alone; what they
-- handled they write into a list in Redis. They read topic `rules` from its beginning and pass over what is not theirs;
-- no service consumes it, which would park what is no event.

local host = require "spec.support.host"
local shell = require "spec.support.shell"

local BROKERS = assert(os.getenv("FASTR_KAFKA_BROKERS") or os.getenv("KAFKA_BROKERS"), "KAFKA_BROKERS is not set")
local REDIS = assert(os.getenv("FASTR_REDIS_ADDRESS"), "FASTR_REDIS_ADDRESS is not set")

local function unique() return "spec-" .. fastr.crypto.uuid7() end

-- A program whose consumer runs `body` with (message, n: its value as a number, log: a function that appends to LIST).
local function program(list, group, body, options)
  return ([[
local function log(text)
  for _ = 1, 100 do
    if fastr.redis.call("RPUSH", "%s", text) then return true end
    fastr.time.sleep(20)
  end
end
local function handle(message)
  if not (message.key or ""):find("%s", 1, true) then return true end
  local n = tonumber(message.value)
  %s
end
return { routes = {}, schedules = {}, consumers = { { topic = "rules", group = "%s", handle = handle %s } } }]]):format(
    list, list, body, group, options or "")
end

local function consume(text, workers)
  return host.start { program = text, workers = workers or 1,
    env = { FASTR_KAFKA_BROKERS = BROKERS, FASTR_REDIS_ADDRESS = REDIS } }
end

local function logged(list) return fastr.redis.call("LRANGE", list, 0, -1) or {} end

local function until_logged(list, count)
  host.eventually(count .. " entries", function() return #logged(list) >= count end, 40)
  return logged(list)
end

local function produce(list, key, ...)
  local messages = {}
  for i, value in ipairs { ... } do messages[i] = { topic = "rules", key = list .. key, value = tostring(value) } end
  for _, result in ipairs(assert(fastr.kafka.produce_all(messages))) do assert.is_true(result) end
end

setup(function()
  host.eventually("Redis answers", function() return fastr.redis.call("PING") end)
  host.eventually("Kafka answers", function() return fastr.kafka.produce("rules", "spec", "{}") end, 30)
end)

describe("kafka.produce", function()
  it("returns true when the brokers have the message, which kcat can read", function()
    local key = unique()
    assert.is_true(fastr.kafka.produce("rules", key, "va\tlue", { ["x-own"] = "mine" }))
    local line = shell.must("kcat -C -b " .. BROKERS .. " -t rules -e -q -f '%k|%h|%s\n' 2>/dev/null | grep " .. key)
    assert.truthy(line:find("x-own=mine", 1, true))
    assert.truthy(line:find("traceparent=" .. fastr.task.traceparent(), 1, true))
    assert.truthy(line:find("va\tlue", 1, true))
  end)

  it("says what did not arrive, and why", function()
    local sent, message, code = fastr.kafka.produce("no-such-topic", "k", "v")
    assert.same({ nil, "unavailable" }, { sent, code }, message)
    local list = fastr.kafka.produce_all { { topic = "rules", key = "spec", value = "{}" },
      { topic = "rules", key = "spec", value = ("x"):rep(2000000) } }
    assert.is_true(list[1])
    assert.truthy(tostring(list[2]):find("^invalid: "))
  end)

  it("goes on with another producer when librdkafka gives one up for good; who waited hears of it", function()
    local list, build = unique(), os.getenv("FASTR_BUILD") or "build"
    local file = os.tmpname()
    os.remove(file)
    local h = host.start { workers = 1, env = { FASTR_KAFKA_BROKERS = BROKERS, FASTR_SPEC_FATAL = file,
      LD_PRELOAD = build .. "/test/kafka_fatal.so", ASAN_OPTIONS = "verify_asan_link_order=0" },
      program = ([[return { consumers = {}, schedules = {}, routes = { { method = "GET", path = "/send/{n}",
        handle = function(req)
          local sent, message, code = fastr.kafka.produce("rules", "%s", req.params.n)
          return 200, { sent = sent, message = message, code = code }
        end } } }]]):format(list) }
    finally(function() h:stop() end)
    local function send(n) return fastr.json.decode(h:get("/send/" .. n).body) end
    host.eventually("a first message", function() return send(1).sent end, 30)
    shell.write(file, "")
    host.eventually("the error", function() return h:log():find("as a spec wants it", 1, true) end)
    local refused
    host.eventually("another message", function()
      local answer = send(2)
      refused = refused or answer.code
      return answer.sent
    end, 30)
    assert.is_true(refused == nil or refused == "unavailable", refused)
    assert.equal(200, h:get("/readyz").status)
  end)

  it("raises for misuse, and inside a transaction", function()
    for _, bad in ipairs { { 5, "k", "v" }, { "rules", {}, "v" }, { "rules", "k", 5 }, { "rules", "k", "v", "h" },
      { "rules", "k", "v", { x = 5 } } } do
      assert.has_error(function() fastr.kafka.produce(bad[1], bad[2], bad[3], bad[4]) end)
    end
    assert.has_error(function() fastr.kafka.produce_all {} end)
    assert.has_error(function() fastr.kafka.produce_all { "x" } end)
    require("platform.db").open("cart"):transaction(function()
      assert.has_error(function() fastr.kafka.produce("rules", "k", "v") end)
    end)
  end)
end)

describe("a consumer", function()
  it("handles the messages of a key in their order, each until it succeeds", function()
    local list = unique()
    local h = consume(program(list, list, [[
      log(n .. "/" .. message.attempt)
      if n == 2 and message.attempt < 3 then error("not yet") end
      return n ~= 3 or message.attempt > 1]]))
    produce(list, "a", 1, 2, 3, 4)
    assert.same({ "1/1", "2/1", "2/2", "2/3", "3/1", "3/2", "4/1" }, until_logged(list, 7))
    h:stop()
  end)

  it("lets keys go on while another waits, and passes the trace on", function()
    local list = unique()
    local h = consume(program(list, list, [[
      if n == 1 then fastr.time.sleep(3000) end
      return log(n .. " " .. fastr.task.traceparent():sub(4, 35))]]))
    produce(list, "slow", 1)
    for i = 2, 20 do produce(list, "k" .. i, i) end
    local entries = until_logged(list, 20)
    local trace = fastr.task.traceparent():sub(4, 35)
    assert.is_true(entries[1] ~= "1 " .. trace)
    for _, entry in ipairs(entries) do assert.equal(trace, entry:match(" (.*)$")) end
    h:stop()
  end)

  it("commits what is done when it drains, so the next one begins there", function()
    local list = unique()
    local text = program(list, list, "fastr.time.sleep(20) return log(n)")
    local h = consume(text)
    produce(list, "a", 1, 2, 3)
    until_logged(list, 3)
    h:stop()
    h = consume(text)
    produce(list, "a", 4)
    assert.same({ "1", "2", "3", "4" }, until_logged(list, 4))
    h:stop()
  end)

  it("loses nothing when its worker is killed", function()
    local list = unique()
    local h = consume(program(list, list, "fastr.time.sleep(5) return log(n)"), 2)
    local values, seen = {}, {}
    for n = 1, 200 do values[n] = n end
    for part = 0, 9 do produce(list, "k" .. part, unpack(values, part * 20 + 1, part * 20 + 20)) end
    host.eventually("some are done", function() return #logged(list) > 20 end, 30)
    host.kill(h:pids()[1], "KILL")
    host.eventually("all are done", function()
      for _, value in ipairs(logged(list)) do seen[value] = true end
      for n = 1, 200 do if not seen[tostring(n)] then return false end end
      return true
    end, 60)
    h:stop()
  end)

  it("that broadcasts runs in every worker, from now on", function()
    local list = unique()
    produce(list, "a", 1)
    local h = consume(program(list, list, "return log(n)", ", broadcast = true"), 2)
    local n = 1
    host.eventually("both workers listen", function() -- what comes before they listen is not theirs
      n = n + 1
      produce(list, "a", n)
      fastr.time.sleep(200)
      local times = {}
      for _, value in ipairs(logged(list)) do times[value] = (times[value] or 0) + 1 end
      for _, count in pairs(times) do if count == 2 then return true end end
    end, 40)
    for _, value in ipairs(logged(list)) do assert.is_true(value ~= "1") end
    h:stop()
  end)

  it("follows a reload that changes its handler, and one that brings another group", function()
    local list, second = unique(), unique()
    local h = consume(program(list, list, "return log('old' .. n)"))
    produce(list, "a", 1)
    until_logged(list, 1)
    h:write("scripts/main.lua", program(list, list, "return log('new' .. n)"))
    assert.equal(0, (h:fastr("reload spec")))
    produce(list, "a", 2)
    assert.same({ "old1", "new2" }, until_logged(list, 2))
    h:write("scripts/main.lua", program(list, second, "return log('second' .. n)"))
    assert.equal(0, (h:fastr("reload spec")))
    assert.same({ "old1", "new2", "second1", "second2" }, until_logged(list, 4))
    h:stop()
  end)
end)
