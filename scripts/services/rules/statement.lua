-- statement: what a publisher says of a pack, and its signature: the text of HASH.sig beside the stored pack (the form
-- is told in bindings/rules_sealed.h). Whoever has the text and trusts the key needs nobody to believe it.

local keys = require "services.rules.keys"

local M = {}

local json, null = fastr.json, fastr.json.null

local HEAD = "fastr signed pack 1\n"

-- Does this host take only packs that were signed with a key it trusts?
function M.is_needed()
  return fastr.setting("rules.signed", "false") == "true"
end

-- The signed text beside a stored pack and the id of the trusted key that signed it; nil if none lies there that holds.
function M.kept(hash)
  local _, sealed = fastr.rules.stored(hash)
  local key = sealed and fastr.rules.verify(hash, sealed)
  if key then return sealed, key end
end

-- What is said of an opened pack: `about` has author, message, and maybe parent and report (the SHA-256 of the gate's).
function M.of(pack, about)
  local points = pack:points()
  table.sort(points)
  return json.canonical { type = "fastr pack 1", pack = pack:hash():sub(8), abi = fastr.rules.abi,
    points = json.array(points), parent = about.parent and about.parent:gsub("^sha256:", "") or null,
    report = about.report or null, author = about.author, message = about.message, at = fastr.time.now() }
end

-- The statement signed with this host's key: the text to keep, and the key; or nil, why not, code "missing" without
-- a key.
function M.sign(statement)
  local private, key, code = keys.own()
  if not private then return nil, key, code end
  local signature, message = fastr.crypto.sign(private, statement)
  if not signature then return nil, message end
  return M.text(key.id, fastr.crypto.base64url(signature), statement), key
end

-- The text that is kept, of its parts.
function M.text(key, signature, statement)
  return ("%skey %s\nsignature %s\n%s\n"):format(HEAD, key, signature, statement)
end

-- What of a statement is of use: a trusted key can sign nonsense, too.
local function read(says)
  local out = {}
  for _, name in ipairs { "author", "message", "report" } do
    out[name] = type(says[name]) == "string" and says[name] ~= "" and says[name] or nil
  end
  local parent = type(says.parent) == "string" and says.parent or ""
  if #parent == 64 and not parent:find("[^0-9a-f]") then out.parent = parent end
  return out
end

-- The parts of such a text, unverified: { key, signature, statement (text), says (the author, message, report and
-- parent that it names, each a text or nil) }, or nil.
function M.parts(text)
  local key, signature, statement = text:match("^fastr signed pack 1\nkey (%x+)\nsignature (%S+)\n([^\n]*)\n$")
  local says = statement and json.decode(statement)
  if type(says) ~= "table" then return nil end
  return { key = key, signature = signature, statement = statement, says = read(says) }
end

return M
