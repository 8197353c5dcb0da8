-- packs: the packs of rules that tools work with: the one on disk, stored ones, the one that is live on this host; and
-- errors shown with the line they are about.

local call = require "platform.call"
local edited = require "services.rules.edited"
local places = require "services.rules.places"
local statement = require "services.rules.statement"
local who = require "services.rules.who"

local M = {}

-- Where the rules under edit are.
function M.folder()
  return fastr.setting("rules_dir", "scripts/rules")
end

-- ---- errors -------------------------------------------------------------------------------------------------------

-- "promotions/mugs.lua:6: unknown name 'categry'" with its column, the line and a caret below, if the file is there.
function M.shown(message, folder)
  local file, number, what = message:match("^([%w_./-]+%.lua):(%d+): (.*)$")
  if not file then return message end
  local path = file:match("^lib/") and fastr.setting("scripts", "scripts") .. "/" .. file or folder .. "/" .. file
  return places.shown(path, tonumber(number), what) or message
end

-- ---- opening ------------------------------------------------------------------------------------------------------

local KEEPS = "a rule keeps state between decisions"
local IDLE = [[return rule { doc = "Nothing.", stage = "item", apply = function() end,
  examples = { { "nothing", cart = {}, total = 0 } } }]]

-- The pack knows that a rule kept something, not which: the one without which nothing is kept, or nil.
local function keeper(pack)
  for file in pairs(pack:files()) do
    local other = file:find("^promotions/") and pack:with(file, IDLE)
    local good = other and other:prove()
    if other then other:close() end
    if good then return file end
  end
end

-- Do the examples of a pack hold? Their number, or nil and the message as people are shown it; `source` is its folder.
function M.prove(pack, source)
  local examples, message = pack:prove()
  if examples then return examples end
  local what = message:find(KEEPS, 1, true) and message:sub(message:find(KEEPS, 1, true), -1)
  local file = what and keeper(pack)
  return nil, M.shown(file and file .. ":1: " .. what or message, source)
end

-- Fetches a pack that this host does not have from the rules service: true, or nil and why not.
local function fetch(hash)
  fastr.task.set("service", "rules")
  local reply, failed = call.call("rules", "stored", { pack = hash })
  if not reply and failed.code == "pack_not_found" then return nil, "nor with the rules service" end
  if not reply then return nil, "and the rules service cannot be asked: " .. (failed.detail or failed.title) end
  for _, sealed in ipairs(reply.sealed) do
    if fastr.rules.keep(hash, reply.bundle, sealed) then return true end
  end
  return fastr.rules.keep(hash, reply.bundle)
end

local SHORT = 7 -- digits of a hash, as it is shown

-- "sha256:cd7e5a6", as hashes are shown, is the stored pack that begins so: its whole name, or nil and why there is no
-- such one. Anything else is returned as it is.
local function whole(source)
  local start = source:match("^sha256:(%x+)$")
  if not start or #start >= 64 then return source end
  if #start < SHORT then return nil, ("%s: %d digits of a hash are needed, or more"):format(source, SHORT) end
  local found
  for _, name in ipairs(fastr.files.list(fastr.setting("var", "var") .. "/packs") or {}) do
    if #name == 64 and name:sub(1, #start) == start then
      if found then return nil, ("the hashes of several packs begin with %s: give more of it"):format(start) end
      found = "sha256:" .. name
    end
  end
  return found, ("no pack on this host has a hash that begins with %s; one of the rules service needs all 64 digits")
    :format(start)
end

-- A pack as it is opened from a folder, with the promotions of the admin API that are live on this host: they are made
-- there and not on disk, so whatever goes live takes them along, and is looked at with them. A message that is about
-- them names their file.
local function with_edited(pack)
  local live = M.live()
  local text = live and edited.of(live.hash)
  if not text or text == pack:files()[edited.FILE] then return pack end
  local with, message = pack:with(edited.FILE, text)
  pack:close()
  return with, message
end

-- A pack of this host's, or, if it is named by a hash and not here, of the rules service.
local function open(source)
  if not source:find("^sha256:") then
    local pack, message = fastr.rules.open(source)
    if not pack then return nil, message end
    return with_edited(pack)
  end
  local pack, message, code = fastr.rules.open(source)
  if pack or code ~= "unavailable" or not source:find("^sha256:%x+$") or #source ~= 71 then return pack, message end
  local fetched, why = fetch(source)
  if fetched then return fastr.rules.open(source) end
  return nil, ("the rules %s are not on this host (%s), %s"):format(source:sub(8, 14), message, why)
end

-- An opened pack, proved by its examples if `proved`: pack, examples; or nil and the message as people are shown it.
function M.open(source, proved)
  source = source or M.folder()
  local name, unknown = whole(source)
  if not name then return nil, unknown end
  local pack, message = open(name)
  if not pack then return nil, M.shown(message, source) end
  if not proved then return pack end
  local examples
  examples, message = M.prove(pack, source)
  if examples then return pack, examples end
  pack:close()
  return nil, message
end

-- ---- what is live --------------------------------------------------------------------------------------------------

local NOBODY = "no master runs on this host, so no rules are live: start one with bin/up or `fastr serve`"

-- Asks the master that leads this host: its reply, or nil and why not.
function M.ask_leader(command)
  local leader = fastr.file.read("run/leader")
  if not leader then return nil, NOBODY end
  local reply, message = fastr.control(leader:match("^[^\n]*"), command)
  if not reply then return nil, NOBODY .. " (" .. message .. ")" end
  if not reply.ok then return nil, reply.error end
  return reply
end

-- What a master's status says of the rules: { hash, by, since, previous, trial (the last one, as fastr.rules.trial; nil
-- if there was none) }, or nil if it has none.
function M.of_status(status)
  for _, line in ipairs(status.lines or {}) do
    if line.line == "rules" and line.live ~= "" then
      return { hash = "sha256:" .. line.live, by = line.by, since = fastr.time.iso(line.at_ms),
        previous = line.previous ~= "" and line.previous and "sha256:" .. line.previous or nil,
        trial = line.trial ~= fastr.json.null and line.trial or nil }
    end
  end
end

-- What is live on this host, as above, or nil and why not.
function M.live()
  local status, message = M.ask_leader("status")
  if not status then return nil, message end
  local live = M.of_status(status)
  if not live then return nil, "no rules are live on this host" end
  return live
end

-- What is live on this host, opened; or nil and why not.
function M.open_live()
  local live, message = M.live()
  if not live then return nil, message end
  return M.open(live.hash)
end

-- Are these the rules on disk, as they would go live?
function M.is_on_disk(pack)
  local disk = M.open()
  local same = disk ~= nil and disk:hash() == pack:hash()
  if disk then disk:close() end
  return same
end

-- What is switched off in a pack: list of { rule, reason, by, at }.
function M.off(pack)
  local text = pack:files()["definitions/off.lua"]
  local chunk = text and loadstring(text, "=off")
  if not chunk then return {} end
  return setfenv(chunk, {})()
end

-- The pack with nothing switched off. Specs and golden carts say what rules do when they are on: one that is off for
-- now is not held against what others expect of it.
function M.with_all_on(pack)
  return #M.off(pack) > 0 and pack:with("definitions/off.lua", "return {}") or pack
end

-- The text to keep beside a pack that becomes live here: a signed statement where one is needed, none lies there that
-- holds, and this host has a key; else nil.
local function seal(pack, reason)
  if not statement.is_needed() or statement.kept(pack:hash()) then return nil end
  return (statement.sign(statement.of(pack, { author = who.user(), message = reason })))
end

-- Makes an opened pack live on this host: in all workers, or nil and which worker, file and line refused it. `reason`
-- may be nil. `force`: also if it is in quarantine here.
function M.activate(pack, reason, force)
  local stored, message = pack:store()
  if not stored then return nil, message end
  reason = (reason or ""):gsub("%c", " ")
  local sealed = seal(pack, reason)
  if sealed then pack:store(sealed) end
  if force then M.ask_leader("pardon rules " .. pack:hash():sub(8)) end
  return M.ask_leader(("activate rules %s %s %s"):format(pack:hash():sub(8), who.user(), reason))
end

return M
