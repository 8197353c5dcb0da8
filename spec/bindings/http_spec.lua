-- fastr.http against a fastr of its own.

local host = require "spec.support.host"
local shell = require "spec.support.shell"

local PROGRAM = [[
local calls = {}
local function count(name) calls[name] = (calls[name] or 0) + 1 return calls[name] end
local function heard(req) return 200, { id = req:header("x-request-id"), trace = req:header("traceparent"),
  deadline = req:header("fastr-deadline-ms"), own = req:header("x-own"), body = req:body(), method = req.method } end
local function flaky(req) return count(req.params.name) == 1 and 503 or 200, { calls = calls[req.params.name] } end
return { consumers = {}, schedules = {}, routes = {
  { method = "GET", path = "/heard", handle = heard }, { method = "POST", path = "/heard", handle = heard },
  { method = "PUT", path = "/heard", handle = heard }, { method = "DELETE", path = "/heard", handle = heard },
  { method = "GET", path = "/big", handle = function() return 200, ("x"):rep(5 * 1024 * 1024) end },
  { method = "GET", path = "/there", handle = function() return 302, nil, { Location = "/heard" } end },
  { method = "GET", path = "/many", handle = function() return 200, "", { ["X-Many"] = { "a", "b" } } end },
  { method = "GET", path = "/flaky/{name}", handle = flaky },
  { method = "POST", path = "/flaky/{name}", handle = flaky },
  { method = "GET", path = "/fail", handle = function() return 502, "" end },
} }]]

describe("http.request", function()
  local h
  setup(function() h = host.start { program = PROGRAM, workers = 1 } end)
  teardown(function() h:stop() end)

  local function request(path, options)
    local all = { url = h.url .. path }
    for name, value in pairs(options or {}) do all[name] = value end
    return fastr.http.request(all)
  end

  local function code_of(...) return (select(3, request(...))) end

  it("returns status, headers with lower-case names, and the body", function()
    local reply = assert(request("/heard", { method = "POST", body = "a\r\nb", headers = { ["x-own"] = "mine" } }))
    local heard = fastr.json.decode(reply.body)
    assert.equal(200, reply.status)
    assert.truthy(reply.headers["content-type"]:find("application/json", 1, true))
    assert.same({ "POST", "mine", "a\r\nb" }, { heard.method, heard.own, heard.body })
    assert.equal(404, request("/none").status)
    assert.equal("a, b", request("/many").headers["x-many"])
  end)

  it("passes on the request's id, its trace and the time that is left", function()
    local heard = fastr.json.decode(request("/heard", { timeout_ms = 1234 }).body)
    assert.equal(fastr.task.id(), heard.id)
    assert.equal(fastr.task.traceparent():sub(4, 35), heard.trace:sub(4, 35))
    assert.equal("1234", heard.deadline)
  end)

  it("sends each method with and without a body", function()
    for _, method in ipairs { "GET", "POST", "PUT", "DELETE" } do
      for _, body in ipairs { "", "text" } do
        local heard = fastr.json.decode(request("/heard", { method = method, body = body ~= "" and body or nil }).body)
        assert.same({ method, body }, { heard.method, heard.body })
      end
    end
    assert.equal("", request("/heard", { method = "HEAD" }).body)
  end)

  it("is over when its time is", function()
    local worker, began = h:pids()[1], fastr.time.unix_ms()
    host.kill(worker, "STOP") -- a server that keeps its deadline would answer in time
    local code = code_of("/heard", { timeout_ms = 100 })
    host.kill(worker, "CONT")
    assert.equal("timeout", code)
    assert.is_true(fastr.time.unix_ms() - began < 1000)
  end)

  it("refuses a reply of more than 4 MiB, and follows no redirect", function()
    assert.equal("invalid", code_of("/big"))
    assert.equal(302, request("/there").status)
  end)

  it("tries again only what may happen twice", function()
    assert.equal(200, request("/flaky/get", { retry = 2 }).status)
    assert.equal(503, request("/flaky/never").status)
    assert.equal(503, request("/flaky/post", { method = "POST", retry = 2 }).status)
    local reply = request("/flaky/key", { method = "POST", retry = 2, headers = { ["Idempotency-Key"] = "k" } })
    assert.equal(200, reply.status)
  end)

  it("serves many tasks at once", function()
    local tasks = {}
    for i = 1, 50 do tasks[i] = function() return request("/heard").status end end
    for _, result in ipairs(fastr.all(tasks)) do assert.equal(200, result[1]) end
  end)

  it("refuses URLs that are not plain http or https", function()
    for _, url in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/", "/path", "http://me:secret@127.0.0.1/",
      "http://127.0.0.1/a b", "gopher://127.0.0.1/" } do
      local reply, message, code = fastr.http.request { url = url }
      assert.is_nil(reply)
      assert.same({ url, "invalid" }, { url, code }, message)
    end
  end)

  it("raises for what would break the message, and for wrong options", function()
    for _, options in ipairs { { headers = { ["x\r\ny"] = "1" } }, { headers = { x = "1\r\ny: 2" } }, { retry = 9 },
      { headers = { ["Content-Length"] = "3" } }, { method = "GE T" }, { timeout_ms = 0 }, { body = 5 },
      { headers = { x = {} } } } do
      assert.has_error(function() request("/heard", options) end)
    end
    assert.has_error(function() fastr.http.request {} end)
  end)

  it("looks names up without holding up other tasks", function()
    assert.equal(200, fastr.http.request { url = "http://localhost:" .. h.port .. "/heard" }.status)
    local reply, message, code = fastr.http.request { url = "http://no-such-host.invalid/", timeout_ms = 2000 }
    assert.is_nil(reply)
    assert.truthy(code == "unavailable" or code == "timeout", message)
  end)

  it("trusts no certificate that nobody vouches for", function()
    local port = host.free_port()
    local pid = tonumber(shell.must(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 1 "
      .. "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 2>/dev/null && { openssl s_server -www -quiet "
      .. "-key key -cert cert -accept 127.0.0.1:%d >/dev/null 2>&1 </dev/null & echo $!; }"):format(h.dir, port)))
    local message = host.eventually("the server answers", function()
      local _, text = fastr.http.request { url = "https://127.0.0.1:" .. port .. "/" }
      return text and text:find("certificate", 1, true) and text
    end)
    host.kill(pid, "TERM")
    assert.truthy(message:find("self%-?.?signed"))
  end)

  it("may not wait inside a transaction", function()
    require("platform.db").open("cart"):transaction(function()
      assert.has_error(function() request("/heard") end)
    end)
  end)
end)

describe("a target that fails", function()
  it("is refused at once after five failures in a row, and tried again after a second", function()
    local h = host.start { program = PROGRAM, workers = 1 }
    local function fail() return fastr.http.request { url = h.url .. "/fail" } end
    for _ = 1, 5 do assert.equal(502, fail().status) end
    local began = fastr.time.unix_ms()
    assert.equal("unavailable", (select(3, fail())))
    assert.is_true(fastr.time.unix_ms() - began < 50)
    host.eventually("the target is tried again", function()
      local reply = fastr.http.request { url = h.url .. "/heard" }
      return reply and reply.status == 200
    end)
    assert.equal(502, fail().status)
    h:stop()
  end)

  it("takes nobody with it that lives behind the same address", function()
    local h = host.start { program = PROGRAM, workers = 1 }
    local function ask(path, target) return fastr.http.request { url = h.url .. path, target = target } end
    for _ = 1, 5 do assert.equal(502, ask("/fail", "auth").status) end
    assert.equal("unavailable", (select(3, ask("/heard", "auth"))))
    assert.equal(200, ask("/heard", "product").status)
    assert.equal(200, ask("/heard").status)
    assert.has_error(function() ask("/heard", 5) end)
    h:stop()
  end)

  it("is unavailable when nobody listens", function()
    local reply, message, code = fastr.http.request { url = "http://127.0.0.1:9/" }
    assert.same({ nil, "unavailable" }, { reply, code }, message)
  end)
end)
