-- platform.idempotency against the running primary: an action named by a key happens once.

local database = require "platform.db"
local problem = require "lib.problem"
local program = require "spec.support.program"
local shape = require "lib.shape"

local db = database.open("user")
local runs, answer, sagas

local handlers = {
  once = function(ctx)
    runs = runs + 1
    ctx.tx:query("select 1")
    return answer(ctx)
  end,
  prepare = function() return { at = runs } end,
  saga = function(ctx)
    runs = runs + 1
    sagas[#sagas + 1] = ctx.saga
    return answer(ctx)
  end,
  rebuild = function(ctx) return ctx.stored.status, { rebuilt = ctx.saga } end,
}

local function route(path, fields)
  local made = { method = "POST", path = path .. "/{id}", scope = "public", doc = "x", params = { id = shape.text {} },
    body = shape.object { n = shape.integer {} } }
  for key, value in pairs(fields) do made[key] = value end
  return made
end

local send = program.build("user", { routes = {
  route("/once", { handler = "once", idempotency = "transaction", prepare = "prepare" }),
  route("/must", { handler = "once", idempotency = "required_transaction" }),
  route("/saga", { handler = "saga", idempotency = "saga" }),
  route("/card", { handler = "saga", idempotency = "saga", sensitive = true, replay = "rebuild" }),
  { method = "POST", path = "/open", handler = "once", idempotency = "transaction", scope = "public", doc = "x" },
} }, handlers)

local run_id = fastr.crypto.uuid7()

local function post(path, key, n, peer)
  return send("POST", "/api/v1/" .. path .. "/" .. run_id, { body = { n = n or 1 }, peer = peer,
    headers = { ["Idempotency-Key"] = key } })
end

local function row(key)
  return db:latest("select state, body, headers, fingerprint, saga from idempotency_keys where key = $1", key)[1]
end

local key

before_each(function()
  runs, sagas, key = 0, {}, fastr.crypto.uuid7()
  answer = function() return 201, { run = runs }, { ETag = '"1"', ["Fastr-Order"] = "secret" } end
end)

teardown(function()
  db:write("delete from idempotency_keys where endpoint like '%' || $1 or endpoint like '%/open'", run_id)
end)

for _, kind in ipairs { "once", "saga" } do
  describe("a route of idempotency, " .. kind .. ",", function()
    it("runs once for a key, and replays status, body and ETag", function()
      local status, body, headers = post(kind, key)
      assert.same({ 201, 1 }, { status, body.run })
      assert.is_nil(headers["Idempotent-Replayed"])
      status, body, headers = post(kind, key)
      assert.same({ 201, 1, 1 }, { status, body.run, runs })
      assert.same({ "true", '"1"' }, { headers["Idempotent-Replayed"], headers.ETag })
    end)

    it("refuses the key for another body with 422", function()
      post(kind, key)
      local status, body = post(kind, key, 2)
      assert.same({ 422, "idempotency_mismatch", 1 }, { status, body.code, runs })
    end)

    it("stores no refusal, so that the same key may be sent again", function()
      local good = answer
      answer = function() return nil, problem.new("conflict") end
      assert.equal(409, (post(kind, key)))
      assert.is_nil(row(key))
      answer = good
      assert.equal(201, (post(kind, key)))
    end)

    it("runs once for two who send the key at the same time; the second is told 409 or what the first did", function()
      local good = answer
      answer = function(ctx)
        if ctx.tx then ctx.tx:query("select pg_sleep(0.1)") else fastr.time.sleep(100) end
        return good(ctx)
      end
      local results = fastr.all { function() return post(kind, key) end, function() return post(kind, key) end }
      local statuses = { results[1][1], results[2][1] }
      table.sort(statuses)
      assert.equal(1, runs)
      assert.equal(201, statuses[1])
      assert.is_true(statuses[2] == 201 or statuses[2] == 409)
    end)

    it("runs each time without a key", function()
      post(kind, nil)
      post(kind, nil)
      assert.equal(2, runs)
    end)

    it("refuses a key that is too long or not visible", function()
      for _, bad in ipairs { string.rep("k", 256), "a b", "k\195\164" } do
        assert.equal("idempotency_key_invalid", select(2, post(kind, bad)).code)
      end
      assert.equal(0, runs)
    end)

    it("keeps neither credentials nor the body's plain hash", function()
      post(kind, key)
      local kept = row(key)
      assert.is_nil(kept.headers["Fastr-Order"])
      assert.not_equal(fastr.crypto.sha256('{"n":1}'), kept.fingerprint)
      assert.equal(64, #kept.fingerprint)
    end)
  end)
end

describe("a required key", function()
  it("that is missing is asked for by name", function()
    local status, body = post("must", nil)
    assert.same({ 400, "idempotency_key_required" }, { status, body.code })
    assert.truthy(body.detail:find("Idempotency-Key", 1, true))
  end)
end)

describe("a guest without a capability in the path", function()
  it("does not get the reply of another guest with the same key", function()
    local function open(peer)
      local status, body = send("POST", "/api/v1/open", { peer = peer, headers = { ["Idempotency-Key"] = key } })
      assert.equal(201, status)
      return body.run
    end
    assert.equal(1, open "192.0.2.1")
    assert.equal(2, open "192.0.2.2")
    assert.equal(1, open "192.0.2.1")
  end)
end)

describe("a transaction", function()
  it("that raises leaves neither work nor key", function()
    answer = function() error("a bug") end
    assert.has_error(function() post("once", key) end)
    assert.is_nil(row(key))
  end)
end)

describe("a saga", function()
  it("that broke off is run again with the same id", function()
    local good = answer
    answer = function() error("a crash") end
    assert.has_error(function() post("saga", key) end)
    answer = function() return nil, problem.new("unavailable") end
    assert.equal(503, (post("saga", key)))
    answer = good
    assert.equal(201, (post("saga", key)))
    assert.equal(3, #sagas)
    assert.same({ sagas[1], sagas[1] }, { sagas[2], sagas[3] })
  end)

  it("whose lease lasts is 409 with Retry-After, and is taken over when it has ended", function()
    answer = function() error("a crash") end
    assert.has_error(function() post("saga", key) end)
    db:write("update idempotency_keys set lease_until = now() + interval '1 hour' where key = $1", key)
    local status, body, headers = post("saga", key)
    assert.same({ 409, "idempotency_running", "1" }, { status, body.code, headers["Retry-After"] })
    db:write("update idempotency_keys set lease_until = now() - interval '1 second' where key = $1", key)
    answer = function() return 200, { done = true } end
    assert.equal(200, (post("saga", key)))
  end)

  it("of a process of which nothing is known is left to its lease", function()
    answer = function() error("a crash") end
    assert.has_error(function() post("saga", key) end)
    db:write("update idempotency_keys set lease_until = now() + interval '1 hour', worker = $2 where key = $1", key,
      ("0"):rep(32))
    assert.equal("idempotency_running", select(2, post("saga", key)).code)
  end)

  it("whose process has ended is taken over at once, by one of two", function()
    answer = function() error("a crash") end
    assert.has_error(function() post("saga", key) end)
    local life = fastr.crypto.uuid7():gsub("-", "")
    local path = fastr.setting("var") .. "/run/" .. life .. ".life"
    assert(io.open(path, "w")):close() -- as a process leaves it
    finally(function() os.remove(path) end)
    db:write("update idempotency_keys set lease_until = now() + interval '1 hour', worker = $2 where key = $1", key,
      life)
    runs = 0
    answer = function()
      fastr.time.sleep(200)
      return 200, { done = true }
    end
    local results = fastr.all { function() return post("saga", key) end, function() return post("saga", key) end }
    assert.equal(1, runs)
    assert.same(409 + 200, results[1][1] + results[2][1])
    assert.same({ sagas[1] }, { sagas[2] })
  end)

  it("keeps a declined payment: the same key never charges twice", function()
    answer = function() return nil, problem.new("payment_declined") end
    assert.equal(402, (post("saga", key)))
    local status, body = post("saga", key)
    assert.same({ 402, "payment_declined", 1 }, { status, body.code, runs })
  end)

  it("that is sensitive stores no body; its replay function makes the reply anew", function()
    assert.equal(201, (post("card", key)))
    assert.is_nil(row(key).body)
    local status, body = post("card", key)
    assert.same({ 201, sagas[1], 1 }, { status, body.rebuilt, runs })
  end)
end)
