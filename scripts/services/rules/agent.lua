-- agent: what one process of each host does for it: it follows the activations that the service has written, with packs
-- that this host's own keys vouch for, and writes down there what was done on the host itself.
--
--   activations newer than `applied` --> pack on disk (fetched, verified) --> the leading master --> applied
--   VAR/run/journal, newer than `noted` --> activations of this host alone, with their packs
--
-- What cannot be followed changes nothing, is told (hosts.refused), and tried again until something newer takes its
-- place. A database that is away costs nothing: the host goes on with what is live, and its commands need nobody.

local bundle = require "services.rules.bundle"
local database = require "platform.db"
local fleet = require "services.rules.fleet"
local keys = require "services.rules.keys"
local problem = require "lib.problem"
local statement = require "services.rules.statement"
local store = require "services.rules.store"
local who = require "services.rules.who"

local M = {}

local host, file, json, time = fastr.host, fastr.file, fastr.json, fastr.time

local STATE, AGAIN_MS, TELL_MS = "run/rules-agent", 2000, 5000
local OWN = "#" -- what this does is done by "#NUMBER/WHO"; what others do on the host is not

-- ---- what it remembers ----------------------------------------------------------------------------------------------

-- { applied = number, noted = us, breach = ms; last, refused, again_ms; told, told_ms, kept (hashes); read = bytes of
-- the journal }; the first three outlive the process.
local state

local function remember()
  file.write(STATE, json.encode { applied = state.applied, noted = state.noted, breach = state.breach })
end

local function recall()
  local text = file.read(STATE)
  local kept = text and json.decode(text)
  local function number(name) return type(kept) == "table" and tonumber(kept[name]) or 0 end
  state = { applied = number "applied", noted = number "noted", breach = number "breach" }
end

-- What the leading master says of the rules: { live, by, previous, trial }, or nil.
local function look()
  local status = host.ask("status")
  for _, line in ipairs(status and status.lines or {}) do
    if line.line == "rules" then
      return { live = line.live, by = line.by, previous = line.previous ~= "" and line.previous or nil,
        trial = line.trial ~= json.null and line.trial or nil }
    end
  end
end

-- ---- following ------------------------------------------------------------------------------------------------------

local function one_line(text)
  return (text:gsub("%c", " "):sub(1, 300))
end

-- Who is behind it, as one word of a command.
local function doer(row)
  return (OWN .. row.number .. "/" .. row.by:gsub("[^%w@._-]", "")):sub(1, 40)
end

-- Is the pack on disk, with a signature that holds here where one is needed? Fetches it if not. True, or nil and why
-- not.
local function fetch(db, hash)
  if fastr.rules.stored(hash) and (statement.kept(hash) or not statement.is_needed()) then return true end
  local text = store.bundle(db, hash)
  if not text then return nil, "the pack is not in the service's record" end
  local why
  for _, row in ipairs(store.signatures(db, hash)) do
    local kept
    kept, why = fastr.rules.keep(hash, text, row.sealed)
    if kept then return true end
  end
  local kept, otherwise = fastr.rules.keep(hash, text)
  if kept then return true end
  return nil, why or otherwise
end

local function ask(command)
  local reply, message = host.ask(command)
  if not reply then return nil, message end
  if not reply.ok then return nil, reply.error end
  return true
end

-- Was this row the last that changed what is live? An agent that was killed has not noted it, and a rollback that is
-- done twice goes back too far.
local function is_done(row, now)
  return now.by:sub(1, #(OWN .. row.number) + 1) == OWN .. row.number .. "/"
end

local function follow_live(db, row, now)
  if is_done(row, now) then return true end
  if row.mode == "rollback" and (not row.pack or row.pack == now.previous) then
    return ask(("rollback rules %s %s"):format(doer(row), one_line(row.reason)))
  end
  if row.pack == now.live then return true end
  local fetched, why = fetch(db, row.pack)
  if not fetched then return nil, why end
  return ask(("activate rules %s %s %s"):format(row.pack, doer(row), one_line(row.reason)))
end

local function follow_trial(db, row, now)
  if row.mode == "stop" then
    local running = now.trial and now.trial.running and now.trial.hash
    if not running or row.pack and row.pack ~= running then return true end
    return ask(("stop rules %s %s"):format(doer(row), one_line(row.reason)))
  end
  local fetched, why = fetch(db, row.pack)
  if not fetched then return nil, why end
  local limits = row.limits and (" %d %d %d"):format(row.limits.drift, row.limits.errors, row.limits.after) or ""
  return ask(("trial rules %s %s %d %s%s"):format(row.pack, row.mode, row.share, doer(row), limits))
end

-- Does what the rows come to: true, or nil, which row was refused, and why.
local function follow(db, rows, now)
  local wanted = fleet.wanted(rows)
  for _, part in ipairs { "live", "trial" } do
    local row = wanted[part]
    if row then
      local done, why = (part == "live" and follow_live or follow_trial)(db, row, now)
      if not done then return nil, row, why end
      fastr.log.info("rules: followed an activation", { activation = row.number, mode = row.mode, pack = row.pack })
      state.applied = row.number -- whatever becomes of the trial after it
      remember()
    end
  end
  return true
end

-- Tells of a refusal once, and puts the next try off.
local function refuse(row, why)
  state.again_ms = time.unix_ms() + AGAIN_MS
  if not state.refused or state.refused.activation ~= row.number or state.refused.problem ~= why then
    fastr.log.error("rules: an activation cannot be followed here", { activation = row.number, reason = why })
    state.told_ms = 0
  end
  state.refused = { activation = row.number, pack = row.pack and "sha256:" .. row.pack or json.null, problem = why }
end

local function catch_up(db, name, now)
  local newest = store.newest(db)
  if newest <= state.applied then return false end
  local rows = store.since(db, name, state.applied, newest)
  if #rows == 0 then
    state.applied, state.refused, state.told_ms = newest, nil, 0
    return false
  end
  if state.refused and rows[#rows].number == state.last and time.unix_ms() < state.again_ms then return false end
  state.last = rows[#rows].number
  local done, row, why = follow(db, rows, now)
  if not done then
    refuse(row, why)
    return false
  end
  state.applied, state.refused, state.told_ms = newest, nil, 0
  remember()
  return true
end

-- ---- what was done here ---------------------------------------------------------------------------------------------

-- A stored pack that the service has not got is written down with what it became live by.
local function add_pack(tx, name, hash, by, reason)
  if store.pack(tx, hash) then return true end
  local text = fastr.rules.stored(hash)
  if not text then return false end
  local sealed = statement.kept(hash)
  local parts = sealed and statement.parts(sealed)
  local says = parts and parts.says or {}
  store.add_pack(tx, { hash = hash, parent = says.parent, author = says.author or by,
    message = says.message or (reason ~= "" and reason or "made live on " .. name), bundle = text,
    files = #bundle.files(text), by = by })
  if parts then store.add_signature(tx, hash, parts.key, sealed) end
  return true
end

local function write_down(db, name, entry)
  local by = entry.by .. "@" .. name
  return db:transaction(function(tx)
    store.lock(tx)
    local hash = entry.hash ~= "" and entry.hash or nil
    if hash and not add_pack(tx, name, hash, by, entry.reason) then hash = nil end
    local mode = entry.mode == "live" and entry.reason:find("^off ") and "off" or entry.mode
    if hash or mode == "rollback" or mode == "stop" then
      store.activate(tx, { id = fastr.crypto.uuid7(), mode = mode, pack = hash, reason = entry.reason, by = by,
        share = entry.share > 0 and entry.share or nil, hosts = not entry.everywhere and { name } or nil,
        origin = name .. "/" .. entry.id,
        at = time.iso(entry.at_ms) })
    end
    return true
  end)
end

-- What follows the line that was noted last, whatever the clock did since; all of it where that line is not.
local function unread(text)
  local at = text:find(('"at_us":%.0f,'):format(state.noted), 1, true)
  return text:sub(at and (text:find("\n", at, true) or #text) + 1 or 1), at ~= nil
end

-- The lines of the journal that are not noted, with what was turned over meanwhile; `text`: the journal.
local function lines_of(path, text)
  local new, found = unread(text)
  if found then return new end
  local old, known = unread(fastr.files.read(path .. ".old") or "")
  return known and old .. new or new
end

-- Is the last word of the service's record what was done here before this? It was noted after the activation that this
-- host has followed since, which would seem undone by it.
local function has_overtaken(db, name, entry)
  local last = store.last_live(db, name)
  local at_us = last and last.origin and tonumber(last.origin:match("/(%d+)$"))
  return at_us and at_us < entry.at_us and last.pack ~= entry.hash
end

-- Writes down a line of the journal, unless the service knows it: it asked for it.
local function note(db, name, entry)
  if entry.line ~= "rules" then return end
  if entry.by:sub(1, 1) == OWN then
    if entry.mode ~= "live" and entry.mode ~= "rollback" or not has_overtaken(db, name, entry) then return end
    entry.by = entry.by:match("/(.*)$") or "rules"
  end
  entry.id, entry.at_ms = ("%.0f"):format(entry.at_us), math.floor(entry.at_us / 1000)
  write_down(db, name, entry)
end

local function note_journal(db, name)
  local path = fastr.setting("var", "var") .. "/run/journal"
  local text = fastr.files.read(path)
  if not text or #text == state.read then return end
  for line in lines_of(path, text):gmatch("[^\n]+") do
    local entry = json.decode(line)
    if entry then
      note(db, name, entry)
      state.noted = entry.at_us
      remember()
    end
  end
  state.read = #text
end

-- A trial that ended itself has no command, and what one host saw of the candidate ends it on all.
local function note_breach(db, name, now)
  local trial = now.trial
  if not trial or trial.running or not trial.breach or trial.ended_ms <= state.breach then return end
  write_down(db, name, { mode = "stop", hash = trial.hash, everywhere = true, by = "guard", reason = trial.reason,
    share = 0, id = "trial-" .. trial.ended_ms, at_ms = trial.ended_ms })
  state.breach = trial.ended_ms
  remember()
end

-- What is live by no command (at the first start of all) is kept there, too: orders are proved with it for ever.
local function keep_live(db, name, now)
  if state.kept == now.live then return end
  db:transaction(function(tx) return add_pack(tx, name, now.live, "start@" .. name, "") end)
  state.kept = now.live
end

local function tell(db, name, now)
  if time.unix_ms() < (state.told_ms or 0) + TELL_MS and state.told == now.live then return end
  local ids = {}
  for i, key in ipairs(keys.trusted() or {}) do ids[i] = key.id end
  store.see_host(db, { name = name, live = now.live, before = now.previous, trial = now.trial, applied = state.applied,
    refused = state.refused, signed = statement.is_needed(), keys = ids })
  state.told_ms, state.told = time.unix_ms(), now.live
end

-- ---- a round --------------------------------------------------------------------------------------------------------

local function round()
  local db, name, now = database.open("rules"), who.host(), look()
  if not now then return "the leading master does not answer" end
  if catch_up(db, name, now) then now = look() or now end
  note_journal(db, name)
  note_breach(db, name, now)
  keep_live(db, name, now)
  tell(db, name, now)
end

-- Follows, writes down and tells, once: whether all of it could be done. `said(word)` is called with where the host
-- stands: "current", or why not.
function M.round(said)
  if not state then recall() end
  local ok, why = xpcall(round, fastr.traceback)
  if ok and not why then
    said(state.refused and "an activation is refused: " .. state.refused.problem or "current")
    return true
  end
  if ok then return false end
  said("on its own: the service's database is away")
  if not problem.is(why) then error(why, 0) end
  return false
end

return M
