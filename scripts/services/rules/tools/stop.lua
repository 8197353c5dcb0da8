-- fastr rules stop: ends the trial that runs on this host; the live version decides alone from then on.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local trials = require "services.rules.trials"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules stop --reason TEXT",
  "    ends the canary or shadow that runs on this host, at once; what is live stays live",
}

function M.main(arguments)
  local given, message = options.read(arguments, {}, { reason = true })
  if not given then return nil, message end
  if not given.reason or not given.reason:find("%S") then
    return nil, "--reason TEXT is needed: it is shown to who wonders"
  end
  local live, done
  live, message = packs.live()
  if not live then return false, message end
  done, message = trials.stop(given.reason)
  if not done then return false, message end
  print(("stopped: %s decides alone"):format(words.hash(live.hash)))
  return true
end

return M
