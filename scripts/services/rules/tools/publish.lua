-- fastr rules publish: checks, signs and stores a pack, so that it may become live wherever its key is trusted.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local publish = require "services.rules.publish"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules publish [DIR|sha256:HASH] --message TEXT [--force REASON]",
  "    runs the gate, signs the pack with this host's key (fastr rules key new) and keeps it; nothing becomes live",
}

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, { message = true, force = true })
  if not given then return nil, message end
  if not given.message or given.message == "" then return nil, "--message TEXT is needed: what changes, and why" end
  local done, code
  done, message, code = publish.sign(given.source or packs.folder(), given)
  if code == "missing" then return false, "this host has no key to sign with: fastr rules key new" end
  if not done then return false, message end
  print(("signed %s with the key %s   live: fastr rules activate %s"):format(words.hash(done.hash), done.key.id,
    done.hash))
  return true
end

return M
