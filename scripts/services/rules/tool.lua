-- tool: `fastr rules VERB ...`. Each verb is a file of tools/, with `usage` (its lines of help) and `main(arguments)`,
-- which returns whether all went well and, if not, why not; nil instead of false where it was asked wrongly. Most need
-- nothing but the files on disk.

local near = require "lib.near"

local M = {}

local VERBS = { "new", "check", "decide", "try", "accept", "explain", "watch", "replay", "impact", "status", "activate",
  "stop", "off", "on", "key", "publish" }

local HIDDEN = { specs = true, derive = true } -- the gate's child, and the admin API's

local function help(out, verbs)
  for _, verb in ipairs(verbs) do
    for _, line in ipairs(require("services.rules.tools." .. verb).usage) do out:write(line, "\n") end
  end
  if verbs == VERBS then
    out:write("fastr rules rollback [--reason TEXT]\n"
      .. "    makes the pack before the live one live again, on this host, at once\n")
  end
end

local function is_verb(word)
  for _, verb in ipairs(VERBS) do
    if verb == word then return true end
  end
  return HIDDEN[word] or false
end

-- A message about a place ("FILE:6:7: ...") begins with it, so that an editor can follow it; others with the command.
local function tell(verb, message)
  local is_place = message:find("^[%w_./-]+:%d+:")
  io.stderr:write(is_place and "" or "fastr rules " .. verb .. ": ", message, "\n")
end

local function run(verb, arguments)
  local well, message = require("services.rules.tools." .. verb).main(arguments)
  if message then tell(verb, message) end
  if message and well == nil then
    help(io.stderr, { verb })
    return 2
  end
  return well and 0 or 1
end

-- fastr rules ...: 0, 1 when something is wrong, 2 when it was asked wrongly.
function M.main(arguments)
  local verb = table.remove(arguments, 1)
  if verb == "--help" or verb == "-h" then
    help(io.stdout, VERBS)
    return 0
  end
  if not verb then
    help(io.stderr, VERBS)
    return 2
  end
  if not is_verb(verb) then
    io.stderr:write(("fastr rules: there is no '%s'%s; fastr rules --help lists what there is\n"):format(verb,
      near(verb, VERBS)))
    return 2
  end
  if arguments[1] == "--help" or arguments[1] == "-h" then
    help(io.stdout, { verb })
    return 0
  end
  return run(verb, arguments)
end

return M
