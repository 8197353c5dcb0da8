-- passwords: scrypt (RFC 7914) in the thread pool, with the parameters kept beside each hash, so that they can grow.

local problem = require "lib.problem"

local M = {}

local crypto = fastr.crypto
local BYTES = 32

-- The work factor for new hashes: the setting auth.scrypt_n, a power of two.
local function work()
  return tonumber(fastr.setting("auth.scrypt_n", "131072")), 8, 1
end

local function derive(password, salt, n, r, p)
  local hash, message, code = crypto.scrypt(password, salt, { n = n, r = r, p = p, length = BYTES })
  if hash then return hash end
  if code == "busy" then error(problem.new("too_many_requests", { retry_after = 2 }), 0) end
  error("scrypt: " .. tostring(message), 0)
end

-- Waits. The text to store for a password. Raises the problem too_many_requests when the threads' queue is full.
function M.hash(password)
  local n, r, p = work()
  local salt = crypto.random(16)
  local hash = derive(password, salt, n, r, p)
  return table.concat({ "scrypt", n, r, p, crypto.base64url(salt), crypto.base64url(hash) }, "$")
end

-- Waits. Does the password fit what was stored? For nil (no such account) it works as long and says no.
function M.fits(password, stored)
  if not stored then
    local n, r, p = work()
    derive(password, string.rep("\0", 16), n, r, p)
    return false
  end
  local n, r, p, salt, hash = stored:match("^scrypt%$(%d+)%$(%d+)%$(%d+)%$([%w_-]+)%$([%w_-]+)$")
  local made = derive(password, crypto.unbase64url(salt), tonumber(n), tonumber(r), tonumber(p))
  return crypto.equal(crypto.base64url(made), hash)
end

-- Was this hash made with less work than new ones?
function M.is_weak(stored)
  return tonumber(stored:match("^scrypt%$(%d+)%$")) < work()
end

return M
