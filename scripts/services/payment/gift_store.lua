-- gift_store: the SQL statements about gift cards and their entries. Statements return rows or raise.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

-- A card with what is on it.
local CARD = [[select c.id, c.last4, c.currency, c.initial, c.status, c.expires_at, c.batch, c.created_at,
    coalesce((select sum(e.amount) from gift_card_entries e where e.card_id = c.id), 0)::bigint as balance
  from gift_cards c ]]

-- Issues the cards of a list of {id, code_hash, last4, currency, amount, expires_at, batch, place}, with their first
-- entries.
function M.issue(tx, cards, actor, reason, now)
  tx:query([[with made as (insert into gift_cards (id, code_hash, last4, currency, initial, expires_at, batch, place,
        created_at, updated_at)
      select c.id, c.code_hash, c.last4, c.currency, c.amount, c.expires_at, c.batch, c.place, $2, $2
      from jsonb_to_recordset($1::jsonb) as c(id uuid, code_hash text, last4 text, currency text, amount bigint,
        expires_at timestamptz, batch uuid, place integer) returning id, batch, initial)
    insert into gift_card_entries (card_id, kind, key, amount, actor, reason, at)
    select id, 'issue', batch::text, initial, $3, $4, $2 from made]], json(cards), now, actor, reason)
end

-- The cards of a batch, in its order. From the primary.
function M.batch(db, batch)
  return db:latest(CARD .. "where c.batch = $1 order by c.place", batch)
end

-- From the primary: what is on a card must never look larger than it is.
function M.load(db, id)
  return db:latest(CARD .. "where c.id = $1", id)[1]
end

function M.find(db, code_hash)
  return db:latest(CARD .. "where c.code_hash = $1", code_hash)[1]
end

-- A page of cards, newest first, before the card `cursor`; `last4` and `batch` leave out the others, nil: none.
function M.list(db, last4, batch, cursor, limit)
  return db:read(CARD .. [[where ($1::text is null or c.last4 = $1) and ($2::uuid is null or c.batch = $2)
      and ($3::uuid is null or (c.created_at, c.id) < (select b.created_at, b.id from gift_cards b where b.id = $3))
    order by c.created_at desc, c.id desc limit $4]], last4, batch, cursor, limit)
end

-- The cards, locked in the order of their ids; read in a second statement, which sees what the last holder wrote.
function M.lock(tx, ids)
  local list = array(ids)
  tx:query("select 1 as found from gift_cards where id = any($1::uuid[]) order by id for update", list)
  return tx:query(CARD .. "where c.id = any($1::uuid[])", list)
end

function M.set(tx, id, status, expires_at, now)
  tx:query("update gift_cards set status = $2, expires_at = $3, updated_at = $4 where id = $1", id, status, expires_at,
    now)
end

-- ---- entries ------------------------------------------------------------------------------------------------------

-- Adds an entry {card, kind, key, amount (signed), payment, actor, reason} to a locked card, unless the sum would fall
-- below zero or could not be shown to the penny (past 2^53 - 1), or the entry is there already: then it returns false.
function M.add(tx, e, now)
  return tx:query([[insert into gift_card_entries (card_id, kind, key, amount, payment_id, actor, reason, at)
    select $1::uuid, $2, $3, $4::bigint, $5::uuid, $6, $7, $8::timestamptz
    where (select coalesce(sum(amount), 0) from gift_card_entries where card_id = $1::uuid) + $4::bigint
      between 0 and 9007199254740991
    on conflict do nothing returning 1 as added]],
    e.card, e.kind, e.key, e.amount, e.payment, e.actor or "service", e.reason or "", now)[1] ~= nil
end

-- A card's entries, oldest first. From the primary.
function M.entries(db, id)
  return db:latest([[select kind, amount, payment_id as payment, actor, reason, at from gift_card_entries
    where card_id = $1 order by id]], id)
end

local SHARES = [[select e.card_id as card, c.last4, (-sum(e.amount) filter (where e.kind = 'spend'))::bigint as paid,
    coalesce(sum(e.amount) filter (where e.kind = 'give_back'), 0)::bigint as given_back
  from gift_card_entries e join gift_cards c on c.id = e.card_id where e.payment_id = $1
  group by e.card_id, c.last4 order by min(e.id)]]

-- What each card paid of an attempt and was given back, in the order in which they paid: {card, last4, paid,
-- given_back}.
function M.shares(tx, payment)
  return tx:query(SHARES, payment)
end

function M.latest_shares(db, payment)
  return db:latest(SHARES, payment)
end

local GIVEN_BACK = [[select coalesce(sum(amount), 0)::bigint as sum from gift_card_entries
  where payment_id = $1 and kind = 'give_back' and key = $2]]

-- What the give-back of that name came to, in minor units; 0 if there was none.
function M.given_back(tx, payment, key)
  return tx:query(GIVEN_BACK, payment, key)[1].sum
end

function M.latest_given_back(db, payment, key)
  return db:latest(GIVEN_BACK, payment, key)[1].sum
end

return M
