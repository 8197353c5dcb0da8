-- platform.boot: from a declaration to a program that refuses what is malformed before a handler sees it.

local boot = require "platform.boot"
local keys = require "services.auth.keys"
local problem = require "lib.problem"
local program = require "spec.support.program"
local session = require "platform.session"
local shape = require "lib.shape"

local seen

local function route(fields)
  local made = { method = "POST", path = "/things/{id}", handler = "go", scope = "public", doc = "a thing",
    params = { id = shape.text { max = 5 } }, body = shape.object { n = shape.integer { min = 1 } } }
  for key, value in pairs(fields or {}) do made[key] = value end
  return made
end

local CONSTANT = { ["X-Kept"] = "yes", ["Set-Cookie"] = { "a=1", "b=2" } }

local handlers = {
  constant = function()
    fastr.task.set("lsn", "0/ABC")
    return 200, {}, CONSTANT
  end,
  go = function(ctx)
    seen = ctx
    return 200, { n = ctx.body and ctx.body.n or 0 }, { ETag = '"7"' }
  end,
  refuse = function() return nil, problem.new("busy", { retry_after = 3 }) end,
  raise = function() error(problem.new("conflict"), 0) end,
  fail = function() error("a bug") end,
  call = function(ctx)
    local reply, wrong = fastr.call("user", "echo", { n = ctx.query.n })
    return reply and 200 or nil, reply or wrong
  end,
  send_function = function()
    local reply, wrong = fastr.call("user", "echo", { n = 1, deep = { 2, print } })
    return reply and 200 or nil, reply or wrong
  end,
  answer_function = function() return 200, { print } end,
  nothing = function() end,
  page_of = function(_, wrong) return wrong.status, "<p>" .. wrong.code .. "</p>" end,
  call_broken = function()
    local reply, wrong = fastr.call("user", "answer_function", {})
    return reply and 200 or nil, reply or wrong
  end,
  echo = function(ctx) return 200, { n = ctx.body.n, who = ctx.principal.id, kind = ctx.principal.kind } end,
}

local send, built = program.build("user", { routes = {
  route(),
  { method = "GET", path = "/things", handler = "go", scope = "public", doc = "x",
    query = { n = shape.optional(shape.integer {}) } },
  { method = "GET", path = "/mine", handler = "go", scope = "self:read", doc = "x" },
  { method = "GET", path = "/constant", handler = "constant", scope = "public", doc = "x" },
  { method = "GET", path = "/refuse", handler = "refuse", scope = "public", doc = "x" },
  { method = "GET", path = "/raise", handler = "raise", scope = "public", doc = "x" },
  { method = "GET", path = "/fail", handler = "fail", scope = "public", doc = "x" },
  { method = "GET", path = "/nothing", handler = "nothing", scope = "public", doc = "x" },
  { method = "GET", path = "/call", handler = "call", scope = "public", doc = "x",
    query = { n = shape.integer {} } },
  { method = "POST", path = "/page", root = true, form = true, refusal = "page_of", handler = "go", scope = "public",
    doc = "x", body = shape.object { n = shape.integer {}, text = shape.optional(shape.text { max = 9 }) } },
  { method = "GET", path = "/page", root = true, refusal = "page_of", handler = "fail", scope = "public", doc = "x" },
  { method = "GET", path = "/send-function", handler = "send_function", scope = "public", doc = "x" },
  { method = "GET", path = "/call-broken", handler = "call_broken", scope = "public", doc = "x" },
  { internal = true, handler = "answer_function", scope = "user:answer_function", body = shape.object {} },
  { internal = true, handler = "echo", scope = "user:echo", body = shape.object { n = shape.integer { max = 9 } } },
} }, handlers)

local function token(claims, seconds)
  return "Bearer " .. keys.sign(claims, seconds or 60)
end

local function customer(seconds)
  return token({ aud = session.audience, sub = "someone", roles = { "customer" } }, seconds)
end

describe("a request", function()
  before_each(function() seen = nil end)

  it("reaches the handler checked and decoded", function()
    local status, body = send("POST", "/api/v1/things/a", { body = { n = 2 } })
    assert.equal(200, status)
    assert.equal(2, body.n)
    assert.equal("a", seen.params.id)
    assert.equal("guest", seen.principal.kind)
  end)

  local J = { ["Content-Type"] = "application/json" }
  local refused = {
    { 400, "body_not_json", { text = '{"n":', headers = J } },
    { 400, "body_missing", { headers = J } },
    { 415, "unsupported_media_type", { text = "n=1", headers = { ["Content-Type"] = "text/plain" } } },
    { 422, "validation", { text = '{"n":0}', headers = J } },
    { 422, "validation", { text = '{"n":1,"x":2}', headers = J } },
    { 422, "validation", { text = "[]", headers = J } },
    { 401, "token_invalid", { body = { n = 1 }, headers = { Authorization = "Bearer forged" } } },
    { 401, "token_invalid", { body = { n = 1 }, headers = { Authorization = "Basic eDp5" } } },
    { 401, "token_invalid", { body = { n = 1 }, headers = {
      Authorization = token { aud = "user", sub = "x", roles = {} } } } },
    { 401, "token_expired", { body = { n = 1 }, headers = { Authorization = customer(-3600) } } },
  }
  for _, case in ipairs(refused) do
    it("is answered " .. case[1] .. " " .. case[2] .. " without its handler", function()
      local status, body, headers = send("POST", "/api/v1/things/a", case[3])
      assert.equal(case[2], body.code)
      assert.equal(case[1], status)
      assert.equal("application/problem+json", headers["Content-Type"])
      assert.is_nil(seen)
    end)
  end

  it("hears every error with its place", function()
    local _, body = send("POST", "/api/v1/things/a", { body = { n = 0, x = 1 } })
    assert.same({ "n", "x" }, { body.errors[1].path, body.errors[2].path })
    _, body = send("POST", "/api/v1/things/toolong", { body = { n = 1 } })
    assert.same({ "path", "id" }, { body.errors[1]["in"], body.errors[1].path })
    _, body = send("GET", "/api/v1/things?n=1.5")
    assert.same({ "query", "n" }, { body.errors[1]["in"], body.errors[1].path })
    _, body = send("GET", "/api/v1/things?m=1")
    assert.equal("m", body.errors[1].path)
  end)

  it("needs the scope of its route", function()
    local status, body = send("GET", "/api/v1/mine")
    assert.same({ 401, "unauthenticated" }, { status, body.code })
    assert.equal(200, (send("GET", "/api/v1/mine", { headers = { Authorization = customer() } })))
    local staff = token { aud = session.audience, sub = "x", kind = "service", scope = "catalog:read" }
    status = send("GET", "/api/v1/mine", { headers = { Authorization = staff } })
    assert.equal(403, status)
  end)

  it("is found out in no time, whatever the cookies look like", function()
    local before = os.clock()
    for _, cookies in ipairs { ("a"):rep(8000), ("a;"):rep(4000), (" "):rep(8000), (";="):rep(4000) } do
      assert.equal(200, (send("GET", "/api/v1/things", { headers = { Cookie = cookies } })))
    end
    assert.truthy(os.clock() - before < 0.2)
  end)

  it("of a form has its fields, as its shape wants them", function()
    local function post(text, kind)
      return send("POST", "/page", { text = text, headers = { ["Content-Type"] = kind
        or "application/x-www-form-urlencoded; charset=UTF-8" } })
    end
    assert.equal(200, (post "n=1&n=7&text=a+b%26%3D"))
    assert.same({ n = 7, text = "a b&=" }, seen.body)
    for _, text in ipairs { "n=x", "", "n=1&more=2", "n=1&text=1234567890", "%=&&&==" } do
      assert.equal("<p>validation</p>", select(2, post(text)))
    end
    assert.equal("<p>unsupported_media_type</p>", select(2, post("{}", "application/json")))
  end)

  it("of a page is refused by a page, also where the handler has a bug", function()
    local status, page = send("GET", "/page")
    assert.same({ 500, "<p>internal</p>" }, { status, page })
  end)

  it("cannot use a cookie of ours from another site", function()
    local cookie = "fastr_token=" .. customer():sub(8)
    local function principal(headers)
      headers.Cookie = cookie
      send("POST", "/api/v1/things/a", { body = { n = 1 }, headers = headers })
      return seen.principal.kind
    end
    assert.equal("customer", principal { ["Sec-Fetch-Site"] = "same-origin" })
    assert.equal("guest", principal { ["Sec-Fetch-Site"] = "cross-site" })
    assert.equal("guest", principal { Origin = "http://localhost:5173" })
  end)

  it("of an internal route is for services with a token for this one", function()
    local function status_with(authorization)
      return (send("POST", "/internal/user/echo", { body = { n = 1 }, headers = { Authorization = authorization } }))
    end
    assert.equal(401, (send("POST", "/internal/user/echo", { body = { n = 1 } })))
    assert.equal(401, status_with(customer()))
    assert.equal(401, status_with(token { kind = "service", aud = "cart", sub = "order", scope = "cart:*" }))
    assert.equal(200, status_with(token { kind = "service", aud = "user", sub = "order", scope = "user:*" }))
  end)
end)

describe("a reply", function()
  it("is 304 for who has it", function()
    local status, body = send("GET", "/api/v1/things", { headers = { ["If-None-Match"] = 'W/"7", "8"' } })
    assert.same({ 304 }, { status, body })
  end)

  it("is a problem document for a problem, returned or raised, with Retry-After", function()
    local status, body, headers = send("GET", "/api/v1/refuse")
    assert.same({ 503, "busy", "3" }, { status, body.code, headers["Retry-After"] })
    assert.equal(409, (send("GET", "/api/v1/raise")))
  end)

  it("is a 504 for whatever comes of a handler past its deadline, and a bug's 500 before it", function()
    local ms_left = fastr.task.ms_left
    local function left(ms) rawset(fastr.task, "ms_left", function() return ms end) end
    finally(function() rawset(fastr.task, "ms_left", ms_left) end)
    for _, path in ipairs { "/api/v1/fail", "/api/v1/nothing" } do
      left(1)
      assert.has_error(function() send("GET", path) end)
      left(0)
      local status, body = send("GET", path)
      assert.same({ 504, "timeout" }, { status, body.code })
    end
  end)

  it("adds its own headers to a copy of the handler's, which may be a constant", function()
    for _ = 1, 3 do
      local _, _, headers = send("GET", "/api/v1/constant")
      assert.same({ "yes", 3 }, { headers["X-Kept"], #headers["Set-Cookie"] })
    end
    assert.same({ ["X-Kept"] = "yes", ["Set-Cookie"] = { "a=1", "b=2" } }, CONSTANT)
  end)

  it("sets cookies that scripts do not see, over TLS only where the shop is reached so", function()
    local setting = fastr.setting
    finally(function() rawset(fastr, "setting", setting) end)
    for url, expected in pairs { ["http://shop.example"] = "a=b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
      ["https://shop.example"] = "__Host-a=b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure" } do
      rawset(fastr, "setting", function(name, otherwise)
        return name == "public_url" and url or setting(name, otherwise)
      end)
      assert.equal(expected, session.cookie_text("a", "b", "/", 60))
    end
  end)

  it("of a route that is not everybody's is kept by no cache", function()
    local _, _, headers = send("GET", "/api/v1/mine")
    assert.equal("no-store", headers["Cache-Control"])
    _, _, headers = send("GET", "/api/v1/things")
    assert.is_nil(headers["Cache-Control"])
  end)

  it("is left to the runtime where a handler has a bug", function()
    assert.has_error(function() send("GET", "/api/v1/fail") end)
  end)
end)

describe("fastr.call", function()
  local fetch = session.service_token

  before_each(function()
    session.service_token = function(caller, target)
      return keys.sign({ kind = "service", aud = target, sub = caller, scope = target .. ":*" }, 60)
    end
  end)
  after_each(function() session.service_token = fetch end)

  describe("in one process", function()
    it("passes the same authentication and checks as by HTTP", function()
      local _, body = send("GET", "/api/v1/call?n=3")
      assert.same({ n = 3, who = "user", kind = "service" }, body)
      local status, wrong = send("GET", "/api/v1/call?n=10")
      assert.same({ 422, "validation" }, { status, wrong.code })
    end)
  end)

  describe("with what JSON has no form for", function()
    it("raises and says where it is in the body, and sends nothing", function()
      local ok, message = pcall(send, "GET", "/api/v1/send-function")
      assert.is_false(ok)
      assert.truthy(message:find("fastr.call(user, echo): the body has no JSON form: ", 1, true), message)
      assert.truthy(message:find("function", 1, true), message)
    end)

    it("answers 500 for a reply of that kind, as by HTTP", function()
      local status, body = send("GET", "/api/v1/call-broken")
      assert.same({ 500, "internal" }, { status, body.code })
    end)
  end)
end)

describe("a declaration", function()
  local function refused(fields)
    local ok, message = pcall(program.build, "user", { routes = { route(fields) } }, handlers)
    assert.is_false(ok)
    return message
  end

  it("that cannot work is named by file, route and field", function()
    local cases = {
      { { scope = "nobody:knows" }, 'scope "nobody:knows" is granted by no role' },
      { { handler = "nowhere" }, 'handler = "nowhere": handlers.lua has no such function' },
      { { params = {} }, "params has no shape for {id}" },
      { { idempotency = "always" }, 'idempotency = "always"' },
      { { colour = "red" }, "field colour is not known here" },
      { { body = "text" }, "field body must be a table, not a string" },
      { { method = "FETCH" }, "method must be one of" },
    }
    for _, case in ipairs(cases) do
      local message = refused(case[1])
      assert.truthy(message:find("scripts/services/user/init.lua: route 1 (", 1, true), message)
      assert.truthy(message:find(case[2], 1, true), message)
    end
  end)

  it("without a scope does not load", function()
    local init = { routes = { route() } }
    init.routes[1].scope = nil
    local ok, message = pcall(program.build, "user", init, handlers)
    assert.is_false(ok)
    assert.truthy(message:find("field scope is missing", 1, true))
  end)

  it("of two routes at one place does not load", function()
    local twice = { route(), route { path = "/things/{other}", params = { other = shape.text {} } } }
    local ok, message = pcall(program.build, "user", { routes = twice }, handlers)
    assert.is_false(ok)
    assert.truthy(message:find("is declared by user too", 1, true))
  end)

  it("of every service of the house loads", function()
    assert.is_true(#boot.services(boot.names()) > 0)
    assert.is_true(#built.routes > 0)
  end)
end)
