-- fastr rules check: builds a pack and runs its examples; needs no server.

local options = require "services.rules.options"
local packs = require "services.rules.packs"

local M = {}

M.usage = {
  "fastr rules check [DIR]",
  "    builds the pack and runs its examples; exit 1 with file, line and the likely cure",
}

local function count(files)
  local n = 0
  for _ in pairs(files) do n = n + 1 end
  return n
end

function M.main(arguments)
  local given, message = options.read(arguments, { "folder" }, {})
  if not given then return nil, message end
  local began = fastr.time.unix_ms()
  local pack, examples = packs.open(given.folder, true)
  if not pack then
    io.stderr:write(examples, "\n")
    return false
  end
  print(("ok   %d files, %d examples   %.7s   %d ms"):format(count(pack:files()), examples, pack:hash():sub(8),
    fastr.time.unix_ms() - began))
  return true
end

return M
