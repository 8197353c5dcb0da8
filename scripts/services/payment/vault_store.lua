-- vault_store: every SQL statement of the vault. What is encrypted stays so here.

local M = {}

local SHOWN = "id, owner, brand, last4, exp_month, exp_year, created_at, expires_at"
local WHOLE = SHOWN .. ", fingerprint, kek, wrapped_key, sealed_card, deleted_at"
local LOCK = 7042010 -- held shared while a card is stored, alone while a key-encryption key is given up

function M.share_keys(tx)
  tx:query("select pg_advisory_xact_lock_shared($1)", LOCK)
end

function M.lock_keys(tx)
  tx:query("select pg_advisory_xact_lock($1)", LOCK)
end

function M.add(tx, row)
  return tx:query([[insert into payment_methods (id, owner, brand, last4, exp_month, exp_year, fingerprint, kek,
      wrapped_key, sealed_card, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    on conflict (owner, fingerprint) where owner is not null and deleted_at is null do nothing returning ]] .. SHOWN,
    row.id, row.owner, row.brand, row.last4, row.exp_month, row.exp_year, row.fingerprint, row.kek, row.wrapped_key,
    row.sealed_card, row.created_at, row.expires_at)[1]
end

-- The customer's method of this card, locked.
function M.same_card(tx, owner, fingerprint)
  return tx:query("select " .. WHOLE .. " from payment_methods where owner = $1 and fingerprint = $2"
    .. " and deleted_at is null for update", owner, fingerprint)[1]
end

-- A new expiry, with what is encrypted of it.
function M.renew(tx, row)
  return tx:query("update payment_methods set exp_month = $2, exp_year = $3, kek = $4, wrapped_key = $5,"
    .. " sealed_card = $6 where id = $1 returning " .. SHOWN, row.id, row.exp_month, row.exp_year, row.kek,
    row.wrapped_key, row.sealed_card)[1]
end

local FIND = "select " .. WHOLE .. " from payment_methods where id = $1 and deleted_at is null"
  .. " and (expires_at is null or expires_at > $2)"

-- The method and its ciphers, from the primary; nil for what is deleted, and for a guest's whose hour is over.
function M.find(db, id, now)
  return db:latest(FIND, id, now)[1]
end

function M.find_in(tx, id, now)
  return tx:query(FIND, id, now)[1]
end

function M.list(db, owner)
  return db:read("select " .. SHOWN .. " from payment_methods where owner = $1 and deleted_at is null"
    .. " order by created_at, id", owner)
end

function M.count(tx, owner)
  return tx:query("select count(*)::integer as n from payment_methods where owner = $1 and deleted_at is null",
    owner)[1].n
end

-- Whose it is, deleted or not; locked.
function M.lock(tx, id)
  return tx:query("select " .. SHOWN .. ", deleted_at from payment_methods where id = $1 for update", id)[1]
end

-- Up to `limit` methods after `id` whose data key is wrapped by another key than `kek`, locked.
function M.wrapped_by_others(tx, kek, id, limit)
  return tx:query("select id, owner, kek, wrapped_key from payment_methods where deleted_at is null and kek <> $1"
    .. " and id > $2 order by id limit $3 for update", kek, id, limit)
end

function M.rewrap(tx, row)
  tx:query("update payment_methods set kek = $2, wrapped_key = $3 where id = $1", row.id, row.kek, row.wrapped_key)
end

local SHRED = "update payment_methods set deleted_at = $1, fingerprint = null, kek = null, wrapped_key = null,"
  .. " sealed_card = null where deleted_at is null and "

function M.shred(tx, id, now)
  tx:query(SHRED .. "id = $2", now, id)
end

function M.shred_expired(db, now)
  return db:write(SHRED .. "expires_at <= $1", now).affected
end

return M
