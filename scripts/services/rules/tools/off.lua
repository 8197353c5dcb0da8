-- fastr rules off: a version of what is live without one promotion; `on` takes it back. What is live changes at once;
-- the file on disk changes too if the disk has what was live, so that the next save does not bring the rule back.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local who = require "services.rules.who"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules off NAME --reason TEXT",
  "    makes what is live without this promotion live, at once on this host; `fastr rules on NAME` undoes it",
}

local FILE = "definitions/off.lua"

local function text_of(list)
  local out = { "-- off: promotions that are switched off, with the reason; written by `fastr rules off` and `on`.",
    "return {" }
  for _, entry in ipairs(list) do
    out[#out + 1] = ("  { rule = %q, reason = %q, by = %q, at = %q },"):format(entry.rule, entry.reason, entry.by,
      entry.at)
  end
  out[#out + 1] = "}\n"
  return table.concat(out, "\n")
end

-- Makes the live pack with another list of what is off live, for that reason; `change(list)` gives that list, or nil
-- and why not.
function M.switch(change, reason)
  local pack, message = packs.open_live()
  if not pack then return false, message end
  local list, derived, done
  list, message = change(packs.off(pack))
  if not list then return false, message end
  local text = text_of(list)
  derived, message = pack:with(FILE, text)
  if not derived then return false, (message:gsub("^definitions/off%.lua:%d+: %[%d+%]%.rule: ", "")) end
  local on_disk = packs.is_on_disk(pack)
  done, message = packs.activate(derived, reason)
  if not done then return false, message end
  if on_disk then
    done, message = options.write(packs.folder() .. "/" .. FILE, text)
    if not done then return false, "it is live, but not on disk: " .. message end
  end
  print(("live as %s%s   undo: fastr rules rollback"):format(words.hash(derived:hash()),
    on_disk and "" or "; the rules on disk are others, and were left alone"))
  return true
end

function M.main(arguments)
  local given, message = options.read(arguments, { "rule" }, { reason = true })
  if not given then return nil, message end
  if not given.rule then return nil, "which promotion? (fastr rules try shows their names)" end
  if not given.reason or given.reason == "" then return nil, "--reason TEXT is needed: it is shown to who wonders" end
  return M.switch(function(list)
    for _, entry in ipairs(list) do
      if entry.rule == given.rule then return nil, given.rule .. " is off already: " .. entry.reason end
    end
    list[#list + 1] = { rule = given.rule, reason = given.reason, by = who.user(), at = fastr.time.now() }
    return list
  end, ("off %s: %s"):format(given.rule, given.reason))
end

return M
