-- openapi: the OpenAPI 3.1 document of the public API, out of what the services declare; needs no server.
-- Served at /openapi.json by every process, with a page that browses it at /docs. Leans on platform/declaration.

local json = fastr.json
local access = require "platform.access"
local declaration = require "platform.declaration"
local problem = require "lib.problem"
local shape = require "lib.shape"
local sorted = require "lib.sorted"
local template = require "lib.template"

local M = {}

local PROBLEM = { type = "object", required = json.array { "type", "title", "status", "code" }, properties = {
  type = { type = "string", description = "where the code is explained" },
  title = { type = "string" },
  status = { type = "integer" },
  code = { type = "string", description = "stable; what programs look at" },
  detail = { type = "string", description = "this case, for people" },
  request_id = { type = "string" },
  errors = { type = "array", items = { type = "object", properties = {
    ["in"] = { type = "string" }, path = { type = "string" }, problem = { type = "string" } } } },
} }

local function schema_of(of, defs)
  return { content = { ["application/json"] = { schema = shape.openapi(of, defs) } } }
end

local function parameters_of(object, place, defs, list)
  for _, name in ipairs(sorted.keys(object and object.fields or {})) do
    local field = object.fields[name]
    list[#list + 1] = { name = name, ["in"] = place, required = place == "path" or not field.is_optional,
      description = field.doc, schema = shape.openapi(field, defs) }
  end
end

local function header_parameters(names, list)
  for _, name in ipairs(names or {}) do
    list[#list + 1] = { name = name, ["in"] = "header", required = false, description = declaration.HEADERS[name],
      schema = { type = "string" } }
  end
end

local function key_parameter(route)
  return { name = "Idempotency-Key", ["in"] = "header", required = route.idempotency:find("^required_") ~= nil,
    description = "names this action: a new UUID for each, the same when it is retried",
    schema = { type = "string", minLength = 1, maxLength = 255, pattern = "^[!-~]+$" } }
end

local DESCRIPTIONS = { [200] = "done", [201] = "created", [202] = "accepted; the outcome follows", [204] = "done",
  [402] = "declined" }

local function problem_reply(status)
  return { description = status, content = { ["application/problem+json"] = {
    schema = { ["$ref"] = "#/components/schemas/Problem" } } } }
end

local function reply_of(status, of, defs)
  if status == 204 then return { description = DESCRIPTIONS[204] } end
  local description = of.doc or DESCRIPTIONS[status] or "the reply"
  if status >= 400 then return problem_reply(description) end
  local reply = schema_of(of, defs)
  reply.description = description
  return reply
end

local EVENTS = { description = "server-sent events, as they happen", content = { ["text/event-stream"] = {
  schema = { type = "string" } } } }

local function replies_of(route, defs)
  local replies = { default = problem_reply("a problem document; /docs/problems lists the codes") }
  for status, of in pairs(route.replies or {}) do replies[tostring(status)] = reply_of(status, of, defs) end
  if not route.replies then replies["200"] = route.stream and EVENTS or { description = "done" } end
  return replies
end

local function security_of(route)
  local bearer = { bearer = json.array {} }
  if route.scope == "public" then return json.array { {}, bearer } end
  if access.covers(access.guest_scopes(), route.scope) then return json.array { bearer, {} } end
  return json.array { bearer }
end

local function operation_of(service, route, defs)
  local parameters = json.array {}
  parameters_of(route.params, "path", defs, parameters)
  parameters_of(route.query, "query", defs, parameters)
  header_parameters(route.headers, parameters)
  if route.idempotency then parameters[#parameters + 1] = key_parameter(route) end
  local operation = { summary = route.doc, operationId = service.name .. "_" .. route.handler, tags = { service.name },
    parameters = parameters, responses = replies_of(route, defs), security = security_of(route),
    ["x-scope"] = route.scope, ["x-idempotency"] = route.idempotency, ["x-sensitive"] = route.sensitive }
  if route.body then
    operation.requestBody = schema_of(route.body, defs)
    operation.requestBody.required = not route.body.is_optional
  end
  return operation
end

local function paths_of(services, defs)
  local paths = {}
  for _, service in ipairs(services) do
    for _, route in ipairs(service.routes) do
      if not route.internal and not route.root then
        paths[route.path] = paths[route.path] or {}
        paths[route.path][route.method:lower()] = operation_of(service, route, defs)
      end
    end
  end
  return paths
end

-- The document, as a table, of the named services (all: platform.boot's names()).
function M.document(names)
  local services, defs, tags = {}, { Problem = PROBLEM }, {}
  for i, name in ipairs(names) do
    services[i] = declaration.data(name)
    tags[i] = { name = name, description = services[i].doc }
  end
  return {
    openapi = "3.1.0",
    info = { title = "fastr shop", version = "1", description = "Errors are RFC 9457 problem documents with a stable "
      .. "code. Money is {amount, currency} in minor units. Times are RFC 3339 in UTC. Lists use cursors. "
      .. "What has a version carries it as ETag." },
    servers = { { url = "/" } },
    tags = tags,
    paths = paths_of(services, defs),
    components = { schemas = defs, securitySchemes = {
      bearer = { type = "http", scheme = "bearer", bearerFormat = "JWT" } } },
  }
end

-- The document as JSON text with sorted keys: the same text for the same declarations.
function M.text(names)
  return json.canonical(M.document(names))
end

-- `fastr openapi` prints the document, `fastr openapi --problems` the text of docs/problems.md.
function M.main(arguments)
  if arguments[1] == "--problems" then
    io.write(problem.markdown())
  else
    io.write(M.text(require("platform.boot").names()), "\n")
  end
  return true
end

-- ---- routes --------------------------------------------------------------------------------------------------------

local FILES = { ["/docs"] = { "docs.html", "text/html; charset=utf-8" },
  ["/docs/page.js"] = { "docs.js", "text/javascript; charset=utf-8" },
  ["/docs/page.css"] = { "docs.css", "text/css; charset=utf-8" } }

local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
  .. "form-action 'none'; frame-ancestors 'none'"

local function page(text, content_type)
  return 200, text, { ["Content-Type"] = content_type, ["Content-Security-Policy"] = POLICY,
    ["Cache-Control"] = "max-age=300", ["X-Content-Type-Options"] = "nosniff" }
end

local function file_route(path, name, content_type)
  local text = fastr.asset("platform/" .. name) or error("scripts/platform/" .. name .. " is missing", 0)
  return { method = "GET", path = path, handle = function() return page(text, content_type) end }
end

-- Where the `type` of a problem leads: an entry for each code, with its name as the anchor.
local function problems_page()
  local out = { '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    "<title>fastr shop: problems</title>",
    '<link rel="stylesheet" href="/docs/page.css">\n</head>\n<body>\n<h1>Problems</h1>',
    "<p>Every error is a problem document (RFC 9457) with a stable <code>code</code>.</p>" }
  for _, entry in ipairs(problem.codes()) do
    out[#out + 1] = ('<h2 id="%s">%s</h2>\n<p>%d. %s. %s</p>'):format(entry.code, entry.code, entry.status,
      template.html(entry.title), template.html(entry.cure))
  end
  out[#out + 1] = "</body>\n</html>\n"
  return page(table.concat(out, "\n"), "text/html; charset=utf-8")
end

-- The routes that boot adds to every program; `names` are those of all services.
function M.routes(names)
  local text
  local routes = { { method = "GET", path = "/openapi.json", handle = function()
    text = text or M.text(names)
    return 200, text, { ["Content-Type"] = "application/json" }
  end }, { method = "GET", path = "/docs/problems", handle = problems_page } }
  for path, file in pairs(FILES) do routes[#routes + 1] = file_route(path, file[1], file[2]) end
  return routes
end

return M
