-- keys: what auth signs with. One file, var/secrets/auth_keys (mode 0600), made at the first start and shared by the
-- instances of a host; hosts share it as they share the other secrets. Newest first; two live at a time:
--
--   made ---- 10 min ----> signs ---- 30 days, the next one is made ----> verifies ---- the one after ----> gone
--
-- A new key is published before it signs, so that who verifies has it in time.

local session = require "platform.session"

local M = {}

local FILE = "secrets/auth_keys"
local PUBLISHED_MS, LIFE_MS = 10 * 60000, 30 * 86400000

local function new_key()
  local pair = fastr.crypto.keypair("ed25519")
  return { kid = fastr.crypto.hex(fastr.crypto.random(8)), private = pair.private, public = pair.public,
    created_ms = fastr.time.unix_ms() }
end

-- The list of keys, newest first. Of several processes that start at once, one makes the file.
local function all()
  local text = fastr.file.read(FILE)
  if not text then
    fastr.file.create(FILE, fastr.json.encode { keys = { new_key() } })
    text = assert(fastr.file.read(FILE))
  end
  return assert(fastr.json.decode(text)).keys
end

local function signing_key()
  local keys = all()
  for _, key in ipairs(keys) do
    if fastr.time.unix_ms() - key.created_ms >= PUBLISHED_MS then return key end
  end
  return keys[#keys]
end

-- A signed token of `claims` that lives `seconds`; iss, iat, exp and jti are added.
function M.sign(claims, seconds)
  local key, now = signing_key(), math.floor(fastr.time.unix_ms() / 1000)
  claims.iss, claims.iat, claims.exp, claims.jti = session.issuer, now, now + seconds, fastr.crypto.uuid7()
  return fastr.jwt.sign(claims, { alg = "EdDSA", kid = key.kid, key = key.private })
end

-- The public halves, as a JSON Web Key Set.
function M.jwks()
  local set = fastr.json.array {}
  for i, key in ipairs(all()) do set[i] = fastr.jwt.jwk(key.public, key.kid) end
  return { keys = set }
end

-- Puts a new key in front when the newest is old; keeps the one before it. Under the caller's lock.
function M.rotate()
  local keys = all()
  if fastr.time.unix_ms() - keys[1].created_ms < LIFE_MS then return false end
  return fastr.file.write(FILE, fastr.json.encode { keys = { new_key(), keys[1] } })
end

return M
