-- fastr rules status: which rules are live on this host, since when and by whom, what each master and each other host
-- runs, and what is switched off.

local keys = require "services.rules.keys"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local publish = require "services.rules.publish"
local reports = require "services.rules.reports"
local statement = require "services.rules.statement"
local trials = require "services.rules.trials"
local who = require "services.rules.who"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules status [--json]",
  "    what is live on this host, since when, by whom; how a trial goes; what is switched off; what the other hosts",
  "    run, as far as the service knows; exit 1 when a master of this host runs other rules",
}

-- Who signed a pack: "ID NAME", if this host trusts him; else nil.
local function signer(hash)
  local _, id = statement.kept(hash)
  for _, key in ipairs(id and keys.trusted() or {}) do
    if key.id == id then return id .. " " .. key.name end
  end
end

-- The hash of the rules on disk; those of what is live where the disk has what is written there by hand.
local function on_disk(live)
  return live and packs.is_on_disk(live) and live:hash() or fastr.rules.hash(packs.folder())
end

-- The other hosts, as the service shows them; none where it is away.
local function others()
  local list = {}
  for _, host in ipairs(publish.hosts() or {}) do
    if host.name ~= who.host() then list[#list + 1] = host end
  end
  return fastr.json.array(list)
end

-- { live, by, since, previous, gate = the report of the live rules, trial, disk, off = list, masters = list of { name,
-- live }, hosts = list, as the service shows the others }, or nil and why not.
local function look()
  local live, message = packs.live()
  if not live then return nil, message end
  local pack, masters = packs.open(live.hash), {}
  for _, name in ipairs(fastr.masters()) do
    local status = fastr.control(name, "status")
    local its = status and packs.of_status(status)
    masters[#masters + 1] = { name = name, live = its and its.hash or fastr.json.null,
      workers = status and #status.workers or 0 }
  end
  return { live = live.hash, by = live.by, since = live.since, previous = live.previous,
    trial = live.trial or fastr.json.null, gate = reports.of(live.hash),
    signed_by = signer(live.hash), disk = on_disk(pack),
    off = fastr.json.array(pack and packs.off(pack) or {}), masters = fastr.json.array(masters),
    hosts = others() }
end

-- What another host runs, and why it does not follow, or that nothing is heard of it.
local function show_host(host, live)
  local note = host.live ~= live and "   DIFFERS" or ""
  if host.refused ~= fastr.json.null then note = note .. "   refuses: " .. host.refused.problem end
  if host.away then note = note .. "   not heard of since " .. host.seen_at end
  print(("host     %s   %s%s"):format(host.name, words.hash(host.live), note))
end

local function show(report)
  print(("live     %s   by %s, since %s"):format(words.hash(report.live), report.by, report.since))
  local checks = report.disk == report.live and "" or " " .. report.live
  print("gate     " .. (report.gate and reports.line(report.gate) or "not checked yet: fastr rules check" .. checks))
  print("signed   " .. (report.signed_by and "by " .. report.signed_by or "by no key that this host trusts"))
  if report.previous then print(("before   %s   fastr rules rollback"):format(words.hash(report.previous))) end
  if report.disk ~= report.live then
    print(("on disk  %s   fastr rules replay --with %s, then fastr rules activate"):format(
      report.disk and words.hash(report.disk) or "unreadable", packs.folder()))
  end
  if report.trial ~= fastr.json.null then
    print("trial    " .. table.concat(trials.lines(report.trial), "\n         "))
  end
  for _, entry in ipairs(report.off) do
    print(("off      %s: %s   fastr rules on %s"):format(entry.rule, entry.reason, entry.rule))
  end
  for _, master in ipairs(report.masters) do
    print(("  %-16s %s   %s%s"):format(master.name, words.many(master.workers, "worker"),
      master.live == fastr.json.null and "does not answer" or words.hash(master.live),
      master.live ~= report.live and "   DIFFERS" or ""))
  end
  for _, host in ipairs(report.hosts) do show_host(host, report.live) end
end

function M.main(arguments)
  local given, message = options.read(arguments, {}, { json = false })
  if not given then return nil, message end
  local report
  report, message = look()
  if not report then return false, message end
  if given.json then print(fastr.json.encode(report)) else show(report) end
  for _, master in ipairs(report.masters) do
    if master.live ~= report.live then return false end
  end
  return true
end

return M
