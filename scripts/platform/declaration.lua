-- declaration: reads what a service declares in its init.lua and refuses, all at once and by file and place, whatever
-- could not work: `fastr check` and every load go through here. Leans on lib/shape and platform/access.

local shape = require "lib.shape"
local sorted = require "lib.sorted"
local access = require "platform.access"

local M = {}

local METHODS = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true }
local IDEMPOTENCY = { transaction = true, saga = true, required_transaction = true, required_saga = true }

local ROUTE = { method = "string", path = "string", internal = "boolean", root = "boolean", handler = "string",
  scope = "string", doc = "string", params = "table", query = "table", headers = "table", body = "table",
  replies = "table",
  idempotency = "string", prepare = "string", replay = "string", fingerprint = "string",
  sensitive = "boolean", credentials = "boolean",
  timeout_ms = "number", concurrency = "number", body_bytes = "number", stream = "boolean",
  form = "boolean", refusal = "string" }
local SERVICE = { name = "string", doc = "string", routes = "table", produces = "table", consumes = "table",
  schedules = "table", settings = "table" }
local SCHEDULE = { name = "string", every_ms = "number", job = "string", one = "boolean", doc = "string" }
local CONSUMER = { topic = "string", events = "table", broadcast = "boolean", doc = "string" }

local function known_names(fields)
  return table.concat(sorted.keys(fields), ", ")
end

-- Adds a line for each field of `entry` that has the wrong type or is not known.
local function check_fields(say, where, entry, fields)
  if type(entry) ~= "table" then return say(where, "must be a table") end
  for name, value in pairs(entry) do
    if not fields[name] then
      say(where, string.format("field %s is not known here; known: %s", tostring(name), known_names(fields)))
    elseif type(value) ~= fields[name] then
      say(where, string.format("field %s must be a %s, not a %s", name, fields[name], type(value)))
    end
  end
end

-- Request headers that a route may say it heeds, and what they are for.
M.HEADERS = {
  ["If-Match"] = "the ETag that was read; a change of something that has changed since is refused with 412",
  ["Fastr-Order"] = "a guest's key to an order, from the reply of its checkout",
  ["Last-Event-ID"] = "the id of the last event that was seen; what came after it is told first",
}

local function need(say, where, entry, ...)
  for _, name in ipairs { ... } do
    if entry[name] == nil then say(where, "field " .. name .. " is missing") end
  end
end

local function need_function(say, where, loaded, file, field, name)
  if name == nil or loaded == nil or loaded[file] == nil then return end
  local found = rawget(loaded[file], name)
  if type(found) ~= "function" then
    say(where, string.format('%s = "%s": %s.lua has no such function', field, tostring(name), file))
  end
end

-- "params" and "query" may be written as a plain table of shapes; the rest of the platform sees an object.
local function as_object(say, where, fields, field)
  if fields == nil or shape.is_shape(fields) then return fields end
  local ok, made = pcall(shape.object, fields)
  if ok then return made end
  say(where, field .. ": " .. tostring(made))
end

local function check_params(say, where, route)
  local named = {}
  for name in route.path:gmatch("{([^}]*)}") do
    named[name] = true
    if not (route.params and route.params.fields and route.params.fields[name]) then
      say(where, "params has no shape for {" .. name .. "}")
    end
  end
  for name in pairs(route.params and route.params.fields or {}) do
    if not named[name] then say(where, "params names " .. name .. ", which is not in the path") end
  end
end

local function check_scope(say, where, service, route)
  if route.scope == nil then return say(where, "field scope is missing: name a scope, or say \"public\"") end
  if route.internal then
    if route.scope:match("^[^:]*") ~= service then
      say(where, string.format('scope "%s": an internal route\'s scope begins with "%s:"', route.scope, service))
    end
  elseif not access.is_granted(route.scope) then
    say(where, string.format('scope "%s" is granted by no role in scripts/shop.lua', route.scope))
  end
end

local function check_shapes(say, where, route)
  route.params = as_object(say, where, route.params, "params")
  route.query = as_object(say, where, route.query, "query")
  for _, name in ipairs(route.headers or {}) do
    if not M.HEADERS[name] then say(where, "headers: " .. tostring(name) .. " is not known; known: "
      .. known_names(M.HEADERS)) end
  end
  if route.body and not shape.is_shape(route.body) then say(where, "body must be a shape") end
  for status, of in pairs(route.replies or {}) do
    if type(status) ~= "number" then say(where, "replies: " .. tostring(status) .. " is no status") end
    if not shape.is_shape(of) then say(where, "replies[" .. tostring(status) .. "] must be a shape") end
  end
end

local function check_idempotency(say, where, route)
  if not route.idempotency then
    if route.prepare then say(where, "prepare needs idempotency = \"transaction\"") end
    return
  end
  if not IDEMPOTENCY[route.idempotency] then
    say(where, string.format('idempotency = "%s": one of %s', route.idempotency, known_names(IDEMPOTENCY)))
  end
  if route.method == "GET" then say(where, "a GET changes nothing and takes no Idempotency-Key") end
end

local function place(route, i)
  if type(route) ~= "table" then return "route " .. i end
  if route.internal then return "route " .. i .. " (internal " .. tostring(route.handler) .. ")" end
  return string.format("route %d (%s %s)", i, tostring(route.method), tostring(route.path))
end

local function check_route(say, service, route, i, loaded)
  local where = place(route, i)
  check_fields(say, where, route, ROUTE)
  if type(route) ~= "table" then return end
  need(say, where, route, "handler")
  need_function(say, where, loaded, "handlers", "handler", route.handler)
  need_function(say, where, loaded, "handlers", "prepare", route.prepare)
  need_function(say, where, loaded, "handlers", "replay", route.replay)
  need_function(say, where, loaded, "handlers", "fingerprint", route.fingerprint)
  need_function(say, where, loaded, "handlers", "refusal", route.refusal)
  if route.internal then
    route.method, route.path = "POST", "/internal/" .. service .. "/" .. tostring(route.handler)
  else
    need(say, where, route, "method", "path", "doc")
    if not METHODS[route.method] then say(where, "method must be one of " .. known_names(METHODS)) end
    if type(route.path) ~= "string" or route.path:sub(1, 1) ~= "/" then return say(where, "path must begin with /") end
    if not route.root then route.path = "/api/v1" .. route.path end
  end
  check_scope(say, where, service, route)
  check_shapes(say, where, route)
  check_params(say, where, route)
  check_idempotency(say, where, route)
end

local function check_events(say, init, loaded)
  for topic, entry in pairs(init.produces or {}) do
    local where = "produces." .. tostring(topic)
    check_fields(say, where, entry, { doc = "string", key = "string", events = "table" })
    for kind, of in pairs(type(entry) == "table" and entry.events or {}) do
      if not shape.is_shape(of) then say(where, tostring(kind) .. " must be a shape") end
      if not tostring(kind):find("%.v%d+$") then say(where, tostring(kind) .. " must end in its version: .v1") end
    end
  end
  for i, entry in ipairs(init.consumes or {}) do
    local where = "consumes " .. i
    check_fields(say, where, entry, CONSUMER)
    need(say, where, entry, "topic", "events")
    for kind, name in pairs(entry.events or {}) do
      need_function(say, where, loaded, "events", tostring(kind), name)
    end
  end
end

local function check_schedules(say, init, loaded)
  for i, entry in ipairs(init.schedules or {}) do
    local where = "schedule " .. i .. " (" .. tostring(entry.name) .. ")"
    check_fields(say, where, entry, SCHEDULE)
    need(say, where, entry, "name", "every_ms", "job", "doc")
    need_function(say, where, loaded, "jobs", "job", entry.job)
    if type(entry.every_ms) == "number" and entry.every_ms < 10 then say(where, "every_ms must be at least 10") end
  end
end

local function load_module(say, service, file, is_needed)
  if not fastr.asset("services/" .. service .. "/" .. file .. ".lua") then
    if is_needed then say("", "there is no scripts/services/" .. service .. "/" .. file .. ".lua") end
    return nil
  end
  local ok, module = pcall(require, "services." .. service .. "." .. file)
  if not ok then return say("", file .. ".lua does not load: " .. tostring(module)) end
  if type(module) ~= "table" then return say("", file .. ".lua must return a table") end
  return module
end

-- Does the bundle have this service?
function M.exists(service)
  return fastr.asset("services/" .. service .. "/init.lua") ~= nil
end

local function copy(list)
  local out = {}
  for i, entry in ipairs(list or {}) do
    out[i] = entry
    if type(entry) == "table" then
      out[i] = {}
      for key, value in pairs(entry) do out[i][key] = value end
    end
  end
  return out
end

-- A copy of the routes with paths made whole; `loaded` nil leaves the functions unchecked.
local function checked_routes(say, service, init, loaded)
  local routes = copy(init.routes)
  for i, route in ipairs(routes) do check_route(say, service, route, i, loaded) end
  return routes
end

-- What a service declares, without loading its code: {name, doc, routes, produces, consumes}. Raises for what is wrong.
function M.data(service)
  local init = require("services." .. service .. ".init")
  local function say(where, text)
    error(string.format("scripts/services/%s/init.lua: %s: %s", service, where, text), 0)
  end
  return { name = service, doc = init.doc, routes = checked_routes(say, service, init, nil),
    produces = init.produces or {}, consumes = init.consumes or {} }
end

-- Reads and checks one service; problems are appended to `errors` as texts with the file first. Returns a table
-- {name, doc, routes (with full paths), produces, consumes, schedules, handlers, events, jobs}, or nil.
function M.read(service, errors)
  local before = #errors
  local function say(where, text)
    errors[#errors + 1] = string.format("scripts/services/%s/init.lua: %s%s", service,
      where ~= "" and where .. ": " or "", text)
  end
  local init = load_module(say, service, "init", true)
  if not init then return nil end
  check_fields(say, "", init, SERVICE)
  need(say, "", init, "name", "doc")
  if init.name ~= service then say("", "name must be \"" .. service .. "\"") end
  local loaded = { handlers = load_module(say, service, "handlers", init.routes ~= nil),
    events = load_module(say, service, "events", init.consumes ~= nil),
    jobs = load_module(say, service, "jobs", init.schedules ~= nil) }
  local routes = checked_routes(say, service, init, loaded)
  check_events(say, init, loaded)
  check_schedules(say, init, loaded)
  if #errors > before then return nil end
  return { name = service, doc = init.doc, routes = routes, produces = init.produces or {},
    consumes = init.consumes or {}, schedules = init.schedules or {}, settings = init.settings or {},
    handlers = loaded.handlers or {}, events = loaded.events or {}, jobs = loaded.jobs or {} }
end

return M
