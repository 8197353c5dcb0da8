-- view: how packs, reports, activations and hosts are shown. In rows hashes are bare; shown, they begin with "sha256:".

local M = {}

local array, null = fastr.json.array, fastr.json.null

local function named(hash)
  return hash and "sha256:" .. hash or null
end

function M.pack(row)
  local green = null
  if row.green ~= nil then green = row.green end
  return { hash = named(row.hash), parent = named(row.parent), author = row.author, message = row.message,
    files = row.files, by = row.by, at = row.at, keys = array(row.keys or {}), green = green }
end

function M.report(row)
  return { id = row.id, kind = row.kind, green = row.green, document = row.document, by = row.by, at = row.at }
end

function M.activation(row)
  return { number = row.number, id = row.id, mode = row.mode, pack = named(row.pack), share = row.share or null,
    limits = row.limits or null,
    reason = row.reason, forced = row.forced, by = row.by, hosts = row.hosts and array(row.hosts) or null,
    done_on = row.origin and row.origin:match("^[^/]+") or null, at = row.at }
end

local AWAY_S = 30

function M.host(row)
  return { name = row.name, live = named(row.live), before = named(row.before), trial = row.trial or null,
    applied = row.applied, refused = row.refused or null, signed = row.signed, keys = array(row.keys or {}),
    seen_at = row.seen_at, away = row.age > AWAY_S }
end

return M
