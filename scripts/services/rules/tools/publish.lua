-- fastr rules publish: checks, signs and keeps a pack, and brings it to the rules service, so that it may become live
-- wherever its key is trusted.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local publish = require "services.rules.publish"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules publish [DIR|sha256:HASH] --message TEXT [--force REASON]",
  "    runs the gate, signs the pack with this host's key (fastr rules key new), brings it to the rules service (where",
  "    this host follows one: rules.agent); nothing becomes live",
}

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, { message = true, force = true })
  if not given then return nil, message end
  if not given.message or given.message == "" then return nil, "--message TEXT is needed: what changes, and why" end
  local made
  made, message = publish.prepare(given.source or packs.folder(), given)
  if not made then return false, message end
  if publish.follows() then
    local sent
    sent, message = publish.send(made, given)
    if not sent then return false, "signed and kept on this host, but not published: " .. message end
  end
  print(("%s %s   live: fastr rules activate %s"):format(publish.follows() and "published" or "signed",
    words.hash(made.hash), made.hash))
  return true
end

return M
