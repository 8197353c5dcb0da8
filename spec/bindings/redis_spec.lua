-- fastr.redis against a running Redis, with keys of this run alone.

local host = require "spec.support.host"

local call = fastr.redis.call
local prefix = "spec:" .. fastr.crypto.uuid7() .. ":"

local function is_up() return call("PING") == "PONG" end

before_each(function() host.eventually("Redis answers", is_up) end)

describe("redis.call", function()
  it("gives texts, integers, lists and nil as they are", function()
    assert.equal("OK", call("SET", prefix .. "a", "x\0y\r\n"))
    assert.equal("x\0y\r\n", call("GET", prefix .. "a"))
    assert.equal(5, call("INCRBY", prefix .. "n", 5))
    assert.equal(0, select("#", call("GET", prefix .. "none")) - 1)
    assert.is_nil((call("GET", prefix .. "none")))
    assert.same({ "x\0y\r\n", false, "5" }, call("MGET", prefix .. "a", prefix .. "none", prefix .. "n"))
    assert.same({ { 1, "two" }, 3 }, call("EVAL", "return {{1, 'two'}, 3}", 0))
  end)

  it("sends and returns integers exactly", function()
    assert.equal("9007199254740991", call("ECHO", 9007199254740991))
    assert.equal("100000000000000", call("ECHO", 1e14))
    assert.equal("0.5", call("ECHO", 0.5))
    assert.equal("9223372036854775807", call("INCRBY", prefix .. "big", "9223372036854775807"))
  end)

  it("says what Redis refuses", function()
    local value, message, code = call("INCR")
    assert.is_nil(value)
    assert.equal("redis_error", code)
    assert.truthy(message:find("wrong number of arguments", 1, true))
  end)

  it("raises for arguments that cannot be sent and for commands that change the shared connection", function()
    assert.has_error(function() call("SET", "a", {}) end)
    assert.has_error(function() call("SET", "a", nil) end)
    assert.has_error(function() call() end)
    for _, name in ipairs { "SUBSCRIBE", "multi", "SELECT", "BLPOP" } do
      assert.has_error(function() call(name, "a", 0) end)
    end
  end)

  it("serves many tasks over its one connection", function()
    local tasks = {}
    for i = 1, 200 do
      tasks[i] = function() return call("ECHO", i) end
    end
    for i, result in ipairs(fastr.all(tasks)) do assert.equal(tostring(i), result[1]) end
    assert.truthy(call("INFO", "clients"))
  end)

  it("gives up a connection without an answer in time, answers at once while away, and comes back", function()
    local busy = "local t = redis.call('TIME') local e = t[1] * 1000 + t[2] / 1000 + 700 repeat t = redis.call('TIME')"
      .. " until t[1] * 1000 + t[2] / 1000 > e"
    local began = fastr.time.unix_ms()
    assert.equal("timeout", (select(3, call("EVAL", busy, 0))))
    assert.is_true(fastr.time.unix_ms() - began < 600)
    began = fastr.time.unix_ms()
    assert.equal("unavailable", (select(3, call("PING"))))
    assert.is_true(fastr.time.unix_ms() - began < 50)
    host.eventually("it comes back", is_up)
  end)

  it("may be used inside a transaction", function()
    require("platform.db").open("cart"):transaction(function() assert.equal("PONG", call("PING")) end)
  end)
end)
