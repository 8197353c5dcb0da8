-- provider.lua: a test provider of one's own: a process, a schema beside the real one, secrets, and who gets its
-- webhooks. So a spec may kill it, and the shop hears nothing of its charges.

local host = require "spec.support.host"
local shell = require "spec.support.shell"

local must = shell.must

local provider = {}
provider.__index = provider

local PRIMARY = assert(os.getenv("PG_PRIMARY"), "PG_PRIMARY is not set: run bin/test, or source var/shop.env")
local binary = (os.getenv("FASTR_BUILD") or "build") .. "/fastr"

-- Keeps the webhooks it is sent; answers as the mode says: ok, ill (503), or silent.
local RECEIVER = [[
local seen, mode = {}, "ok"
local function hook(req)
  seen[#seen + 1] = { body = req:body(), signature = req:header("provider-signature"), mode = mode }
  if mode == "silent" then fastr.time.sleep(30000) end
  return mode == "ok" and 204 or 503
end
local function turn(req)
  mode = req:body()
  return 204
end
return { routes = {
  { method = "POST", path = "/hook", handle = hook, timeout_ms = 40000 },
  { method = "PUT", path = "/mode", handle = turn },
  { method = "GET", path = "/seen", handle = function() return 200, { seen = fastr.json.array(seen) } end },
} }
]]

--- Rows of one statement as the superuser sees them in the schema: text, columns apart by |.
function provider:sql(statement)
  return must(("PGOPTIONS='-csearch_path=%s' psql -XqAt -v ON_ERROR_STOP=1 '%s' -c \"%s\""):format(self.schema, PRIMARY,
    statement))
end

function provider:make_schema()
  must(("psql -Xq -v ON_ERROR_STOP=1 '%s' -c 'create schema %s'"):format(PRIMARY, self.schema))
  must(("PGOPTIONS='-csearch_path=%s' psql -Xq -v ON_ERROR_STOP=1 '%s' $(printf ' -f %%s' sql/platform/*.sql "
    .. "sql/provider/*.sql)"):format(self.schema, PRIMARY))
  self:sql(("grant usage on schema %s to provider; grant select, insert, update, delete on all tables in schema %s to"
    .. " provider; grant usage, select on all sequences in schema %s to provider"):format(self.schema, self.schema,
    self.schema))
end

local function in_schema(conninfo, schema)
  local list = {}
  for one in conninfo:gmatch("[^;]+") do list[#list + 1] = one .. " options='-csearch_path=" .. schema .. "'" end
  return table.concat(list, ";")
end

local function environment(self)
  local function given(name) return assert(os.getenv(name), name .. " is not set") end
  return { FASTR_VAR = self.dir, FASTR_NAME = "spec-provider", FASTR_LISTEN = "127.0.0.1:" .. self.port,
    FASTR_PUBLIC_URL = self.url, FASTR_PROVIDER_WEBHOOK_URL = self.receiver.url .. "/hook",
    FASTR_PG_PRIMARY = in_schema(given "FASTR_PG_PRIMARY", self.schema),
    FASTR_PG_REPLICAS = in_schema(given "FASTR_PG_REPLICAS", self.schema) }
end

--- Starts its process (again) and waits until it is ready.
function provider:serve()
  local words = {}
  for name, value in pairs(environment(self)) do words[#words + 1] = ('%s="%s"'):format(name, value) end
  self.pid = tonumber(must(("env %s %s serve provider >>%s/log 2>&1 </dev/null & echo $!"):format(
    table.concat(words, " "), binary, self.dir)))
  host.eventually("the provider is ready", function()
    local reply = fastr.http.request { method = "GET", url = self.url .. "/readyz", timeout_ms = 1000 }
    return reply and reply.status == 200
  end, 20)
end

--- Makes schema, secrets and receiver, and starts the process.
function provider.start()
  local self = setmetatable({ port = host.free_port(), key = "spec-key", secret = "spec-webhook" }, provider)
  self.url = "http://127.0.0.1:" .. self.port
  self.schema = "provider_spec_" .. fastr.crypto.hex(fastr.crypto.random(6))
  self.dir = must "mktemp -d /tmp/fastr-provider-XXXXXX"
  must(("cd %s && umask 077 && mkdir run secrets && printf %%s %s >secrets/provider_key && printf %%s %s"
    .. " >secrets/provider_webhook"):format(self.dir, self.key, self.secret))
  self:make_schema()
  self.receiver = host.start { program = RECEIVER, workers = 1 }
  self:serve()
  return self
end

--- Ends it as a power failure would: master and workers at once, without a word.
function provider:kill()
  local workers = must("pgrep -P " .. self.pid .. " || true"):gsub("%s+", " ")
  must(("kill -9 %d %s"):format(self.pid, workers))
  host.eventually("it is gone", function() return not host.alive(self.pid) end)
end

function provider:stop()
  self:kill()
  self.receiver:stop()
  must(("psql -Xq '%s' -c 'set client_min_messages = warning; drop schema %s cascade'"):format(PRIMARY, self.schema))
  must("rm -rf " .. self.dir)
end

function provider:log()
  return assert(fastr.files.read(self.dir .. "/log"))
end

-- ---- its API ------------------------------------------------------------------------------------------------------

--- A request to it: status, decoded body (or text), headers; or nil, message, code. `options`: key, body, timeout_ms,
--- provider_key (false: none).
function provider:ask(method, path, options)
  options = options or {}
  local provider_key = options.provider_key
  if provider_key == nil then provider_key = self.key end
  local reply, message, code = fastr.http.request { method = method, url = self.url .. "/api/v1/provider" .. path,
    headers = { ["Provider-Key"] = provider_key or nil, ["Idempotency-Key"] = options.key,
      ["Content-Type"] = options.body and "application/json" or nil },
    body = options.body and fastr.json.encode(options.body) or nil, timeout_ms = options.timeout_ms or 5000 }
  if not reply then return nil, message, code end
  return reply.status, fastr.json.decode(reply.body) or reply.body, reply.headers
end

--- Charges `number` under `key`; `more` replaces members of the body.
function provider:charge(key, number, more, timeout_ms)
  local body = { amount = 1000, currency = "GBP", capture = true, reference = "order of a spec",
    card = { number = number, exp_month = 12, exp_year = 2099 } }
  for name, value in pairs(more or {}) do body[name] = value end
  return self:ask("POST", "/charges", { key = key, body = body, timeout_ms = timeout_ms })
end

--- The webhooks that have arrived about a charge, in the order of their coming: the events, each with `signature`,
--- `text` (as it was sent) and `mode` (of the receiver).
function provider:heard(charge)
  local events = {}
  for _, one in ipairs(fastr.json.decode(self.receiver:get("/seen").body).seen) do
    local event = fastr.json.decode(one.body)
    event.signature, event.text, event.mode = one.signature, one.body, one.mode
    if event.charge.id == charge then events[#events + 1] = event end
  end
  return events
end

--- How the receiver answers from now on: ok, ill or silent.
function provider:receiver_is(mode)
  self.receiver:get("/mode", { method = "PUT", body = mode })
end

return provider
