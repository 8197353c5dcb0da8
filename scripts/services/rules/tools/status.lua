-- fastr rules status: which rules are live on this host, since when and by whom, what each master runs, and what is
-- switched off.

local keys = require "services.rules.keys"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local reports = require "services.rules.reports"
local statement = require "services.rules.statement"
local trials = require "services.rules.trials"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules status [--json]",
  "    what is live on this host, since when, by whom; how a trial goes; what is switched off; exit 1 when a master",
  "    runs other rules",
}

-- Who signed a pack: "ID NAME", if this host trusts him; else nil.
local function signer(hash)
  local _, id = statement.kept(hash)
  for _, key in ipairs(id and keys.trusted() or {}) do
    if key.id == id then return id .. " " .. key.name end
  end
end

-- { live, by, since, previous, gate = the report of the live rules, trial, disk, off = list, masters = list of { name,
-- live } }, or nil and why not.
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
    signed_by = signer(live.hash), disk = fastr.rules.hash(packs.folder()),
    off = fastr.json.array(pack and packs.off(pack) or {}), masters = fastr.json.array(masters) }
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
