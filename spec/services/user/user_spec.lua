-- user, with auth in the same process, against the running primary.

local program = require "spec.support.program"

local send = program.of { "auth", "user" }
local emails = {}

local function person()
  local email = "spec-" .. fastr.crypto.uuid7() .. "@user.example"
  emails[#emails + 1] = email
  return { email = email, password = "correct horse", name = "Ann" }
end

local function register(body, key)
  return send("POST", "/api/v1/users", { body = body, headers = { ["Idempotency-Key"] = key } })
end

-- Headers of a new, signed-in user.
local function signed_in()
  local body = person()
  assert.equal(201, (register(body)))
  local _, pair = send("POST", "/api/v1/auth/tokens", { body = { email = body.email, password = body.password } })
  return { Authorization = "Bearer " .. pair.access_token }
end

local function with(headers, more)
  local all = {}
  for _, from in ipairs { headers, more } do
    for key, value in pairs(from) do all[key] = value end
  end
  return all
end

local ADDRESS = { name = "Ann", line1 = "1 High St", city = "Leeds", postcode = "LS1 1AA", country = "GB" }

teardown(function()
  local database = require "platform.db"
  for _, email in ipairs(emails) do
    database.open("user"):write("delete from users where email = $1", email)
    database.open("auth"):write("delete from accounts where email = $1", email)
  end
end)

describe("registering", function()
  it("makes a user, who can sign in", function()
    local body = person()
    local status, user, headers = register(body)
    assert.same({ 201, "Ann", body.email }, { status, user.name, user.email })
    assert.equal('"1"', headers.ETag)
    assert.is_nil(user.password)
    status = send("POST", "/api/v1/auth/tokens", { body = { email = body.email, password = body.password } })
    assert.equal(200, status)
  end)

  it("with a key, sent again, answers the same user", function()
    local body, key = person(), fastr.crypto.uuid7()
    local _, user = register(body, key)
    local status, again, headers = register(body, key)
    assert.same({ 201, user.id, "true" }, { status, again.id, headers["Idempotent-Replayed"] })
  end)

  it("stores no password beside the key", function()
    local body, key = person(), fastr.crypto.uuid7()
    register(body, key)
    local row = require("platform.db").open("user"):latest(
      "select row_to_json(k)::text as text from idempotency_keys k where key = $1", key)[1]
    assert.is_nil(row.text:find(body.password, 1, true))
    assert.is_nil(row.text:find(body.email, 1, true))
  end)

  it("a second time is refused, whatever the password", function()
    local body = person()
    register(body)
    for _, password in ipairs { body.password, "another one" } do
      local status, wrong = register { email = body.email:upper(), password = password, name = "Eve" }
      assert.same({ 409, "email_taken" }, { status, wrong.code })
    end
  end)

  it("that broke off after the account is finished by sending it again", function()
    local body = person()
    register(body)
    require("platform.db").open("user"):write("delete from users where email = $1", body.email)
    assert.equal(201, (register(body)))
  end)

  it("by two at once makes one user", function()
    local body = person()
    local results = fastr.all { function() return register(body) end, function() return register(body) end }
    local statuses = { results[1][1], results[2][1] }
    table.sort(statuses)
    assert.same({ 201, 409 }, statuses)
  end)

  it("refuses what is no e-mail, a short password, and more than was asked for", function()
    local _, wrong = register { email = "x", password = "short", name = "", role = "owner" }
    assert.equal("validation", wrong.code)
    assert.equal(4, #wrong.errors)
  end)
end)

describe("a profile", function()
  it("is one's own", function()
    assert.equal(401, (send("GET", "/api/v1/users/me")))
    local status, user = send("GET", "/api/v1/users/me", { headers = signed_in() })
    assert.same({ 200, "Ann" }, { status, user.name })
  end)

  it("changes, with a new version, unless the If-Match is stale", function()
    local headers = signed_in()
    local function rename(name, etag)
      return send("PATCH", "/api/v1/users/me", { headers = with(headers, { ["If-Match"] = etag }),
        body = { name = name } })
    end
    local status, user, reply = rename("Anna", '"1"')
    assert.same({ 200, "Anna", '"2"' }, { status, user.name, reply.ETag })
    status, user = rename("Anne", '"1"')
    assert.same({ 412, "precondition_failed", 2 }, { status, user.code, user.version })
  end)
end)

-- As who sees every commit of the primary reads it.
local function address_book(headers)
  local now = require("platform.db").open("user"):latest("select pg_current_wal_lsn()::text as position")[1]
  local _, list = send("GET", "/api/v1/users/me/addresses",
    { headers = with(headers, { ["Fastr-Session"] = now.position }) })
  return list
end

describe("an address book", function()
  it("keeps addresses; the first is the default until another is", function()
    local headers = signed_in()
    local _, first = send("POST", "/api/v1/users/me/addresses", { headers = headers, body = { address = ADDRESS } })
    local status, second = send("POST", "/api/v1/users/me/addresses", { headers = headers,
      body = { address = ADDRESS, default = true } })
    assert.equal(201, status)
    assert.is_true(first.default)
    local list = address_book(headers)
    assert.equal(2, #list.items)
    assert.same({ first.id, false }, { list.items[1].id, list.items[1].default })
    assert.same({ second.id, true }, { list.items[2].id, list.items[2].default })
  end)

  it("changes and deletes one's own, and nobody else's", function()
    local mine, other = signed_in(), signed_in()
    local _, entry = send("POST", "/api/v1/users/me/addresses", { headers = mine, body = { address = ADDRESS } })
    local path = "/api/v1/users/me/addresses/" .. entry.id
    assert.equal(404, (send("PATCH", path, { headers = other, body = { default = true } })))
    send("DELETE", path, { headers = other })
    local status, changed = send("PATCH", path, { headers = mine,
      body = { address = with(ADDRESS, { city = "York" }) } })
    assert.same({ 200, "York" }, { status, changed.address.city })
    assert.equal(204, (send("DELETE", path, { headers = mine })))
    assert.equal(204, (send("DELETE", path, { headers = mine })))
    assert.equal(0, #address_book(mine).items)
  end)

  it("adds once for a key that is sent again", function()
    local headers = with(signed_in(), { ["Idempotency-Key"] = fastr.crypto.uuid7() })
    local _, first = send("POST", "/api/v1/users/me/addresses", { headers = headers, body = { address = ADDRESS } })
    local _, again = send("POST", "/api/v1/users/me/addresses", { headers = headers, body = { address = ADDRESS } })
    assert.equal(first.id, again.id)
  end)
end)
