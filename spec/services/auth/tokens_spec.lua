-- Tokens as the other services see them: which are refused and how that is said, and what goes on while auth is away.

local access = require "platform.access"
local keys = require "services.auth.keys"
local problem = require "lib.problem"
local program = require "spec.support.program"
local session = require "platform.session"

local send = program.of { "user", "product", "cart", "order" }

local function claims(more)
  local now = math.floor(fastr.time.unix_ms() / 1000)
  local all = { iss = session.issuer, aud = session.audience, sub = fastr.crypto.uuid7(), jti = fastr.crypto.uuid7(),
    iat = now, exp = now + 600, roles = fastr.json.array { "customer" } }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function orders(token, path)
  return send("GET", path or "/api/v1/orders", { headers = { Authorization = "Bearer " .. token } })
end

local function refused(token, path)
  local status, wrong, headers = orders(token, path)
  assert.equal('Bearer realm="shop"', headers["WWW-Authenticate"])
  return { status, wrong.code }
end

-- Our own newest key, to sign what auth never would.
local function signed(more)
  local pair = assert(fastr.json.decode(fastr.file.read("secrets/auth_keys"))).keys[1]
  return fastr.jwt.sign(claims(more), { alg = "EdDSA", kid = pair.kid, key = pair.private })
end

local function forged(alg, kid)
  local pair = fastr.crypto.keypair(alg == "ES256" and "es256" or "ed25519")
  return fastr.jwt.sign(claims(), { alg = alg, kid = kid, key = pair.private })
end

local function with_payload(token, payload)
  local head, _, signature = token:match("^([^.]*)%.([^.]*)%.([^.]*)$")
  return head .. "." .. fastr.crypto.base64url(fastr.json.encode(payload)) .. "." .. signature
end

describe("an access token", function()
  it("of ours is good, and carries its roles", function()
    local status, page = orders(signed())
    assert.same({ 200, 0 }, { status, #page.items })
    assert.equal(403, (send("PUT", "/api/v1/products/SPEC", { headers = { Authorization = "Bearer " .. signed() },
      body = { name = "x", categories = fastr.json.array {}, price = { amount = 1, currency = "GBP" } } })))
  end)

  it("that has expired says so", function()
    local now = math.floor(fastr.time.unix_ms() / 1000)
    assert.same({ 401, "token_expired" }, refused(signed { iat = now - 700, exp = now - 100 }))
  end)

  it("that is forged, altered, not yet valid, or for somebody else is not valid", function()
    local known, kid = signed(), assert(fastr.json.decode(fastr.file.read("secrets/auth_keys"))).keys[1].kid
    local invalid = { 401, "token_invalid" }
    assert.same(invalid, refused(forged("EdDSA", kid)))
    assert.same(invalid, refused(forged("EdDSA", "nobody's")))
    assert.same(invalid, refused(forged("ES256", kid)))
    assert.same(invalid, refused(with_payload(known, claims { roles = fastr.json.array { "owner" } })))
    assert.same(invalid, refused(signed { aud = "cart" }))
    assert.same(invalid, refused(signed { iss = "somebody" }))
    assert.same(invalid, refused(signed { nbf = math.floor(fastr.time.unix_ms() / 1000) + 600 }))
    local none = fastr.crypto.base64url('{"alg":"none"}') .. "." .. fastr.crypto.base64url(fastr.json.encode(claims()))
    for _, text in ipairs { none .. ".", none, "x", "a.b.c", ("x"):rep(9000) } do
      assert.same(invalid, refused(text))
    end
    local status, wrong = send("GET", "/api/v1/orders", { headers = { Authorization = "Basic dXNlcjpwYXNz" } })
    assert.same(invalid, { status, wrong.code })
  end)

  it("of a person opens no internal route, and a service's none of people", function()
    local status, wrong = send("POST", "/internal/order/of_cart", { body = { cart = "x" },
      headers = { Authorization = "Bearer " .. signed { roles = fastr.json.array { "owner" } } } })
    assert.same({ 401, "token_invalid" }, { status, wrong.code })
    local service = keys.sign({ kind = "service", sub = "cart", aud = "order", scope = "order:*" }, 60)
    assert.same({ 401, "token_invalid" }, refused(service))
    status = send("POST", "/internal/order/of_cart", { body = { cart = "x" }, headers = {
      Authorization = "Bearer " .. service } })
    assert.equal(200, status)
    assert.equal(401, (send("POST", "/internal/order/of_cart", { body = { cart = "x" } })))
  end)
end)

describe("with auth away", function()
  local ask = session.ask_auth

  before_each(function()
    for _, entry in ipairs(session.schedules { "user", "product", "cart", "order" }) do entry.handle() end
    session.ask_auth = function() return nil, problem.new("unavailable") end
  end)
  after_each(function() session.ask_auth = ask end)

  it("who is signed in goes on, and the services call each other", function()
    local mine = { Authorization = "Bearer " .. signed() }
    assert.equal(200, (send("GET", "/api/v1/orders", { headers = mine })))
    local status, cart = send("POST", "/api/v1/carts", { headers = mine })
    assert.equal(201, status)
    assert.equal(200, (send("POST", "/api/v1/carts/" .. cart.id .. "/lines", { headers = mine,
      body = { sku = "84077", quantity = 1 } })))
    require("platform.db").open("cart"):write("delete from carts where id = $1", cart.id)
  end)

  it("every service has a token for each that it may call, good for more than ten minutes", function()
    for _, caller in ipairs { "user", "product", "cart", "order" } do
      for _, target in ipairs(access.callees(caller)) do
        local entry = fastr.json.decode(fastr.file.read("run/token_" .. caller .. "_" .. target .. ".json"))
        assert.is_true(entry.expires - fastr.time.unix_ms() / 1000 > 600, caller .. " to " .. target)
      end
    end
  end)
end)
