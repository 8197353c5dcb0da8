-- boot: turns what the services declare into the program of docs/architecture.md: closures that know who asks, refuse
-- what is malformed, run the handler once, and say what happened. Nothing here waits at load.
--
--   request -> lsn in -> principal -> scope -> path, query, body -> idempotency -> handler -> reply -> lsn out
--
-- Leans on all of platform/, and on the services' init.lua as data.

local problem = require "lib.problem"
local access = require "platform.access"
local call = require "platform.call"
local declaration = require "platform.declaration"
local idempotency = require "platform.idempotency"
local inbox = require "platform.inbox"
local openapi = require "platform.openapi"
local outbox = require "platform.outbox"
local request = require "platform.request"
local session = require "platform.session"
local shop = require "shop"

local M = {}

local task = fastr.task
local NOTHING = {}

-- ---- one request ---------------------------------------------------------------------------------------------------

-- The checked ctx of a request, or nil, problem.
local function admit(route, req)
  local principal, wrong, ok
  principal, wrong = session.principal(req, route)
  if not principal then return nil, wrong end
  ok, wrong = access.check(principal, route.scope)
  if ok and route.internal and principal.kind ~= "service" then
    ok, wrong = nil, problem.new("forbidden", { detail = "Only services may call this." })
  end
  if not ok then return nil, wrong end
  local ctx = { principal = principal, request = req }
  ctx.params, wrong = request.texts("path", route.params, req.params)
  if wrong then return nil, wrong end
  ctx.query, wrong = request.texts("query", route.query, req.query)
  if wrong then return nil, wrong end
  ctx.body, wrong = request.body(route, req)
  if wrong then return nil, wrong end
  return ctx
end

-- Logs a reply that does not have its declared form; with the setting strict_replies (tests) it becomes a 500.
local function check_reply(route, status, body)
  local of = route.replies and route.replies[status]
  if not of or type(body) ~= "table" then return nil end
  local errors = of.check(body)
  if not errors then return nil end
  local first = errors[1]
  fastr.log.error("reply does not have its declared form", { route = route.method .. " " .. route.path,
    status = status, path = first.path, problem = first.problem })
  if fastr.setting("strict_replies", "false") == "true" then
    return problem.new("reply_invalid", { detail = first.path .. " " .. first.problem })
  end
end

-- Past its deadline a handler's waits end without what they waited for: what comes of that is nobody's fault.
local function is_late()
  return task.ms_left() <= 0
end

-- Runs the handler; a raised problem document (the stores raise them) is an answer like a returned one.
local function answer(route, run, req)
  local ctx, wrong = admit(route, req)
  if not ctx then return nil, wrong end
  local ok, status, body, headers = xpcall(run, fastr.traceback, ctx)
  if not ok then
    if problem.is(status) then return nil, status end
    if is_late() then return nil, problem.of_error("timeout") end
    if not route.refusal then error(status, 0) end
    fastr.log.error("a page raised", { route = route.method .. " " .. route.path, error = tostring(status) })
    return nil, problem.new("internal")
  end
  if status then
    wrong = check_reply(route, status, body)
    if wrong then return nil, wrong end
  end
  return status, body, headers
end

-- A copy of the handler's headers, which may be a constant of its own, for this request's to be added to. What is
-- somebody's is for nobody's cache.
local function headers_of(route, headers)
  local own = {}
  for name, value in pairs(headers or NOTHING) do own[name] = value end
  if route.scope ~= "public" and not own["Cache-Control"] then own["Cache-Control"] = "no-store" end
  return own
end

-- A refusal is a problem document, or what the route's own function makes of it: a page, for people.
local function refuse(service, route, req, wrong)
  if not problem.is(wrong) and is_late() then wrong = problem.of_error("timeout") end
  if not problem.is(wrong) then
    error(route.method .. " " .. route.path .. ": the handler returned neither a status nor a problem", 0)
  end
  if not route.refusal then return request.of_problem(wrong, req.id) end
  return service.handlers[route.refusal](req, wrong)
end

local function finish(service, route, req, status, body, headers)
  if status == nil then status, body, headers = refuse(service, route, req, body) end
  headers = headers_of(route, headers)
  session.leave(headers)
  if status == 200 and route.method == "GET" and request.not_modified(req, headers) then
    return 304, nil, headers
  end
  return status, body, headers
end

local function handle_of(service, route)
  local name, run = service.name, idempotency.wrap(service, route)
  return function(req)
    local outer = task.get("service")
    task.set("service", name)
    session.enter(req)
    local status, body, headers = finish(service, route, req, answer(route, run, req))
    task.set("service", outer)
    return status, body, headers
  end
end

-- ---- the program ---------------------------------------------------------------------------------------------------

local FORM_BYTES = 16384 -- a dozen fields; a body of a hundred thousand would keep the worker busy for seconds

local function add_route(program, handle, route)
  program.routes[#program.routes + 1] = { method = route.method, path = route.path, handle = handle,
    timeout_ms = route.timeout_ms or 0, concurrency = route.concurrency or 0,
    body_bytes = route.body_bytes or route.form and FORM_BYTES or 0 }
end

local function within(service, run)
  return function(...)
    task.set("service", service.name)
    return run(...)
  end
end

-- Adds the platform's own entries, each to run as the service.
local function add_all(list, service, entries)
  for _, entry in ipairs(entries) do
    entry.handle = within(service, entry.handle)
    list[#list + 1] = entry
  end
end

local function add_service(program, service)
  for _, route in ipairs(service.routes) do
    local handle = handle_of(service, route)
    add_route(program, handle, route)
    call.register(service.name, route, handle)
  end
  for _, entry in ipairs(service.schedules) do
    program.schedules[#program.schedules + 1] = { name = service.name .. "." .. entry.name, every_ms = entry.every_ms,
      one = entry.one or false, handle = within(service, service.jobs[entry.job]) }
  end
  add_all(program.consumers, service, inbox.consumers(service))
  add_all(program.schedules, service, inbox.schedules(service))
  if next(service.produces) or next(service.consumes) then -- who consumes may have to tell of parked events
    add_all(program.schedules, service, { outbox.relay(service.name) })
  end
  add_all(program.schedules, service, idempotency.schedules(service))
end

local function refuse_doubles(services, errors)
  local seen = {}
  for _, service in ipairs(services) do
    for _, route in ipairs(service.routes) do
      local shape_of_path = route.method .. " " .. route.path:gsub("{[^}]*}", "{}")
      if seen[shape_of_path] then
        errors[#errors + 1] = string.format("scripts/services/%s/init.lua: %s is declared by %s too", service.name,
          shape_of_path, seen[shape_of_path])
      end
      seen[shape_of_path] = service.name
    end
  end
end

-- Reads the named services, or all that exist; raises one error with a line for each thing that is wrong.
function M.services(names)
  local services, errors = {}, {}
  for _, name in ipairs(names) do
    services[#services + 1] = declaration.read(name, errors)
  end
  refuse_doubles(services, errors)
  if #errors > 0 then error(table.concat(errors, "\n"), 0) end
  return services
end

-- All services that the bundle has.
function M.names()
  local names = {}
  for _, name in ipairs(shop.services) do
    if declaration.exists(name) then names[#names + 1] = name end
  end
  return names
end

-- ---- settings -------------------------------------------------------------------------------------------------------

-- What no process can do without, as the platform leans on it. A service names its own under `settings`.
local NEEDED = { "public_url", "pg.primary", "redis.address", "kafka.brokers" }

local function need(missing, path)
  if fastr.setting(path, "") == "" then
    missing[#missing + 1] = ("setting %s (or the variable FASTR_%s) is missing"):format(path,
      (path:upper():gsub("%.", "_")))
  end
end

-- Raises, with all that is missing: a process that cannot work is not to begin.
local function check_settings(services)
  local missing, here = {}, {}
  for _, path in ipairs(NEEDED) do need(missing, path) end
  for _, service in ipairs(services) do
    here[service.name] = true
    for _, path in ipairs(service.settings) do need(missing, path) end
  end
  for _, name in ipairs(M.names()) do
    if not here[name] then need(missing, "services." .. name) end
  end
  if #missing > 0 then error(table.concat(missing, "\n") .. "\nSee conf/fastr.lua.", 0) end
end

-- The program of a process that serves `names` (nil or empty: all).
function M.program(names)
  if not names or #names == 0 then
    M.services(shop.apart) -- a check of everything is one of these, too
    names = M.names()
  end
  local program = { routes = {}, consumers = {}, schedules = {} }
  local services = M.services(names)
  check_settings(services)
  fastr.call = call.call
  for _, service in ipairs(services) do add_service(program, service) end
  for _, entry in ipairs(session.schedules(names)) do program.schedules[#program.schedules + 1] = entry end
  for _, route in ipairs(openapi.routes(M.names())) do add_route(program, route.handle, route) end
  return program
end

return M
