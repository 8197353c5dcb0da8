-- platform.openapi: the document says what the program checks.

local boot = require "platform.boot"
local declaration = require "platform.declaration"
local openapi = require "platform.openapi"
local problem = require "lib.problem"
local program = require "spec.support.program"

local document = fastr.json.decode(openapi.text(boot.names()))

-- Calls visit(path, method, operation, route) for each public route of the house.
local function each(visit)
  for _, name in ipairs(boot.names()) do
    for _, route in ipairs(declaration.data(name).routes) do
      if not route.internal and not route.root then
        visit(route.path, route.method, (document.paths[route.path] or {})[route.method:lower()], route)
      end
    end
  end
end

describe("the OpenAPI document", function()
  it("has every public route with its doc, scope and key, and no internal one", function()
    assert.equal("3.1.0", document.openapi)
    each(function(path, method, operation, route)
      assert.is_table(operation, method .. " " .. path)
      assert.equal(route.doc, operation.summary)
      assert.equal(route.scope, operation["x-scope"])
      local has_key = false
      for _, parameter in ipairs(operation.parameters) do has_key = has_key or parameter.name == "Idempotency-Key" end
      assert.equal(route.idempotency ~= nil, has_key, method .. " " .. path)
    end)
    for path in pairs(document.paths) do assert.is_nil(path:find("^/internal")) end
  end)

  it("has each operationId once, and refers to nothing that is missing", function()
    local seen = {}
    each(function(_, _, operation)
      assert.is_nil(seen[operation.operationId], operation.operationId)
      seen[operation.operationId] = true
    end)
    for name in openapi.text(boot.names()):gmatch('"#/components/schemas/([^"]+)"') do
      assert.is_table(document.components.schemas[name], name)
    end
  end)

  it("is the same text each time", function()
    assert.equal(openapi.text(boot.names()), openapi.text(boot.names()))
  end)

  it("is served, with a page that needs no other host", function()
    local send = program.of { "auth" }
    local status, served = send("GET", "/openapi.json")
    assert.equal(200, status)
    assert.same(document.info, served.info)
    local page, headers
    status, page, headers = send("GET", "/docs")
    assert.equal(200, status)
    assert.truthy(headers["Content-Security-Policy"]:find("default-src 'none'", 1, true))
    assert.is_nil(page:find("https?://"))
    assert.is_nil(page:find("<script>", 1, true))
    for _, path in ipairs { "/docs/page.js", "/docs/page.css", "/docs/problems" } do
      assert.equal(200, (send("GET", path)))
    end
  end)

  it("leads from the type of each problem to its entry", function()
    local _, page, headers = program.of { "auth" }("GET", "/docs/problems")
    assert.equal("text/html; charset=utf-8", headers["Content-Type"])
    for _, entry in ipairs(problem.codes()) do
      local path, anchor = problem.new(entry.code).type:match("^(/docs/problems)#([%w_]+)$")
      assert.equal("/docs/problems", path)
      assert.truthy(page:find('<h2 id="' .. anchor .. '">', 1, true), anchor)
    end
    assert.is_nil(page:find("<script", 1, true))
  end)
end)
