-- auth against the running primary: sign-in, rotation, lock-out, roles, and tokens of services.

local keys = require "services.auth.keys"
local passwords = require "services.auth.passwords"
local program = require "spec.support.program"
local session = require "platform.session"
local store = require "services.auth.store"

local send = program.of { "auth" }
local PASSWORD = "correct horse"
local stored = passwords.hash(PASSWORD)
local made = {}

-- A new account; returns its e-mail and id.
local function account(roles)
  local id = fastr.crypto.uuid7()
  local email = "spec-" .. id .. "@auth.example"
  assert(store.add_account(id, email, stored, roles or { "customer" }))
  made[#made + 1] = id
  return email, id
end

local function sign_in(email, password, peer)
  return send("POST", "/api/v1/auth/tokens", { body = { email = email, password = password or PASSWORD },
    peer = peer or "198.51.100." .. math.random(254) })
end

local function refresh(token)
  return send("POST", "/api/v1/auth/tokens", { body = { refresh_token = token } })
end

local function bearer(email)
  local _, pair = sign_in(email)
  return { Authorization = "Bearer " .. pair.access_token }, pair
end

teardown(function()
  local db = require("platform.db").open("auth")
  for _, id in ipairs(made) do db:write("delete from accounts where id = $1", id) end
  db:write("delete from failures where subject like '%@auth.example' or subject like 'address:198.51.100.%'")
end)

describe("signing in", function()
  it("gives an access token that the public keys verify, and a refresh token", function()
    local email, id = account { "customer", "support" }
    local status, pair, headers = sign_in(email:upper())
    assert.equal(200, status)
    assert.equal("no-store", headers["Cache-Control"])
    local claims = assert(fastr.jwt.verify(pair.access_token, { keys = keys.jwks(), iss = session.issuer,
      aud = session.audience }))
    assert.equal(id, claims.sub)
    assert.same({ "customer", "support" }, { claims.roles[1], claims.roles[2] })
    assert.equal(pair.expires_in, claims.exp - claims.iat)
  end)

  it("answers alike for a wrong password and for nobody", function()
    local email = account()
    local status, wrong = sign_in(email, "nonsense")
    local other_status, nobody = sign_in("nobody-" .. email, "nonsense")
    assert.same({ 401, "credentials_wrong" }, { status, wrong.code })
    assert.same({ status, wrong.code, wrong.detail }, { other_status, nobody.code, nobody.detail })
  end)

  it("locks an account after too many failures, with the right password too, and says for how long", function()
    local email = account()
    local limit = tonumber(fastr.setting("auth.failures_per_account", "10"))
    for _ = 1, limit do sign_in(email, "nonsense") end
    local status, body, headers = sign_in(email)
    assert.same({ 429, "account_locked" }, { status, body.code })
    assert.is_true(tonumber(headers["Retry-After"]) >= 1)
  end)

  it("counts from nothing again after a success", function()
    local email = account()
    for _ = 1, 3 do
      for _ = 1, 5 do sign_in(email, "nonsense") end
      assert.equal(200, (sign_in(email)))
    end
  end)

  it("refuses a body that is neither", function()
    assert.equal(422, (send("POST", "/api/v1/auth/tokens", { body = { email = "a@b.example" } })))
    assert.equal(422, (send("POST", "/api/v1/auth/tokens", { body = { refresh_token = "x", password = "y" } })))
  end)
end)

describe("a refresh token", function()
  it("works once, and gives the next pair", function()
    local _, first = sign_in((account()))
    local status, second = refresh(first.refresh_token)
    assert.equal(200, status)
    assert.not_equal(first.refresh_token, second.refresh_token)
    assert.equal(200, (refresh(second.refresh_token)))
  end)

  -- Some time after it was used.
  local function let_it_rest(token)
    require("platform.db").open("auth"):write("update refresh_tokens set used_at = used_at - interval '1 minute'"
      .. " where hash = $1", fastr.crypto.sha256(token))
  end

  it("that is used twice signs the whole session out", function()
    local _, first = sign_in((account()))
    local _, second = refresh(first.refresh_token)
    let_it_rest(first.refresh_token)
    local status, body = refresh(first.refresh_token)
    assert.same({ 401, "refresh_token_reused" }, { status, body.code })
    status, body = refresh(second.refresh_token)
    assert.same({ 401, "refresh_token_invalid" }, { status, body.code })
  end)

  it("used by two tabs at once gives both the same next one, which works", function()
    local _, first = sign_in((account()))
    local results = fastr.all { function() return refresh(first.refresh_token) end,
      function() return refresh(first.refresh_token) end }
    assert.same({ 200, 200 }, { results[1][1], results[2][1] })
    assert.equal(results[1][2].refresh_token, results[2][2].refresh_token)
    assert.equal(200, (refresh(results[1][2].refresh_token)))
  end)

  it("is a thief's where somebody has gone on with the next one already", function()
    local _, first = sign_in((account()))
    local _, second = refresh(first.refresh_token)
    local _, third = refresh(second.refresh_token)
    local status, body = refresh(first.refresh_token)
    assert.same({ 401, "refresh_token_reused" }, { status, body.code })
    assert.equal(401, (refresh(third.refresh_token)))
  end)

  it("carries the roles of now", function()
    local email, id = account()
    local _, first = sign_in(email)
    store.transaction(function(tx) return store.set_roles(tx, id, { "customer", "catalogue" }) end)
    local _, second = refresh(first.refresh_token)
    local claims = fastr.jwt.verify(second.access_token, { keys = keys.jwks(), iss = session.issuer, aud = "shop" })
    assert.equal("catalogue", claims.roles[2])
  end)
end)

describe("signing out", function()
  it("ends this session and leaves the others", function()
    local email = account()
    local headers, mine = bearer(email)
    local _, other = sign_in(email)
    assert.equal(204, (send("DELETE", "/api/v1/auth/tokens", { headers = headers })))
    assert.equal(401, (refresh(mine.refresh_token)))
    assert.equal(200, (refresh(other.refresh_token)))
  end)

  it("everywhere ends all", function()
    local email = account()
    local headers = bearer(email)
    local _, other = sign_in(email)
    assert.equal(204, (send("DELETE", "/api/v1/auth/tokens?everywhere=true", { headers = headers })))
    assert.equal(401, (refresh(other.refresh_token)))
  end)
end)

describe("roles", function()
  it("are read by support and given by owners alone", function()
    local owner, support = bearer((account { "owner" })), bearer((account { "customer", "support" }))
    local email, id = account()
    local path = "/api/v1/auth/accounts/" .. id .. "/roles"
    assert.equal(401, (send("GET", path)))
    assert.equal(403, (send("GET", path, { headers = (bearer(email)) })))
    local _, read = send("GET", path, { headers = support })
    assert.same("customer", read.roles[1])
    assert.equal(403, (send("PUT", path, { headers = support, body = { roles = { "owner" } } })))
    local status, given = send("PUT", path, { headers = owner, body = { roles = { "customer", "operator" } } })
    assert.same({ 200, "operator" }, { status, given.roles[2] })
    assert.equal(422, (send("PUT", path, { headers = owner, body = { roles = { "king" } } })))
    assert.equal(404, (send("PUT", "/api/v1/auth/accounts/" .. fastr.crypto.uuid7() .. "/roles", { headers = owner,
      body = { roles = { "customer" } } })))
  end)
end)

describe("a service token", function()
  local function ask(client, secret, audience)
    return send("POST", "/api/v1/auth/service-tokens", { body = { client_id = client, client_secret = secret,
      audience = audience } })
  end

  it("is for one caller and one audience that it has business with", function()
    local status, reply = ask("user", session.secret("user"), "auth")
    assert.equal(200, status)
    local claims = fastr.jwt.verify(reply.access_token, { keys = keys.jwks(), iss = session.issuer, aud = "auth" })
    assert.same({ "user", "auth:*", "service" }, { claims.sub, claims.scope, claims.kind })
    assert.equal(403, (ask("user", session.secret("user"), "payment")))
  end)

  it("is refused for a wrong secret and an unknown service alike", function()
    local status, wrong = ask("user", "nonsense", "auth")
    local other_status, nobody = ask("nobody", "nonsense", "auth")
    assert.same({ 401, "client_credentials_wrong" }, { status, wrong.code })
    assert.same({ status, wrong.code }, { other_status, nobody.code })
  end)

  it("gives no way to routes of people", function()
    local _, reply = ask("user", session.secret("user"), "auth")
    local headers = { Authorization = "Bearer " .. reply.access_token }
    assert.equal(401, (send("GET", "/api/v1/auth/accounts?email=a@b.example", { headers = headers })))
  end)
end)

describe("passwords", function()
  it("carry their parameters, and fit whatever the setting is now", function()
    assert.truthy(stored:find("^scrypt%$%d+%$8%$1%$"))
    assert.is_true(passwords.fits(PASSWORD, stored))
    assert.is_false(passwords.fits(PASSWORD .. " ", stored))
    assert.is_false(passwords.fits(PASSWORD, nil))
    assert.is_true(passwords.is_weak((stored:gsub("^scrypt%$%d+", "scrypt$1024"))))
  end)
end)

describe("the keys", function()
  it("show their public halves alone", function()
    local _, set = send("GET", "/api/v1/auth/jwks")
    for _, key in ipairs(set.keys) do
      assert.same({ "OKP", "Ed25519" }, { key.kty, key.crv })
      assert.is_nil(key.d)
    end
  end)
end)
