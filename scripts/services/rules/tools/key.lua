-- fastr rules key: the key with which this host signs packs, and the keys that it trusts.

local keys = require "services.rules.keys"
local options = require "services.rules.options"
local who = require "services.rules.who"

local M = {}

M.usage = {
  "fastr rules key new [NAME] | trust FILE|- | list | forget ID|NAME",
  "    new: makes the Ed25519 key that this host signs packs with (var/secrets/rules_key), and prints the public one;",
  "    trust: packs signed with the public keys of that file may become live here, from now on; forget: no more",
}

local function made(name)
  local key, message = keys.new(name or who.user())
  if not key then return false, message end
  print(key.line)
  io.stderr:write(("made the key %s; on hosts that are to trust it: fastr rules key trust FILE, with this line in it\n")
    :format(key.id))
  return true
end

local function trusted(path)
  if not path then return nil, "whose? trust FILE, or - for standard input" end
  local text, message
  if path == "-" then text = io.read("*a") else text, message = options.text(path) end
  if not text then return false, message end
  local count = 0
  for line in text:gmatch("[^\n]+") do
    if not line:find("^%s*#") then
      local key
      key, message = keys.trust(line)
      if not key then return false, message end
      print(("trusted  %s  %s"):format(key.id, key.name))
      count = count + 1
    end
  end
  if count == 0 then return false, path .. ": there is no key in it" end
  return true
end

local function listed()
  local list, message = keys.trusted()
  if not list then return false, message end
  local _, own = keys.own()
  local is_own = type(own) == "table" and own.id
  for _, key in ipairs(list) do
    print(("%s  %s%s"):format(key.id, key.line, key.id == is_own and "   (this host signs with it)" or ""))
  end
  if #list == 0 then print("no key is trusted here: fastr rules key trust FILE") end
  return true
end

local function forgotten(name)
  if not name then return nil, "which? forget ID or NAME (fastr rules key list)" end
  local key, message = keys.forget(name)
  if not key then return false, message end
  print(("no longer trusted  %s  %s; what it signed and is live here goes on until other rules are"):format(key.id,
    key.name))
  return true
end

local DO = { new = made, trust = trusted, list = listed, forget = forgotten }

function M.main(arguments)
  local given, message = options.read(arguments, { "what", "name" }, {})
  if not given then return nil, message end
  if not DO[given.what] then return nil, "new, trust, list or forget?" end
  return DO[given.what](given.name)
end

return M
