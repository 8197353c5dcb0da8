-- store: every SQL statement of auth. Times are given by the caller (fastr.time), so that tests can shift them.

local M = {}

local db = require("platform.db").open("auth")

local function now()
  return fastr.time.now()
end

local function in_ms(ms)
  return fastr.time.iso(fastr.time.unix_ms() + ms)
end

-- function(tx) in one transaction; see platform.db.
function M.transaction(run)
  return db:transaction(run)
end

-- ---- accounts -----------------------------------------------------------------------------------------------------

-- Sign-in reads the primary: who has just registered must be found.
function M.account_by_email(email)
  return db:latest("select id, email, password, roles, created_at from accounts where email = $1", email)[1]
end

function M.account(id)
  return db:read("select id, email, roles, created_at from accounts where id = $1", id)[1]
end

-- true if this call made the account, false if the e-mail has one.
function M.add_account(id, email, password, roles)
  local rows = db:write("insert into accounts (id, email, password, roles, created_at, updated_at)"
    .. " values ($1, $2, $3, $4, $5, $5) on conflict (email) do nothing", id, email, password, fastr.pg.json(roles),
    now())
  return rows.affected == 1
end

function M.set_password(id, password)
  db:write("update accounts set password = $2, updated_at = $3 where id = $1", id, password, now())
end

-- Locks the owners, then changes the roles: two owners cannot take the last right from each other at once.
function M.owners_for_update(tx)
  return tx:query("select id from accounts where roles ? 'owner' order by id for update")
end

-- false if there is no such account.
function M.set_roles(tx, id, roles)
  local rows = tx:query("update accounts set roles = $2, updated_at = $3 where id = $1", id, fastr.pg.json(roles),
    now())
  return rows.affected == 1
end

-- ---- sessions -----------------------------------------------------------------------------------------------------

function M.add_session(tx, id, account, life_ms)
  tx:query("insert into sessions (id, account, created_at, expires_at) values ($1, $2, $3, $4)", id, account, now(),
    in_ms(life_ms))
end

function M.add_refresh_token(tx, hash, session)
  tx:query("insert into refresh_tokens (hash, session, created_at) values ($1, $2, $3)", hash, session, now())
end

-- The token with its session and account, locked; nil if there is none. `is_live`: neither revoked nor expired;
-- `is_recent`: it was used within `grace_ms`.
function M.refresh_token(tx, hash, grace_ms)
  return tx:query("select t.session, t.used_at is not null as is_used, t.used_at > $3 as is_recent, t.salt, s.account,"
    .. " a.roles, s.revoked_at is null and s.expires_at > $2 as is_live from refresh_tokens t"
    .. " join sessions s on s.id = t.session join accounts a on a.id = s.account where t.hash = $1"
    .. " for update of t, s", hash, now(), in_ms(-grace_ms))[1]
end

-- Without a lock: who uses it meanwhile waits for the session, which the caller has.
function M.is_used(tx, hash)
  local row = tx:query("select used_at is not null as is_used from refresh_tokens where hash = $1", hash)[1]
  return row ~= nil and row.is_used
end

function M.use_refresh_token(tx, hash, salt)
  tx:query("update refresh_tokens set used_at = $2, salt = $3 where hash = $1", hash, now(), salt)
end

function M.revoke_session(tx, session)
  tx:query("update sessions set revoked_at = $2 where id = $1 and revoked_at is null", session, now())
end

function M.revoke_all(tx, account)
  tx:query("update sessions set revoked_at = $2 where account = $1 and revoked_at is null", account, now())
end

-- ---- failed sign-ins ----------------------------------------------------------------------------------------------

-- Seconds until the later of two subjects is let in again; 0 if both are.
function M.locked_seconds(account, address)
  local rows = db:latest("select ceil(extract(epoch from max(locked_until) - $3::timestamptz))::bigint as seconds"
    .. " from failures where subject in ($1, $2) and locked_until > $3", account, address, now())
  return rows[1] and rows[1].seconds or 0
end

-- Counts a failure (from 1 again after `window_ms` of quiet); past `limit` the subject waits, twice as long each time.
function M.add_failure(subject, limit, window_ms, lock_s, lock_max_s)
  db:write("insert into failures as f (subject, count, last_at) values ($1, 1, $2) on conflict (subject) do update set"
    .. " count = case when f.last_at < $3 then 1 else f.count + 1 end, last_at = $2, locked_until ="
    .. " case when f.last_at >= $3 and f.count + 1 >= $4 then $2::timestamptz + make_interval(secs =>"
    .. " least($6::float8, $5::float8 * 2 ^ least(f.count + 1 - $4, 20))) else f.locked_until end",
    subject, now(), in_ms(-window_ms), limit, lock_s, lock_max_s)
end

function M.clear_failures(subject)
  db:write("delete from failures where subject = $1", subject)
end

-- ---- housekeeping -------------------------------------------------------------------------------------------------

function M.lock_keys(tx)
  tx:query("select pg_advisory_xact_lock(hashtextextended('auth.keys', 0))")
end

function M.sweep()
  db:write("delete from sessions where expires_at < $1", in_ms(-7 * 86400000))
  db:write("delete from failures where last_at < $1", in_ms(-86400000))
end

return M
