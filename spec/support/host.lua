-- host.lua: a fastr master of one's own in a folder of one's own, for specs that reload, kill and drain.
local shell = require "spec.support.shell"

local run, must = shell.run, shell.must

local host = {}
host.__index = host

local binary = (os.getenv("FASTR_BUILD") or "build") .. "/fastr"

--- Waits until `condition` returns something true; fails after `seconds` (default 10) with `what`.
function host.eventually(what, condition, seconds)
  local deadline = fastr.time.unix_ms() + (seconds or 10) * 1000
  local last
  repeat
    local ok, value = pcall(condition)
    if ok and value then return value end
    last = value
    fastr.time.sleep(10)
  until fastr.time.unix_ms() > deadline
  error(("never happened: %s (%s)"):format(what, tostring(last)), 2)
end

--- A port of 127.0.0.1, below those that connections are given, on which nobody listens now.
function host.free_port()
  local port
  repeat
    local high, low = fastr.crypto.random(2):byte(1, 2)
    port = 21000 + (high * 256 + low) % 8000
  until must("ss -Hltn 'sport = :" .. port .. "'") == ""
  return port
end

--- Makes the folder and its files; starts nothing.
-- @param options program: text of main.lua; workers: default 2; env: name -> text; stderr: a file or pipe for the log
function host.make(options)
  local dir = must("mktemp -d /tmp/fastr-spec-XXXXXX")
  local self = setmetatable({ dir = dir, workers = options.workers or 2, name = "spec" }, host)
  self.port = host.free_port()
  self.url = "http://127.0.0.1:" .. self.port
  must(("mkdir %s/scripts && cp -r scripts/lib scripts/rules %s/scripts"):format(self.dir, self.dir))
  self:write("scripts/main.lua", options.program)
  self:write("conf.lua", ("return { listen = '127.0.0.1:%d', workers = %d, name = 'spec', var = '%s/var', "
    .. "scripts = '%s/scripts', rules_dir = '%s/scripts/rules', log = { level = 'info' } }"):format(self.port,
    self.workers, self.dir, self.dir, self.dir))
  self.env = "env -i PATH=/usr/bin:/bin FASTR_CONF=" .. self.dir .. "/conf.lua"
  for name, value in pairs(options.env or {}) do self.env = self.env .. (" %s='%s'"):format(name, value) end
  self.stderr = options.stderr or "&1"
  return self
end

--- The same, and starts a master; waits until every worker serves.
function host.start(options)
  local self = host.make(options)
  self:begin()
  return self
end

--- Gives it what the commands of `fastr rules` are made of.
function host:add_tools()
  must(("mkdir -p %s/scripts/services && cp -r scripts/services/rules %s/scripts/services/ "
    .. "&& cp -r scripts/platform scripts/shop.lua %s/scripts/"):format(self.dir, self.dir, self.dir))
end

--- Starts the master (again); waits until every worker serves.
function host:begin()
  self:serve()
  host.eventually("every worker is ready: " .. self:log(), function() return self:ready() end)
end

--- Starts a master, as a supervisor does again after one was killed. It may not be ready yet, then.
function host:serve()
  self.pid = tonumber(must(("%s %s serve >>%s/log 2>%s </dev/null & echo $!"):format(self.env, binary, self.dir,
    self.stderr)))
end

function host:write(path, text) shell.write(self.dir .. "/" .. path, text) end

function host:log()
  local text, message, code = fastr.files.read(self.dir .. "/log")
  if code == "not_found" then return "" end
  return text or error(message, 2)
end

--- Runs `fastr ARGUMENTS` against this host; returns exit code and output.
function host:fastr(arguments) return run(("%s %s %s"):format(self.env, binary, arguments)) end

--- What the master's control socket says to `command`, as a table; nil if it does not answer.
function host:ask(command) return (fastr.control(self.name, command, self.dir .. "/var")) end

function host:ready()
  local status = self:ask("status")
  if not status then return false end
  for _, worker in ipairs(status.workers) do
    if not worker.ready then return false end
  end
  return status
end

function host:pids()
  local pids = {}
  for _, worker in ipairs(self:ask("status").workers) do pids[#pids + 1] = worker.pid end
  return pids
end

--- GET (or what `options` say) on a path: the reply, or raises.
function host:get(path, options)
  local request = { method = "GET", url = self.url .. path, timeout_ms = 5000 }
  for key, value in pairs(options or {}) do request[key] = value end
  local reply, message = fastr.http.request(request)
  return reply or error(message, 2)
end

function host.kill(pid, signal) return (run(("kill -%s %d"):format(signal, pid))) end
function host.alive(pid) return (run("kill -0 " .. pid)) == 0 end

--- Ends the master (drains), and checks that it went.
function host:quit()
  if not (self.pid and host.alive(self.pid)) then return end
  host.kill(self.pid, "TERM")
  host.eventually("the master ends", function() return not host.alive(self.pid) end, 40)
end

--- Ends the master, removes the folder.
function host:stop()
  self:quit()
  run("rm -rf " .. self.dir)
end

return host
