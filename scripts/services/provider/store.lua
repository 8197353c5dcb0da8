-- store: every SQL statement of the test provider. Statements return rows or raise. Times are texts of fastr.time.

local M = {}

-- A charge with the sums of its entries.
local CHARGE = [[select c.id, c.key, c.status, c.amount, c.currency, c.capture, c.brand, c.last4, c.card,
    c.decline_code, c.reference, c.return_url, c.challenge, c.sequence, c.created_at, c.expires_at,
    coalesce(e.captured, 0)::bigint as captured, coalesce(e.refunded, 0)::bigint as refunded,
    coalesce(e.voided, 0)::bigint as voided
  from charges c left join lateral (
    select sum(amount) filter (where kind = 'capture') as captured,
      sum(amount) filter (where kind = 'refund') as refunded, sum(amount) filter (where kind = 'void') as voided
    from entries where charge_id = c.id) e on true ]]

-- ---- charges ------------------------------------------------------------------------------------------------------

-- From the primary: who asks whether he was charged must never hear that he was not.
function M.charge(db, id)
  return db:latest(CHARGE .. "where c.id = $1", id)[1]
end

function M.charge_of_key(db, key)
  return db:latest(CHARGE .. "where c.key = $1", key)[1]
end

-- A page of the charges that were made since then, in the order of their ids, after `after` (nil: from the first).
function M.charges(db, since, after, limit)
  return db:latest(CHARGE .. "where c.created_at >= $1 and ($2::uuid is null or c.id > $2) order by c.id limit $3",
    since, after, limit)
end

function M.charge_of_challenge(db, token)
  return db:latest(CHARGE .. "where c.challenge = $1", token)[1]
end

function M.charge_in(tx, id)
  return tx:query(CHARGE .. "where c.id = $1", id)[1]
end

-- The charge, locked until the transaction ends. The sums are read after the lock is held.
function M.lock(tx, id)
  if not tx:query("select id from charges where id = $1 for update", id)[1] then return nil end
  return M.charge_in(tx, id)
end

function M.add_charge(tx, c, now)
  tx:query([[insert into charges (id, key, status, amount, currency, capture, brand, last4, card, decline_code,
      reference, return_url, challenge, created_at, updated_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)]],
    c.id, c.key, c.status, c.amount, c.currency, c.capture, c.brand, c.last4, c.card, c.decline_code, c.reference,
    c.return_url, c.challenge, now)
end

function M.set_status(tx, id, status, decline_code, now)
  tx:query("update charges set status = $2, decline_code = $3, updated_at = $4 where id = $1", id, status,
    decline_code, now)
end

function M.set_expiry(tx, id, at)
  tx:query("update charges set expires_at = $2 where id = $1", id, at)
end

-- Charges whose authorisation has run out, at most `limit`: rows {id}.
function M.lapsed(db, now, limit)
  return db:latest([[select id from charges where status = 'authorised' and expires_at <= $1
    order by expires_at limit $2]], now, limit)
end

function M.add_entry(tx, e, now)
  tx:query("insert into entries (id, charge_id, kind, amount, key, at) values ($1, $2, $3, $4, $5, $6)",
    e.id, e.charge, e.kind, e.amount, e.key, now)
end

-- The entry that a key has made: {id, kind, amount}, or nil.
function M.entry_of_key(tx, charge, kind, key)
  return tx:query("select id, kind, amount from entries where charge_id = $1 and kind = $2 and key = $3", charge, kind,
    key)[1]
end

-- ---- keys ---------------------------------------------------------------------------------------------------------

-- Names an action: nil if this is the first with that key, else the row {fingerprint, charge}, committed by another.
function M.claim(tx, endpoint, key, fingerprint, charge, now)
  local added = tx:query([[insert into keys (endpoint, key, fingerprint, charge_id, created_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing]], endpoint, key, fingerprint, charge, now)
  if added.affected == 1 then return nil end
  return tx:query("select fingerprint, charge_id as charge from keys where endpoint = $1 and key = $2", endpoint,
    key)[1]
end

-- ---- webhooks -----------------------------------------------------------------------------------------------------

-- The charge's next sequence number.
function M.next_sequence(tx, charge)
  return tx:query("update charges set sequence = sequence + 1 where id = $1 returning sequence", charge)[1].sequence
end

function M.add_webhook(tx, w, now)
  tx:query([[insert into webhooks (event_id, charge_id, sequence, type, body, due_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7)]], w.event, w.charge, w.sequence, w.type, w.body, w.due_at, now)
end

-- Takes for sending what is due and free at t.now and not older than t.oldest, at most t.limit, until t.lease_until.
-- Returns rows {id, event, charge, body, tries}, in any order.
function M.take_webhooks(db, t)
  return db:write([[update webhooks set lease_until = $2, tries = tries + 1 where id in (
      select id from webhooks where delivered_at is null and due_at <= $1 and created_at > $4
        and (lease_until is null or lease_until <= $1)
      order by due_at, id limit $3 for update skip locked)
    returning id, event_id as event, charge_id as charge, body, tries]], t.now, t.lease_until, t.limit, t.oldest)
end

function M.delivered(db, id, answer, now)
  db:write("update webhooks set delivered_at = $3, last_answer = $2, lease_until = null where id = $1", id, answer, now)
end

-- Not this time: again at `due_at`.
function M.put_off(db, id, answer, due_at)
  db:write("update webhooks set due_at = $3, last_answer = $2, lease_until = null where id = $1", id, answer, due_at)
end

function M.forget_delivered(db, before)
  db:write("delete from webhooks where delivered_at < $1", before)
end

return M
