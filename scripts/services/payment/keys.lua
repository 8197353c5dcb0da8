-- keys: the vault's keys, in two files of var/secrets (mode 0600) made at the first start and shared by the instances.
--
--   vault_keys         key-encryption keys, newest first; the first one wraps, all of them unwrap
--   vault_fingerprint  the key of the fingerprints; it stays, or a card saved again would no longer be recognised
--
-- Files are read anew each time (they are small): a rotation is seen at once by every worker.

local M = {}

local crypto, file, json = fastr.crypto, fastr.file, fastr.json

local KEKS, FINGERPRINT = "secrets/vault_keys", "secrets/vault_fingerprint"

-- The text of a file, made by `make` where there is none; of several processes that start at once one makes it.
-- Raises when it can be neither read nor made.
local function read_or_make(name, make)
  local text, message, code = file.read(name)
  if text then return text end
  if code ~= "missing" then error("vault: " .. message, 0) end
  local made
  made, message = file.create(name, make())
  if made == nil then error("vault: " .. message, 0) end
  return assert(file.read(name))
end

local function new_kek()
  return { id = crypto.hex(crypto.random(8)), key = crypto.hex(crypto.random(32)), created_at = fastr.time.now() }
end

-- The list of {id, key (hex), created_at}, newest first.
local function all()
  local text = read_or_make(KEKS, function() return json.encode { keys = { new_kek() } } end)
  return assert(json.decode(text), "vault: secrets/vault_keys is damaged").keys
end

local function usable(kek)
  return { id = kek.id, key = crypto.unhex(kek.key), created_at = kek.created_at }
end

-- The key-encryption key that wraps: {id, key (32 bytes), created_at}.
function M.current()
  return usable(all()[1])
end

-- The key-encryption key of that id, or nil.
function M.find(id)
  for _, kek in ipairs(all()) do
    if kek.id == id then return usable(kek) end
  end
end

-- HMAC-SHA-256 of a card's number, in hexadecimal.
function M.fingerprint(number)
  local key = read_or_make(FINGERPRINT, function() return crypto.hex(crypto.random(32)) end)
  return crypto.hmac(crypto.unhex(key), number)
end

return M
