-- fastr rules activate: makes a pack live on this host, or tries it beside what is live: in all workers, or in none.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local trials = require "services.rules.trials"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules activate [DIR|sha256:HASH]",
  "    makes the rules on disk, or a stored version, live on this host, in all workers or in none",
  "fastr rules activate [DIR|sha256:HASH] --canary 5% [--drift 2%] [--errors 1] [--after 20]",
  "    it prices that share of the carts, beside what is live; a difference of more than 2 % of the money, once 20",
  "    prices were compared, ends the trial, and so does an error; `fastr rules status` tells how it goes",
  "fastr rules activate [DIR|sha256:HASH] --shadow [--sample 10%]",
  "    no customer sees it: the same carts are priced by both, and the difference is counted",
}

-- It is live, or tried: true, or false and why not.
local function go(pack, plan)
  local done, message
  if plan then done, message = trials.begin(pack, plan) else done, message = packs.activate(pack) end
  if not done then return false, message end
  local hash = words.hash(pack:hash())
  if plan then
    print(("%s on trial: %s   see: fastr rules status   end: fastr rules stop --reason TEXT"):format(hash,
      trials.what(plan)))
  else
    print(("live as %s   undo: fastr rules rollback"):format(hash))
  end
  return true
end

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, trials.flags)
  if not given then return nil, message end
  local plan
  plan, message = trials.plan(given)
  if plan == nil then return nil, message end
  local pack, failed = packs.open(given.source, true)
  if not pack then
    io.stderr:write(failed, "\n")
    return false
  end
  return go(pack, plan)
end

return M
