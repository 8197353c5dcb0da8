-- program: a service made up by a spec, built by platform.boot as any other, and called without a socket.
--
--   local demo = program.build("user", { routes = {...} }, { handler = function(ctx) ... end })
--   local status, body, headers = demo("POST", "/api/v1/things", { body = {...}, headers = {...} })
--
-- The name is that of a real service, so that its schema is there; its own files are put aside meanwhile.

local url = require "lib.url"

local M = {}

local asset = fastr.asset

local function put_aside(name)
  for _, file in ipairs { "init", "handlers", "events", "jobs" } do
    package.loaded["services." .. name .. "." .. file] = nil
    package.preload["services." .. name .. "." .. file] = nil
  end
end

-- A request with the face of the runtime's.
function M.request(method, target, options)
  local path, query = url.split(target)
  local headers = {}
  for key, value in pairs(options.headers or {}) do headers[key:lower()] = value end
  local text = options.text or (options.body ~= nil and fastr.json.encode(options.body)) or ""
  if text ~= "" and not headers["content-type"] then headers["content-type"] = "application/json" end
  return { method = method, path = path, query = query, params = {}, id = "spec", peer = options.peer or "192.0.2.1",
    header = function(_, name) return headers[name] end, body = function() return text end }
end

local function match(route, path)
  local names = {}
  local pattern = route.path:gsub("%-", "%%-"):gsub("{([^}]*)}", function(name)
    names[#names + 1] = name
    return "([^/]+)"
  end)
  local found = { path:match("^" .. pattern .. "$") }
  if not found[1] then return nil end
  local params = {}
  for i, name in ipairs(names) do params[name] = url.decode(found[i]) end
  return params
end

local function send(built, method, target, options)
  local req = M.request(method, target, options or {})
  for _, route in ipairs(built.routes) do
    local params = route.method == method and match(route, req.path)
    if params then
      req.params = params
      fastr.task.set("lsn", nil)
      fastr.task.set("lsn_sent", nil)
      local status, body, headers = route.handle(req)
      if type(body) == "table" then body = fastr.json.decode(fastr.json.encode(body)) end
      if type(body) == "string" then body = fastr.json.decode(body) or body end
      return status, body, headers or {}
    end
  end
  error("no route " .. method .. " " .. target)
end

-- The program of real services, called in the same way.
function M.of(names)
  local built = require("platform.boot").program(names)
  return function(...) return send(built, ...) end
end

-- Builds the program of the one service `name`. Returns a function(method, target, {headers, body, text, peer}), and
-- the program.
function M.build(name, init, handlers, more)
  put_aside(name)
  more = more or {}
  init.name, init.doc = name, init.doc or "made up"
  local files = { init = init, handlers = handlers, events = more.events, jobs = more.jobs }
  for file, module in pairs(files) do
    package.preload["services." .. name .. "." .. file] = function() return module end
  end
  fastr.asset = function(path)
    local file = path:match("^services/" .. name .. "/(%w+)%.lua$")
    if file then return files[file] and "" or nil end
    return asset(path)
  end
  local ok, built = pcall(require("platform.boot").program, { name })
  fastr.asset = asset
  put_aside(name)
  if not ok then error(built, 0) end
  return function(...) return send(built, ...) end, built
end

return M
