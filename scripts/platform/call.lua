-- call: fastr.call(service, op, body, options), the one way from a service to another.
--
--   op = "reserve"                    POST /internal/SERVICE/reserve, as this service, with its token
--   op = "GET /products?limit=20"     a public route, as whom this request is from (for pages), else as nobody
--
-- A service in this process is called without a socket; one elsewhere by HTTP to the setting services.NAME. Both ways
-- the body is encoded and decoded, and the token is verified: what works in one process works in nine.
-- Returns body, status, headers for a 2xx; nil, problem for all else: the callee's document, or "unavailable",
-- "busy", "timeout". Raises inside a transaction (a row lock must not wait for somebody else's answer), and for a body
-- that JSON has no form for, with its place.
-- options: key (Idempotency-Key), headers (more of them), timeout_ms, retry (times; default 1 for GET and with a key).

local problem = require "lib.problem"
local session = require "platform.session"
local url = require "lib.url"

local M = {}

local task, json = fastr.task, fastr.json
local PREFIX = "/api/v1"
local TIMEOUT_MS = 10000

-- ---- services in this process --------------------------------------------------------------------------------------

local here = {} -- service -> list of {method, pattern, names, handle}

-- "/carts/{id}/lines" -> "^/carts/([^/]+)/lines$", {"id"}
local function compile(path)
  local names = {}
  local pattern = path:gsub("[%-%.%+%*%?%^%$%%%(%)%[%]]", "%%%0"):gsub("{([^}]*)}", function(name)
    names[#names + 1] = name
    return "([^/]+)"
  end)
  return "^" .. pattern .. "$", names
end

-- Makes a route callable; boot does so for every route that it builds.
function M.register(service, route, handle)
  here[service] = here[service] or { exact = {} }
  local entry = { method = route.method, handle = handle, name = route.method .. " " .. route.path }
  entry.pattern, entry.names = compile(route.path)
  if #entry.names == 0 then
    here[service].exact[route.method .. " " .. route.path] = entry
  else
    table.insert(here[service], entry)
  end
end

local function find(service, method, path)
  local exact = here[service].exact[method .. " " .. path]
  if exact then return exact, {} end
  for _, entry in ipairs(here[service]) do
    local found = entry.method == method and { path:match(entry.pattern) }
    if found and found[1] then
      local params = {}
      for i, name in ipairs(entry.names) do params[name] = url.decode(found[i]) end
      return entry, params
    end
  end
end

-- A request without a socket, with the face of a real one.
local Request = {}
Request.__index = Request

function Request:header(name)
  return self.headers[name:lower()]
end

function Request:body()
  return self.text
end

local function lower_keys(headers)
  local out = {}
  for name, value in pairs(headers) do out[name:lower()] = value end
  return out
end

local function dispatch(service, out)
  local path, query = url.split(out.target)
  local entry, params = find(service, out.method, path)
  if not entry then
    return 404, problem.new("not_found", { detail = service .. " has no " .. out.method .. " " .. path })
  end
  local request = setmetatable({ method = out.method, path = url.decode(path), params = params, query = query,
    id = task.id(), peer = "local", headers = lower_keys(out.headers), text = out.body or "" }, Request)
  local ok, status, body, headers = xpcall(entry.handle, fastr.traceback, request)
  if not ok then
    fastr.log.error("a called handler raised", { service = service, op = entry.name, error = tostring(status) })
    return 500, problem.new("internal")
  end
  return status, body, lower_keys(headers or {})
end

-- A reply without a JSON form is the callee's bug, here as by HTTP.
local function encoded(service, out, status, body, headers)
  local text, message = json.encode(body)
  if text then return status, text, headers end
  fastr.log.error("a called handler's reply has no JSON form", { service = service, op = out.target, error = message })
  return 500, json.encode(problem.new("internal")), {}
end

-- What the callee may change of the caller's task, and must not.
local OWN = { "service", "token", "lsn_sent" }

local function call_here(service, out)
  local kept = {}
  for i, key in ipairs(OWN) do kept[i] = task.get(key) end
  local status, body, headers = dispatch(service, out)
  for i, key in ipairs(OWN) do task.set(key, kept[i]) end
  if type(body) == "table" then return encoded(service, out, status, body, headers) end
  return status, body, headers
end

-- ---- services elsewhere --------------------------------------------------------------------------------------------

local function milliseconds(options)
  return math.max(1, math.min(options.timeout_ms or TIMEOUT_MS, task.ms_left()))
end

-- A public path may hold a capability (a cart's id), so of those only the beginning is logged.
local function log_failure(service, out, code, message)
  fastr.log.warn("cannot reach a service", { service = service, code = code,
    op = out.is_public and out.target:match("^/%w+/%w+/[%w-]+") or out.target,
    why = not out.is_public and message or nil })
end

local function call_there(service, out, options)
  local base = fastr.setting("services." .. service)
  if not base then
    error("fastr.call: " .. service .. " is not in this process, and there is no setting services." .. service, 0)
  end
  local retry = options.retry or ((out.method == "GET" or options.key) and 1 or 0)
  local reply, message, code = fastr.http.request { method = out.method, url = base .. out.target,
    headers = out.headers, body = out.body, timeout_ms = milliseconds(options), retry = retry,
    target = service } -- all live behind one address, and one that is away is no reason not to ask the others
  if reply then return reply.status, reply.body, reply.headers end
  log_failure(service, out, code, message)
  return nil, problem.of_error(code == "timeout" and "timeout" or code == "busy" and "busy" or "unavailable")
end

-- ---- both ----------------------------------------------------------------------------------------------------------

local function decode(text)
  if text == nil or text == "" then return nil end
  local value = json.decode(text)
  if value == nil then return text end -- a page, or another text
  return value
end

local function send(service, out, options)
  local status, body, headers
  if here[service] then
    status, body, headers = call_here(service, out)
  else
    status, body, headers = call_there(service, out, options)
  end
  if not status then return nil, body end
  if headers and headers["fastr-session"] then
    task.set("lsn", session.later(task.get("lsn"), headers["fastr-session"]))
  end
  local value = decode(body)
  if status >= 200 and status < 300 then return value == nil and true or value, status, headers end
  return nil, problem.from(status, value)
end

local function headers_of(out, options)
  local headers = { ["Accept"] = "application/json", ["X-Request-Id"] = task.id(),
    ["Fastr-Deadline-Ms"] = tostring(milliseconds(options)) }
  if out.body then headers["Content-Type"] = "application/json" end
  if options.key then headers["Idempotency-Key"] = options.key end
  local position = task.get("lsn")
  if position then headers["Fastr-Session"] = position end
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  return headers
end

local function body_of(service, op, body)
  if body == nil then return nil end
  local text, message = json.encode(body)
  return text or error("fastr.call(" .. service .. ", " .. op .. "): the body has no JSON form: " .. message, 0)
end

local function request_of(service, op, body, options)
  local out = { body = body_of(service, op, body) }
  local method, target = op:match("^(%u+) (/.*)$")
  out.is_public = method ~= nil
  out.method = method or "POST"
  out.target = target and (options.root and target or PREFIX .. target) or ("/internal/" .. service .. "/" .. op)
  if not out.is_public and not out.body then out.body = "{}" end
  out.headers = headers_of(out, options)
  return out
end

-- Sends with this service's token; a refused one is replaced once (the keys of auth may have changed).
local function call_as_service(service, out, options)
  local caller = task.get("service") or error("fastr.call: no service is running this task", 0)
  local token, wrong = session.service_token(caller, service)
  if not token then return nil, wrong end
  out.headers["Authorization"] = "Bearer " .. token
  local value, status, headers = send(service, out, options)
  if value == nil and status.status == 401 then
    session.forget_token(caller, service)
    token, wrong = session.service_token(caller, service)
    if not token then return nil, wrong end
    out.headers["Authorization"] = "Bearer " .. token
    return send(service, out, options)
  end
  return value, status, headers
end

-- See the top of this file.
function M.call(service, op, body, options)
  if task.in_transaction() then
    error("fastr.call(" .. service .. ", " .. op .. "): not inside a transaction; fetch it in prepare", 2)
  end
  options = options or {}
  local out = request_of(service, op, body, options)
  if not out.is_public then return call_as_service(service, out, options) end
  local token = task.get("token")
  if token and not out.headers["Authorization"] then out.headers["Authorization"] = "Bearer " .. token end
  return send(service, out, options)
end

-- How session reaches auth, without any token.
function session.ask_auth(op, body)
  local options = {}
  return send("auth", request_of("auth", op, body, options), options)
end

return M
