-- fastr rules activate: makes a pack live on this host: in all workers, or in none.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules activate [DIR|sha256:HASH]",
  "    makes the rules on disk, or a stored version, live on this host, in all workers or in none",
}

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, {})
  if not given then return nil, message end
  local pack, failed = packs.open(given.source, true)
  if not pack then
    io.stderr:write(failed, "\n")
    return false
  end
  local done
  done, message = packs.activate(pack)
  if not done then return false, message end
  print(("live as %s   undo: fastr rules rollback"):format(words.hash(pack:hash())))
  return true
end

return M
