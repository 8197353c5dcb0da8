-- store: the SQL statements about payments, their ledger and the provider's events. Statements return rows or raise.
-- Times are texts of fastr.time. What belongs to the vault is in
-- vault_store.lua, what belongs to gift cards in gift_store.lua.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

local COLUMNS = [[p.id, p.order_id as "order", p.customer_id as customer, p.payment_method, p.brand, p.last4, p.amount,
  p.currency, p.capture, p.provider, p.charge, p.status, p.reason, p.next_action, p.keep_nothing, p.tries,
  p.created_at, p.expires_at, p.on_expiry, p.expiry_notice_s, p.from_gift_cards]]

-- ---- payments -----------------------------------------------------------------------------------------------------

-- The payment, from the primary: who has just paid must not hear that there is no such payment. Nil if there is none.
function M.load(db, id)
  return db:latest("select " .. COLUMNS .. " from payments p where p.id = $1", id)[1]
end

function M.lock(tx, id)
  return tx:query("select " .. COLUMNS .. " from payments p where p.id = $1 for update", id)[1]
end

-- Opens a payment whose outcome is unknown; false if the attempt has one.
function M.open(tx, p, next_try_at, now)
  return tx:query([[insert into payments (id, order_id, customer_id, payment_method, brand, last4, amount, currency,
      capture, provider, status, next_try_at, created_at, updated_at, on_expiry, expiry_notice_s, from_gift_cards)
    values ($1, $2, $3::uuid, $4, $5, $6, $7, $8, $9, $10, 'unknown', $11, $12, $12, $13, coalesce($14, 0),
      coalesce($15, 0))
    on conflict do nothing]],
    p.attempt, p.order, p.customer, p.payment_method, p.brand, p.last4, p.amount, p.currency, p.capture, p.provider,
    next_try_at, now, p.on_expiry, p.expiry_notice_s, p.from_gift_cards).affected == 1
end

-- Marks an attempt that nobody has asked for as given up; does nothing if it is known.
function M.give_up_unheard(tx, id, now)
  tx:query([[insert into payments (id, amount, status, reason, keep_nothing, created_at, updated_at)
    values ($1, 0, 'voided', 'given up before it was asked for', true, $2, $2) on conflict do nothing]], id, now)
end

-- Writes back what changes of a locked payment. `next_try_at` nil: nothing is left to do on it.
function M.save(tx, p, next_try_at, now)
  tx:query([[update payments set status = $2, charge = $3, reason = $4, next_action = $5, keep_nothing = $6,
      next_try_at = $7, tries = $8, updated_at = $9, expires_at = $10 where id = $1]],
    p.id, p.status, p.charge, p.reason, p.next_action and json(p.next_action), p.keep_nothing, next_try_at, p.tries,
    now, p.expires_at)
end

-- Takes up to `limit` payments on which something is due: each is put off first, longer every time, so that two
-- resolvers do not work on the same one. Returns rows {id}.
function M.take_due(db, now, limit)
  return db:write([[update payments set tries = tries + 1,
      next_try_at = $1::timestamptz + least(interval '60 s', interval '500 ms' * power(2, least(tries + 1, 10)))
    where id in (select id from payments where next_try_at <= $1 order by next_try_at limit $2
      for update skip locked) returning id]], now, limit)
end

-- For who compares: whole payments with their ledger (`entries`, in their order), what gift cards paid and
-- were given back (`gift_entries`) and `updated_at`.
local COMPARED = "select " .. COLUMNS .. [[,
  to_char(p.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as updated_at,
  coalesce((select jsonb_agg(jsonb_build_object('kind', l.kind, 'key', l.key, 'state', l.state, 'amount', l.amount)
    order by l.id) from ledger l where l.payment_id = p.id), '[]') as entries,
  coalesce((select jsonb_agg(jsonb_build_object('kind', g.kind, 'key', g.key, 'amount', g.amount) order by g.id)
    from gift_card_entries g where g.payment_id = p.id), '[]') as gift_entries from payments p where ]]

function M.of_orders(db, orders)
  return db:latest(COMPARED .. "p.order_id = any($1::uuid[]) order by p.id", array(orders))
end

function M.of_ids(db, ids)
  return db:latest(COMPARED .. "p.id = any($1::uuid[]) order by p.id", array(ids))
end

-- A page of those that were asked for since then, in the order of their ids, after `after` (nil: from the first).
function M.page(db, since, after, limit)
  return db:slow(COMPARED .. [[p.created_at >= $1 and p.order_id is not null and ($2::uuid is null or p.id > $2)
    order by p.id limit $3]], since, after, limit)
end

-- How often the method was declined since `since`.
function M.declined(db, method, since)
  return db:latest([[select count(*) as n from payments
    where payment_method = $1 and status = 'declined' and created_at > $2]], method, since)[1].n
end

-- Since when the oldest payment waits for the provider's answer (not for a shopper's); nil if none does.
function M.oldest_unanswered(db)
  return db:latest([[select min(updated_at) as at from payments
    where next_try_at is not null and status <> 'requires_action']])[1].at
end

-- ---- the ledger ---------------------------------------------------------------------------------------------------

local ENTRIES = [[select kind, key, state, amount, reference, reason, at from ledger where payment_id = $1
  order by id]]

function M.entries(tx, id)
  return tx:query(ENTRIES, id)
end

function M.latest_entries(db, id)
  return db:latest(ENTRIES, id)
end

function M.add_entry(tx, id, e, now)
  tx:query([[insert into ledger (payment_id, kind, key, state, amount, reference, actor, reason, at)
    values ($1, $2, $3, $4, $5, $6, coalesce($7, 'service'), coalesce($8, ''), $9)]],
    id, e.kind, e.key, e.state, e.amount, e.reference, e.actor, e.reason, now)
end

-- ---- the provider's events ----------------------------------------------------------------------------------------

-- Keeps an event; if it is known, returns nothing. The row is {} or nil.
function M.add_webhook(tx, event, payment, now)
  return tx:query([[insert into webhooks (event_id, payment_id, type, sequence, at) values ($1, $2, $3, $4, $5)
    on conflict do nothing returning event_id]], event.id, payment, event.type, event.sequence, now)[1]
end

function M.park_webhook(tx, event, why)
  tx:query("update webhooks set problem = $2 where event_id = $1", event.id, why)
end

-- What was wrong with a known event, or nil.
function M.webhook_problem(tx, event)
  local row = tx:query("select problem from webhooks where event_id = $1", event.id)[1]
  return row and row.problem
end

return M
