-- fastr.redis against a Redis of its own that wants a password, and one that comes to want another.
local host = require("spec.support.host")
local shell = require("spec.support.shell")

local must = shell.must

local PROGRAM = [[
return {
  routes = { { method = "GET", path = "/ping", handle = function()
    local value, message, code = fastr.redis.call("INCR", "pings")
    return 200, { value = value, message = message, code = code }
  end } }, consumers = {}, schedules = {},
}]]
local SECRET = "a secret of spaces, % and \"quotes\""

describe("a Redis that wants a password", function()
  local dir, pid, h

  local function write(name, text) shell.write(dir .. "/" .. name, text) end

  local function redis(command)
    return must(("REDISCLI_AUTH='%s' redis-cli -s %s/socket %s"):format(SECRET, dir, command))
  end

  setup(function()
    dir = must("mktemp -d /tmp/fastr-spec-XXXXXX")
    write("conf", ('port 0\nunixsocket %s/socket\nsave ""\ndir %s\nrequirepass "%s"\n'):format(dir, dir,
      (SECRET:gsub('"', '\\"'))))
    pid = tonumber(must(("redis-server %s/conf >%s/log 2>&1 </dev/null & echo $!"):format(dir, dir)))
    host.eventually("Redis answers", function() return redis("ping") == "PONG" end)
  end)
  teardown(function()
    host.kill(pid, "TERM")
    must("rm -rf " .. dir)
  end)
  after_each(function() h:stop() end)

  local function start(password)
    local env = { FASTR_REDIS_ADDRESS = dir .. "/socket" }
    if password then
      write("password", password)
      env.FASTR_REDIS_PASSWORD_FILE = dir .. "/password"
    end
    h = host.start { program = PROGRAM, workers = 1, env = env }
  end

  local function ping() return fastr.json.decode(h:get("/ping").body) end

  it("is up with the right one, which no log has", function()
    start(SECRET .. "\n")
    host.eventually("it is up", function() return ping().value end)
    assert.is_nil(h:log():find("a secret", 1, true))
  end)

  it("is away with a wrong one or none; the log says why, once, and requests are served", function()
    local cases = { { "wrong secret", "redis refuses the password of redis.password_file" }, { nil, "NOAUTH" } }
    for _, case in ipairs(cases) do
      start(case[1])
      host.eventually("the log says why", function() return h:log():find(case[2], 1, true) end)
      host.eventually("it was tried again", function() return ping().message:find("NOAUTH", 1, true) end)
      assert.equal("unavailable", ping().code)
      assert.equal(200, h:get("/readyz").status)
      assert.equal(1, select(2, h:log():gsub(case[2]:gsub("%.", "%%."), "")))
      assert.is_nil(h:log():find("wrong secret", 1, true))
      if case[1] then h:stop() end
    end
  end)

  it("comes back when the password fits again", function()
    start("wrong secret")
    host.eventually("it is refused", function() return h:log():find("redis refuses", 1, true) end)
    redis("config set requirepass 'wrong secret'")
    finally(function()
      must(("REDISCLI_AUTH='wrong secret' redis-cli -s %s/socket config set requirepass '%s'"):format(dir, SECRET))
    end)
    host.eventually("it is up", function() return ping().value end)
    assert.truthy(h:log():find("redis is back", 1, true))
  end)
end)
