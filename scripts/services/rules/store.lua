-- store: every SQL statement of the rules service. Statements return rows or raise. Hashes are without "sha256:".

local M = {}

local json, array = fastr.pg.json, fastr.pg.array

-- ---- packs ----------------------------------------------------------------------------------------------------------

local PACK = [[p.hash, p.number, p.parent, p.author, p.message, p.files, p.by, p.at,
  (select json_agg(s.key order by s.at) from signatures s where s.pack = p.hash) as keys,
  (select r.green from reports r where r.pack = p.hash and r.kind = 'gate' order by r.number desc limit 1) as green]]

-- Adds a pack; false if it was there.
function M.add_pack(tx, pack)
  return tx:query([[insert into packs (hash, parent, author, message, bundle, files, by)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict (hash) do nothing]], pack.hash, pack.parent, pack.author,
    pack.message, pack.bundle, pack.files, pack.by).affected > 0
end

function M.add_signature(tx, pack, key, sealed)
  tx:query([[insert into signatures (pack, key, sealed) values ($1, $2, $3) on conflict (pack, key) do nothing]], pack,
    key, sealed)
end

-- A page, newest first; `before` (a number) may be nil.
function M.list_packs(db, before, limit)
  return db:read("select " .. PACK .. [[ from packs p where ($1::bigint is null or p.number < $1)
    order by p.number desc limit $2]], before, limit)
end

-- One pack; nil if there is none. `reader` is a database or a transaction.
function M.pack(reader, hash)
  local sql = "select " .. PACK .. " from packs p where p.hash = $1"
  return (reader.latest and reader:latest(sql, hash) or reader:query(sql, hash))[1]
end

-- The stored form of a pack; nil if there is none. `reader` is a database or a transaction.
function M.bundle(reader, hash)
  local sql = "select bundle from packs where hash = $1"
  local row = (reader.latest and reader:latest(sql, hash) or reader:query(sql, hash))[1]
  return row and row.bundle
end

-- Its signed statements, latest first: list of { key, sealed, at }.
function M.signatures(db, hash)
  return db:latest("select key, sealed, at from signatures where pack = $1 order by at desc, key", hash)
end

-- ---- reports --------------------------------------------------------------------------------------------------------

function M.add_report(tx, report)
  return tx:query([[insert into reports (id, pack, kind, green, document, by) values ($1, $2, $3, $4, $5, $6)
    returning id, number, kind, green, document, by, at]], report.id, report.pack, report.kind, report.green,
    json(report.document), report.by)[1]
end

-- The newest of a pack, newest first.
function M.reports(db, hash, limit)
  return db:read([[select id, number, kind, green, document, by, at from reports where pack = $1
    order by number desc limit $2]], hash, limit)
end

-- ---- activations ----------------------------------------------------------------------------------------------------

local ACTIVATION = "number, id, mode, pack, share, limits, reason, forced, by, to_json(hosts) as hosts, origin, at"

-- Writes what is to be so from now on, and wakes the agents once it is committed. Nil if it was noted before.
function M.activate(tx, it)
  local row = tx:query([[insert into activations (id, mode, pack, share, reason, forced, by, hosts, origin, at, limits)
    values ($1, $2, $3, $4, $5, $6, $7, $8::text[], $9, $10, $11)
    on conflict (origin) do nothing returning ]] .. ACTIVATION, it.id, it.mode, it.pack, it.share, it.reason,
    it.forced or false, it.by, it.hosts and array(it.hosts) or nil, it.origin, it.at,
    it.limits and json(it.limits) or nil)[1]
  if row then tx:query("select pg_notify('rules', $1)", tostring(row.number)) end
  return row
end

-- A page, newest first; `before` (a number) and `host` (what concerns it) may be nil.
function M.history(db, before, host, limit)
  return db:read("select " .. ACTIVATION .. [[ from activations where ($1::bigint is null or number < $1)
      and ($2::text is null or hosts is null or $2 = any(hosts))
    order by number desc limit $3]], before, host, limit)
end

function M.newest(db)
  return db:latest("select coalesce(max(number), 0) as number from activations")[1].number
end

-- What concerns `host` and came after the activation `after`, up to `newest`, in order. What was done on a host itself
-- is not among it, but for what ended a trial everywhere.
function M.since(db, host, after, newest)
  return db:latest("select " .. ACTIVATION .. [[ from activations where number > $2 and number <= $3
    and (origin is null or hosts is null) and (hosts is null or $1 = any(hosts)) order by number]], host, after, newest)
end

-- The last activations that made something live on all hosts, newest first: list of { mode, pack }.
function M.fleet(tx, limit)
  return tx:query([[select mode, pack from activations where hosts is null and pack is not null
    and mode in ('live', 'off', 'rollback') order by number desc limit $1]], limit)
end

-- What last made something live where `host` is, as far as it is written down: { number, pack, origin }; pack is nil
-- where hosts went back by themselves. Nil if nothing did. `reader` is a database or a transaction.
function M.last_live(reader, host)
  local sql = [[select number, pack, origin from activations where mode in ('live', 'off', 'rollback')
    and (hosts is null or $1 = any(hosts)) order by number desc limit 1]]
  return (reader.latest and reader:latest(sql, host) or reader:query(sql, host))[1]
end

-- One writer at a time, so that agents never see an activation before an earlier one.
function M.lock(tx)
  tx:query("select pg_advisory_xact_lock(hashtextextended('rules.activations', 0))")
end

-- ---- hosts ----------------------------------------------------------------------------------------------------------

function M.see_host(db, host)
  db:write([[insert into hosts (name, live, before, trial, applied, refused, signed, keys, seen_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8::text[], clock_timestamp())
    on conflict (name) do update set live = excluded.live, before = excluded.before, trial = excluded.trial,
      applied = excluded.applied, refused = excluded.refused, signed = excluded.signed, keys = excluded.keys,
      seen_at = excluded.seen_at]], host.name, host.live, host.before, host.trial and json(host.trial) or nil,
    host.applied, host.refused and json(host.refused) or nil, host.signed, array(host.keys))
end

-- All hosts by name; `age`: seconds since they were seen.
function M.hosts(db)
  return db:latest([[select name, live, before, trial, applied, refused, signed, to_json(keys) as keys, seen_at,
    extract(epoch from clock_timestamp() - seen_at)::float8 as age from hosts order by name]])
end

return M
