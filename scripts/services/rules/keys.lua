-- keys: the Ed25519 key with which this host signs packs, and those that it trusts. Files of var/secrets: rules_key
-- (its public line, then PEM) and rules_trusted, a line for each key: "ed25519 BASE64URL NAME", which is also how
-- a key is handed to another host.

local M = {}

local crypto, file = fastr.crypto, fastr.file

local PRIVATE, TRUSTED = "secrets/rules_key", "secrets/rules_trusted"

-- The first 16 hex digits of the SHA-256 of the key's 32 bytes.
local function id_of(x)
  return crypto.sha256(crypto.unbase64url(x)):sub(1, 16)
end

-- A line as { id, x, name, line }, or nil and what is wrong with it.
function M.read(line)
  local x, name = line:match("^%s*ed25519%s+([%w_-]+)%s+(%S+)%s*$")
  local raw = x and crypto.unbase64url(x)
  if not raw or #raw ~= 32 then return nil, "a public key is one line: ed25519, 43 characters of base64url, a name" end
  return { id = id_of(x), x = x, name = name, line = ("ed25519 %s %s"):format(x, name) }
end

local function is_name(name)
  return name:find("^[%w][%w@._-]*$") and #name <= 64
end

-- ---- whom this host trusts ----------------------------------------------------------------------------------------

-- List of { id, x, name, line }, or nil and why it cannot be read.
function M.trusted()
  local text, message, code = file.read(TRUSTED)
  if not text and code ~= "missing" then return nil, message end
  local list = {}
  for line in (text or ""):gmatch("[^\n]+") do list[#list + 1] = M.read(line) end
  return list
end

local function write(list)
  local lines = {}
  for i, key in ipairs(list) do lines[i] = key.line .. "\n" end
  return file.write(TRUSTED, table.concat(lines))
end

-- Trusts the key of a line from now on: the key, or nil and why not. Trusting twice is trusting.
function M.trust(line)
  local key, message = M.read(line)
  if not key then return nil, message end
  local list, done
  list, message = M.trusted()
  if not list then return nil, message end
  for _, known in ipairs(list) do
    if known.id == key.id then return known end
  end
  list[#list + 1] = key
  done, message = write(list)
  if not done then return nil, message end
  return key
end

-- Trusts the key of this id or name no more: the key, or nil and why not.
function M.forget(name)
  local list, message = M.trusted()
  if not list then return nil, message end
  local kept, gone = {}, {}
  for _, key in ipairs(list) do table.insert((key.id == name or key.name == name) and gone or kept, key) end
  if #gone == 0 then return nil, "no trusted key is called " .. name end
  if #gone > 1 then return nil, "several keys are called " .. name .. ": give the id (fastr rules key list)" end
  local done
  done, message = write(kept)
  if not done then return nil, message end
  return gone[1]
end

-- ---- what this host signs with -------------------------------------------------------------------------------------

-- The private key's PEM and its public key as of M.read, or nil, why not, and code "missing".
function M.own()
  local text, message, code = file.read(PRIVATE)
  if not text then return nil, message, code end
  local key
  key, message = M.read(text:match("^[^\n]*"))
  if not key then return nil, "var/" .. PRIVATE .. ": " .. message end
  return text:sub(#key.line + 2), key
end

-- Makes the pair that this host signs with: its public key, or nil and why not.
function M.new(name)
  if not is_name(name) then return nil, "a key's name is letters, digits and @ . _ - (at most 64)" end
  local pair = crypto.keypair("ed25519")
  local key = M.read(("ed25519 %s %s"):format(fastr.jwt.jwk(pair.public, name).x, name))
  local made, message = file.create(PRIVATE, key.line .. "\n" .. pair.private)
  if made == nil then return nil, message end
  if made then return key end
  local _, own = M.own()
  return nil, ("this host signs with the key %s (%s) already; to replace it, move var/%s away first"):format(
    own and own.id or "?", own and own.name or "unreadable", PRIVATE)
end

return M
