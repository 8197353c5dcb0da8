-- publish: a pack becomes one that others may run: it passes the gate, is signed with this host's key, is kept with the
-- signed statement beside it, and is brought to the rules service, which makes it live on every host.

local call = require "platform.call"
local gate = require "services.rules.gate"
local packs = require "services.rules.packs"
local reports = require "services.rules.reports"
local statement = require "services.rules.statement"
local who = require "services.rules.who"

local M = {}

local WAIT_MS, LOOK_MS = 15000, 50
local AWAY = { unavailable = true, timeout = true, busy = true, too_many_requests = true }

-- Is this host one of those that follow the rules service?
function M.follows()
  return fastr.setting("rules.agent", "false") == "true"
end

-- ---- checked and signed -------------------------------------------------------------------------------------------

-- The gate's report on the rules at `source`, kept beside the pack. `about`: parent (an opened pack; nil: what is live
-- here), is_meant and orders, as of gate.run.
function M.check(source, about)
  local live = not about.parent and packs.open_live() or nil
  local report = gate.run(source, { parent = about.parent or live, orders = about.orders,
    is_meant = about.is_meant })
  if live then live:close() end
  reports.keep(report)
  return report
end

-- The signed statement of a pack: what lies beside it and holds here, or a new one. Nil, why not, and code "missing"
-- where this host has no key.
local function sealed_of(pack, report, about)
  local kept = statement.kept(pack:hash())
  if kept then return kept end
  return statement.sign(statement.of(pack, { author = about.author or who.user(), message = about.message,
    parent = report.parent,
    report = fastr.crypto.sha256(fastr.json.canonical(report)) }))
end

-- The pack that the gate reported on, opened; or nil and why it goes no further. In development (no signature is
-- needed) a red report stops nobody: it is said, and shows everywhere.
local function passed(source, report, force)
  if not report.hash or not report.ok and statement.is_needed() and not force then
    return nil, "the gate refuses it: " .. reports.line(report) .. (report.hash and "   (--force REASON)" or "")
  end
  if not report.ok then io.stderr:write("the gate is ", reports.line(report), "\n") end
  local pack, message = packs.open(source)
  if not pack then return nil, message end
  if pack:hash() ~= report.hash then return nil, "the rules were changed while they were checked: try again" end
  return pack
end

-- Signs and stores a pack: true and its signed statement (nil where nobody can sign, and nobody has to); or nil and why
-- not.
local function store(pack, report, about)
  local stored, message = pack:store()
  if not stored then return nil, message end
  local sealed, why, code = sealed_of(pack, report, about)
  if sealed then
    stored, message = pack:store(sealed)
    return stored and true, stored and sealed or message
  end
  if not statement.is_needed() then return true end
  return nil, code == "missing" and "this host has no key to sign with: fastr rules key new" or why
end

-- Checks, signs and stores the rules of a folder, or a stored pack. `about`: message, `force` (why, although the gate
-- refuses it), author (default: who runs this), and what M.check wants. { pack (opened), hash, report,
-- sealed (as above) }; or nil, why not, and the report.
function M.prepare(source, about)
  local report = M.check(source, about)
  local pack, message = passed(source, report, about.force)
  if not pack then return nil, message, report end
  local stored, sealed = store(pack, report, about)
  if not stored then return nil, sealed, report end
  return { pack = pack, hash = pack:hash(), report = report, sealed = sealed }
end

-- ---- the service ----------------------------------------------------------------------------------------------------

-- Who asks, for the service's record.
local function by()
  return who.user() .. "@" .. who.host()
end

-- Asks the service: its reply; or nil, why not, and whether it cannot be reached.
local function ask(op, body, timeout_ms)
  fastr.task.set("service", "rules")
  local reply, failed = call.call("rules", op, body, { timeout_ms = timeout_ms or 10000, key = fastr.crypto.uuid7() })
  if reply then return reply end
  if AWAY[failed.code] then return nil, failed.title, true end
  return nil, failed.detail or failed.title or failed.code, false
end

-- All hosts that follow the service, as GET /rules/hosts shows them; nil and why not.
function M.hosts()
  if not M.follows() then return nil, "this host follows no service" end
  local reply, message = ask("hosts", {}, 1000)
  return reply and reply.items, message
end

-- Brings a prepared pack to the service: true; or nil, why not, and whether the service cannot be reached.
function M.send(made, about)
  local bundle = fastr.rules.stored(made.hash)
  local reply, message, away = ask("publish_for", { bundle = bundle, message = about.message, sealed = made.sealed,
    parent = made.report.parent, report = made.report, by = by(), author = who.user() })
  return reply and true, message, away
end

-- Is this host where the activation wants it?
local function is_there(hash, plan)
  local live = packs.live()
  if not live then return false end
  if not plan then return live.hash == hash end
  return live.trial and live.trial.running and "sha256:" .. live.trial.hash == hash
end

-- Makes a published pack live on all hosts, or tries it there (`plan`, as of trials.plan): true once this host has
-- followed; or nil, why not, and whether the service cannot be reached.
function M.activate(made, plan, about)
  local row, message, away = ask("activate_for", { pack = made.hash, mode = plan and plan.mode or "live",
    share = plan and plan.share or nil, limits = plan and plan.limits or nil, reason = about.reason or about.message,
    force = not made.report.ok or nil, by = by() })
  if not row then return nil, message, away end
  local ends = fastr.time.unix_ms() + WAIT_MS
  while not is_there(made.hash, plan) do
    if fastr.time.unix_ms() > ends then
      return nil, ("activation %d is written down for all hosts, but this host has not followed it: its log says why")
        :format(row.number), false
    end
    fastr.time.sleep(LOOK_MS)
  end
  return true
end

return M
