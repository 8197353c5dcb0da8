-- fastr.jwt: what a token must be to be believed.
local crypto, json, jwt, time = fastr.crypto, fastr.json, fastr.jwt, fastr.time

local ed, ec, stranger = crypto.keypair "ed25519", crypto.keypair "es256", crypto.keypair "ed25519"
local set = { keys = { jwt.jwk(ed.public, "ed-1"), jwt.jwk(ec.public, "ec-1") } }
local expected = { keys = set, iss = "auth", aud = "shop" }

local function now() return math.floor(time.unix_ms() / 1000) end

local function claims(changes)
  local all = { iss = "auth", aud = "shop", sub = "u1", exp = now() + 60, jti = crypto.uuid7() }
  for name, value in pairs(changes or {}) do all[name] = value end
  return all
end

local function sign(changes, options)
  return assert(jwt.sign(claims(changes), options or { alg = "EdDSA", kid = "ed-1", key = ed.private }))
end

-- A token of any header and claims (texts or tables), rightly signed with the Ed25519 key.
local function forge(header, body, private)
  header = type(header) == "table" and json.encode(header) or header
  body = type(body) == "table" and json.encode(body) or body
  local input = crypto.base64url(header) .. "." .. crypto.base64url(body)
  return input .. "." .. crypto.base64url(crypto.sign(private or ed.private, input))
end

local function refused(code, token, options)
  local value, message, got = jwt.verify(token, options or expected)
  assert.is_nil(value)
  assert.is_string(message)
  assert.equal(code, got)
end

describe("fastr.jwt", function()
  it("believes what it signed, with either algorithm, the first time and the next", function()
    for _, options in ipairs {
      { alg = "EdDSA", kid = "ed-1", key = ed.private }, { alg = "ES256", kid = "ec-1", key = ec.private },
    } do
      local token = sign({ roles = json.array { "customer" } }, options)
      for _ = 1, 3 do
        local got = assert(jwt.verify(token, expected))
        assert.equal("u1", got.sub)
        assert.equal("customer", got.roles[1])
      end
    end
  end)

  it("makes headers and keys of the standard's form", function()
    local header = json.decode(crypto.unbase64url(sign():match "^[^.]+"))
    assert.same({ alg = "EdDSA", kid = "ed-1", typ = "JWT" }, header)
    local key = set.keys[2]
    assert.same({ "EC", "P-256", "ES256", "sig", "ec-1" }, { key.kty, key.crv, key.alg, key.use, key.kid })
    assert.equal(43, #key.x)
    assert.equal(43, #key.y)
    assert.is_nil(set.keys[1].y)
    assert.equal("OKP", set.keys[1].kty)
  end)

  it("matches RFC 8037, appendix A.4", function()
    local key = { kty = "OKP", crv = "Ed25519", kid = "rfc", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }
    local token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIb" ..
      "QR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    local input, signature = token:match "^(.*)%.([^.]*)$"
    local der = crypto.unhex "302a300506032b6570032100" .. crypto.unbase64url(key.x)
    local pem = "-----BEGIN PUBLIC KEY-----\n" .. crypto.base64url(der):gsub("-", "+"):gsub("_", "/") ..
      "=\n-----END PUBLIC KEY-----\n"
    assert.is_true(crypto.verify(pem, input, crypto.unbase64url(signature)))
    assert.equal(key.x, jwt.jwk(pem, "rfc").x)
    refused("unknown_key", token)
  end)

  it("refuses what is no token", function()
    local token = sign()
    local header, body, signature = token:match "^([^.]+)%.([^.]+)%.([^.]+)$"
    for _, bad in ipairs {
      "", ".", "..", "a.b", "a.b.c.d", token .. ".", token .. "=", header .. "." .. body, " " .. token,
      header .. "." .. body .. "=." .. signature, crypto.base64url "[]" .. "." .. body .. "." .. signature,
      crypto.base64url "{}" .. "." .. body .. "." .. signature, ("a"):rep(8193),
    } do
      refused("malformed", bad)
    end
    refused("malformed", forge({ alg = "EdDSA", kid = "ed-1" }, "[1]"))
    refused("malformed", forge({ alg = "EdDSA", kid = "ed-1" }, "not json"))
    refused("malformed", forge({ alg = "EdDSA", kid = "ed-1" }, '{"iss":"x","iss":"auth","aud":"shop","exp":1e10}'))
    refused("malformed", forge({ alg = "EdDSA", kid = "ed-1", crit = { "exp" } }, claims()))
  end)

  it("lets no token choose how it is checked", function()
    refused("algorithm", forge({ alg = "none", kid = "ed-1" }, claims()))
    refused("algorithm", forge({ alg = "HS256", kid = "ed-1" }, claims()))
    refused("algorithm", forge({ alg = "eddsa", kid = "ed-1" }, claims()))
    refused("algorithm", forge({ alg = "ES256", kid = "ed-1" }, claims()))
    refused("algorithm", forge({ alg = "EdDSA", kid = "ec-1" }, claims()))
    refused("malformed", forge({ alg = 1, kid = "ed-1" }, claims()))
    local input = forge({ alg = "none", kid = "ed-1" }, claims()):match "^(.*%.)"
    refused("algorithm", input)
    refused("unknown_key", forge({ alg = "EdDSA", jwk = jwt.jwk(stranger.public, "x") }, claims(), stranger.private))
  end)

  it("refuses keys that it does not know, and forged signatures", function()
    refused("unknown_key", sign({}, { alg = "EdDSA", kid = "other", key = ed.private }))
    refused("signature", sign({}, { alg = "EdDSA", kid = "ed-1", key = stranger.private }))
    local header, body, signature = sign():match "^([^.]+)%.([^.]+)%.([^.]+)$"
    local changed = crypto.base64url(json.encode(claims { sub = "admin" }))
    refused("signature", header .. "." .. changed .. "." .. signature)
    refused("signature", header .. "." .. body .. ".")
    refused("signature", header .. "." .. body .. "." .. crypto.base64url(("\0"):rep(64)))
  end)

  it("stops believing a remembered token when its key leaves the set or changes", function()
    local token = sign()
    assert(jwt.verify(token, expected))
    refused("unknown_key", token, { keys = { keys = { set.keys[2] } }, iss = "auth", aud = "shop" })
    local swapped = { keys = { jwt.jwk(stranger.public, "ed-1") } }
    refused("signature", token, { keys = swapped, iss = "auth", aud = "shop" })
    assert(jwt.verify(token, expected))
  end)

  it("checks issuer and audience, also of a remembered token", function()
    local token = sign()
    assert(jwt.verify(token, expected))
    refused("issuer", token, { keys = set, iss = "other", aud = "shop" })
    refused("audience", token, { keys = set, iss = "auth", aud = "other" })
    refused("issuer", forge({ alg = "EdDSA", kid = "ed-1" }, { aud = "shop", exp = now() + 60 }))
    refused("issuer", sign { iss = json.array { "auth" } })
    refused("audience", forge({ alg = "EdDSA", kid = "ed-1" }, { iss = "auth", exp = now() + 60 }))
    refused("audience", sign { aud = json.array {} })
    refused("audience", sign { aud = { shop = true } })
  end)

  it("takes an audience as text or list, on both sides", function()
    assert(jwt.verify(sign { aud = { "cart", "shop" } }, expected))
    assert(jwt.verify(sign { aud = "cart" }, { keys = set, iss = "auth", aud = { "shop", "cart" } }))
    assert(jwt.verify(sign { aud = { "a", "cart" } }, { keys = set, iss = "auth", aud = { "shop", "cart" } }))
    refused("audience", sign { aud = { "a", "b" } }, { keys = set, iss = "auth", aud = { "shop", "cart" } })
  end)

  it("keeps to the token's times, with the leeway that was asked for", function()
    refused("expired", sign { exp = now() - 1 })
    refused("expired", sign { exp = 0 })
    assert(jwt.verify(sign { exp = now() - 1 }, { keys = set, iss = "auth", aud = "shop", leeway = 30 }))
    refused("not_yet", sign { nbf = now() + 60 })
    assert(jwt.verify(sign { nbf = now() + 20 }, { keys = set, iss = "auth", aud = "shop", leeway = 30 }))
    assert(jwt.verify(sign { nbf = now() - 1 }, expected))
    refused("malformed", sign { exp = "soon" })
    refused("malformed", sign { nbf = json.null })
    refused("malformed", forge({ alg = "EdDSA", kid = "ed-1" }, { iss = "auth", aud = "shop" }))
    assert(jwt.verify(sign { exp = 1e300 }, expected))
  end)

  it("lets a remembered token expire", function()
    local token = sign { exp = now() + 2 }
    assert(jwt.verify(token, expected))
    local deadline = time.unix_ms() + 10000
    repeat
      time.sleep(50)
    until not jwt.verify(token, expected) or time.unix_ms() > deadline
    refused("expired", token)
  end)

  it("forgets a token by itself or by its jti", function()
    local body = claims()
    local token = jwt.sign(body, { alg = "EdDSA", kid = "ed-1", key = ed.private })
    assert.is_false(jwt.forget(token))
    assert(jwt.verify(token, expected))
    assert.is_true(jwt.forget(token))
    assert.is_false(jwt.forget(body.jti))
    assert(jwt.verify(token, expected))
    assert.is_true(jwt.forget(body.jti))
    assert.is_false(jwt.forget "")
    assert(jwt.verify(token, expected))
  end)

  it("refuses to sign with a key of another type, or what has no JSON", function()
    for _, case in ipairs {
      { claims(), { alg = "ES256", kid = "k", key = ed.private } },
      { claims(), { alg = "EdDSA", kid = "k", key = ec.private } },
      { claims(), { alg = "EdDSA", kid = "k", key = ed.public } },
      { claims { f = print }, { alg = "EdDSA", kid = "k", key = ed.private } },
      { claims { text = ("x"):rep(8000) }, { alg = "EdDSA", kid = "k", key = ed.private } },
    } do
      local token, message, code = jwt.sign(case[1], case[2])
      assert.is_nil(token)
      assert.is_string(message)
      assert.equal("invalid", code)
    end
    local jwk, _, code = jwt.jwk("nonsense", "k")
    assert.is_nil(jwk)
    assert.equal("invalid", code)
  end)

  it("raises for misuse", function()
    for _, options in ipairs {
      {}, { keys = set, iss = "auth" }, { keys = set, aud = "shop" }, { iss = "auth", aud = "shop" },
      { keys = set, iss = "auth", aud = "shop", leeway = 301 },
      { keys = set, iss = "auth", aud = "shop", leeway = "1" },
    } do
      assert.has_error(function() jwt.verify("x", options) end)
    end
    assert.has_error(function() jwt.verify(nil, expected) end)
    assert.has_error(function() jwt.sign(claims(), { alg = "none", kid = "k", key = ed.private }) end)
    assert.has_error(function() jwt.sign(claims(), { alg = "EdDSA", key = ed.private }) end)
  end)
end)
