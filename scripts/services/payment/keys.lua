-- keys: the vault's keys and that of the gift cards, in files of var/secrets (mode 0600) made at the first use and
-- shared by the instances; and ids that nobody guesses.
--
--   vault_keys         key-encryption keys, newest first; the first one wraps, all of them unwrap. Two while a
--                      rotation is under way: it ends when nothing is wrapped by the older one
--   vault_fingerprint  the key of the fingerprints; it stays, or a card saved again would no longer be recognised
--   gift_cards         what their codes are made of and found by; it stays, or no code would be known any more
--
-- Files are read anew each time (they are small): a rotation is seen at once by every worker.

local M = {}

local crypto, file, json = fastr.crypto, fastr.file, fastr.json

local KEKS, FINGERPRINT, GIFT_CARDS = "secrets/vault_keys", "secrets/vault_fingerprint", "secrets/gift_cards"

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

-- The list of {id, key (hex), created_at}, newest first. Raises for a file that is none of ours.
local function all()
  local value = json.decode(read_or_make(KEKS, function() return json.encode { keys = { new_kek() } } end))
  local list = type(value) == "table" and value.keys
  if type(list) ~= "table" or not list[1] then
    error("vault: " .. KEKS .. " is damaged: restore it from a backup", 0)
  end
  return list
end

local function write(list)
  local ok, message = file.write(KEKS, json.encode { keys = list })
  if not ok then error("vault: " .. message, 0) end
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

-- Begins a rotation: puts a new key in front. If one is under way already, it goes on: false. Under the caller's lock.
function M.begin_rotation()
  local list = all()
  if #list > 1 then return false end
  write { new_kek(), list[1] }
  return true
end

-- Ends it: forgets all keys but the first. Under the caller's lock, and only when nothing is wrapped by them.
function M.end_rotation()
  local list = all()
  if #list > 1 then write { list[1] } end
end

local function hmac(file_name, text)
  local key = read_or_make(file_name, function() return crypto.hex(crypto.random(32)) end)
  return crypto.hmac(crypto.unhex(key), text)
end

-- HMAC-SHA-256 of a card's number, in hexadecimal.
function M.fingerprint(number)
  return hmac(FINGERPRINT, number)
end

-- The same of a text about gift cards; `use` keeps those of one purpose apart from those of another.
function M.gift_card(use, text)
  return hmac(GIFT_CARDS, use .. ":" .. text)
end

-- A random UUID (RFC 9562 version 4): 122 bits, since such an id opens what it names.
function M.random_id()
  local hex = crypto.hex(crypto.random(16))
  local variant = ("89ab"):sub(tonumber(hex:sub(17, 17), 16) % 4 + 1):sub(1, 1)
  return table.concat({ hex:sub(1, 8), hex:sub(9, 12), "4" .. hex:sub(14, 16), variant .. hex:sub(18, 20),
    hex:sub(21) }, "-")
end

return M
