-- publish: a pack becomes one that others may run: it passes the gate, is signed with this host's key, and is kept with
-- the signed statement beside it.

local gate = require "services.rules.gate"
local packs = require "services.rules.packs"
local reports = require "services.rules.reports"
local statement = require "services.rules.statement"

local M = {}

-- The gate's report on an opened pack from `source`, against what is live here: { ok, checks, ... }, and its SHA-256.
local function report_of(source)
  local parent = packs.open_live()
  local report = gate.run(source, { parent = parent })
  reports.keep(report)
  if parent then parent:close() end
  return report, fastr.crypto.sha256(fastr.json.canonical(report))
end

-- The first check that failed, in words.
local function failure(report)
  local last = report.checks[#report.checks]
  return ("the gate refuses it: %s: %s"):format(last.name, last.detail)
end

-- Checks, signs and stores the rules of a folder, or a stored pack. `about`: message, author (default: who asks), and
-- `force`: why a pack that the gate refuses is signed all the same. { pack (opened), hash, report, sealed, key }; or
-- nil and why not, code "missing" where this host has no key.
function M.sign(source, about)
  local report, digest = report_of(source)
  if not report.hash or not (report.ok or about.force) then return nil, failure(report), "gate" end
  local pack, message = packs.open(source)
  if not pack then return nil, message end
  local text = statement.of(pack, { author = about.author or packs.user(), message = about.message,
    parent = report.parent, report = digest })
  local sealed, key, code = statement.sign(text)
  if not sealed then return nil, key, code end
  local stored
  stored, message = pack:store(sealed)
  if not stored then return nil, message end
  return { pack = pack, hash = pack:hash(), report = report, sealed = sealed, key = key }
end

return M
