-- fastr rules activate: makes a pack live, or tries it beside what is live: in all workers of a host, or in none. Where
-- the host follows the rules service it is checked, signed and published on the way, and becomes so on every host.

local edited = require "services.rules.edited"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local publish = require "services.rules.publish"
local trials = require "services.rules.trials"
local who = require "services.rules.who"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules activate [DIR|sha256:HASH] [--reason TEXT] [--force REASON] [--here]",
  "    makes the rules on disk, or a stored version, live, in all workers of a host or in none; on every host that",
  "    follows the rules service, unless --here or the service is away; --force: although the gate refuses it,",
  "    or it is in quarantine",
  "fastr rules activate [DIR|sha256:HASH] --canary 5% [--drift 2%] [--errors 1] [--after 20]",
  "    it prices that share of the carts, beside what is live; a difference of more than 2 % of the money, once 20",
  "    prices were compared, ends the trial, and so does an error; `fastr rules status` tells how it goes",
  "fastr rules activate [DIR|sha256:HASH] --shadow [--sample 10%]",
  "    no customer sees it: the same carts are priced by both, and the difference is counted",
}

local FLAGS = { reason = true, force = true, here = false }
for name, takes_value in pairs(trials.flags) do FLAGS[name] = takes_value end

local function say(hash, plan, note)
  if plan then
    print(("%s on trial: %s   see: fastr rules status   end: fastr rules stop --reason TEXT%s"):format(
      words.hash(hash), trials.what(plan), note))
  else
    print(("live as %s   undo: fastr rules rollback%s"):format(words.hash(hash), note))
  end
  return true
end

-- On this host alone: true, or false and why not.
local function go_here(pack, plan, given, note)
  local done, message
  if plan then done, message = trials.begin(pack, plan) else
    done, message = packs.activate(pack, given.reason, given.force)
  end
  if not done then return false, message end
  return say(pack:hash(), plan, note)
end

-- On all hosts, or on this one if the service is away.
local function go(pack, source, plan, given)
  local hindrance = plan and trials.hindrance(pack:hash())
  if hindrance then return false, hindrance end
  local about = { message = given.reason or "activated by " .. who.user(), reason = given.force or given.reason,
    force = given.force }
  local made, message = publish.prepare(source, about)
  if not made then return false, message end
  local done, away
  done, message, away = publish.send(made, about)
  if done then done, message, away = publish.activate(made, plan, about) end
  if done then return say(made.hash, plan, "") end
  if not away then return false, message end
  return go_here(pack, plan, given, "\non this host; the rules service is away (" .. message
    .. "): it will be written down there when it is back")
end

-- A stored version may be older than what the admin API made since: the names of what would be undone, or nil.
local function undone(pack)
  local live = packs.live()
  local ids = live and edited.differing(edited.of(live.hash), pack:files()[edited.FILE]) or {}
  return #ids > 0 and table.concat(ids, ", ") or nil
end

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, FLAGS)
  if not given then return nil, message end
  local plan
  plan, message = trials.plan(given)
  if plan == nil then return nil, message end
  local pack, failed = packs.open(given.source, true)
  if not pack then return false, failed end
  local names = not plan and not given.force and undone(pack)
  if names then
    return false, ("the admin API made or changed promotions since, which this would undo: %s   (rules from a folder "
      .. "take them along; --force REASON)"):format(names)
  end
  if publish.follows() and not given.here then return go(pack, given.source or packs.folder(), plan, given) end
  return go_here(pack, plan, given, "")
end

return M
