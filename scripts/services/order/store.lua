-- store: every SQL statement of the order service. Statements return rows or raise. Times are texts of fastr.time.

local M = {}

local json = fastr.pg.json

local function iso(column)
  return "to_char(" .. column .. [[ at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]]
end

local COLUMNS = [[o.id, o.number::text as number, o.cart_id as cart, o.status, o.sequence,
  o.customer_id as customer, o.email, o.token_hash, o.currency, o.shipping_address, o.shipping_method,
  o.lines, o.totals, o.total, o.due, o.gift_cards, o.pack, o.abi,
  o.work, o.work_reason, o.lease_by, o.lease_worker, o.tries, o.held, o.committed, o.review, o.hold_s, ]] ..
  iso("o.created_at") .. " as created_at, " .. iso("o.placed_at") .. " as placed_at"

local ATTEMPT = [[a.id, a.order_id as "order", a.status, a.payment_method, a.payment_id as payment, a.amount,
  a.currency, a.reason, a.next_action, a.expires_at, a.look_at, a.on_expiry, a.renewals,
  a.created_at]]

-- ---- reading ------------------------------------------------------------------------------------------------------

-- What is shown of the decision, beside lines and totals.
local PRICED = [[o.shipping, o.decision->'trace' as trace, o.decision->'taxes' as taxes,
  o.decision->'coupons' as coupons]]

local WHOLE = "select " .. COLUMNS .. ", " .. PRICED .. [[,
    coalesce((select jsonb_agg(jsonb_build_object('id', a.id, 'status', a.status, 'payment', a.payment_id,
      'amount', a.amount, 'currency', a.currency, 'reason', a.reason, 'next_action', a.next_action,
      'expires_at', ]] .. iso("a.expires_at") .. [[)
      order by a.created_at, a.id)
      from attempts a where a.order_id = o.id), '[]') as attempts,
    coalesce((select jsonb_agg(jsonb_build_object('sequence', h.sequence, 'status', h.to_status, 'reason', h.reason,
      'at', ]] .. iso("h.at") .. [[) order by h.sequence) from history h where h.order_id = o.id), '[]') as history,
    coalesce((select jsonb_agg(jsonb_build_object('carrier', s.carrier, 'tracking', s.tracking,
      'shipped_at', ]] .. iso("s.shipped_at") .. ", 'delivered_at', " .. iso("s.delivered_at") .. [[)
      order by s.created_at) from shipments s where s.order_id = o.id), '[]') as shipments,
    coalesce((select jsonb_agg(jsonb_build_object('id', r.id, 'kind', r.kind, 'lines', r.lines, 'amount', r.amount,
      'reason', r.reason, 'shipping', r.shipping, 'short', r.short,
      'restock', r.restock, 'refund', r.refund, 'at', ]] .. iso("r.created_at") .. [[) order by r.created_at, r.id)
      from returns r where r.order_id = o.id), '[]') as returns
    from orders o where o.id = $1]]

-- Everything that GET shows, in one statement: the order with `trace`, `attempts`, `history`, `shipments`, `returns`.
-- From the primary: who has just bought must never hear that there is no such order.
function M.load(db, id)
  return db:latest(WHOLE, id)[1]
end

-- What its price was decided from.
function M.facts(db, id)
  return db:read("select facts from orders where id = $1", id)[1].facts
end

-- {shipping, trace, taxes, coupons} of the order's decision.
function M.priced(tx, id)
  return tx:query("select " .. PRICED .. " from orders o where o.id = $1", id)[1]
end

-- The same as load within a transaction.
function M.load_in(tx, id)
  return tx:query(WHOLE, id)[1]
end

-- The cart's order that is not cancelled: {id, status, work, busy}; nil if there is none.
function M.of_cart(db, cart, now)
  return db:latest([[select id, status, work, coalesce(lease_until > $2, false) as busy from orders
    where cart_id = $1 and status <> 'cancelled']], cart, now)[1]
end

-- How many orders the customer placed and did not cancel. `fresh` asks the primary.
function M.orders_placed(db, customer, fresh)
  local sql = "select count(*) as n from orders where customer_id = $1 and status not in ('placing', 'cancelled')"
  return (fresh and db:latest(sql, customer) or db:read(sql, customer))[1].n
end

-- The customer's orders so far: {placed, cancelled, returned (counts), spent (minor units of what was placed),
-- first_at}. From the primary.
function M.history(db, customer)
  return db:latest([[select count(*) filter (where status <> 'cancelled') as placed,
      count(*) filter (where status = 'cancelled') as cancelled,
      count(*) filter (where status = 'returned') as returned,
      coalesce(sum(total) filter (where status <> 'cancelled'), 0)::bigint as spent, min(placed_at) as first_at
    from orders where customer_id = $1 and placed_at is not null]], customer)[1]
end

-- A page of orders, newest first (their ids are in the order of time): of `customer`, or of all where it is nil.
function M.list(db, customer, status, after, limit)
  return db:read("select o.id, o.number::text as number, o.status, o.total, o.currency, " .. iso("o.created_at") ..
    " as created_at, " .. iso("o.placed_at") .. [[ as placed_at from orders o
    where ($1::uuid is null or o.customer_id = $1) and ($2::text is null or o.status = $2)
      and ($3::uuid is null or o.id < $3)
    order by o.id desc limit $4]], customer, status, after, limit)
end

local RECORDED = [[o.placed_at is not null and ($1::timestamptz is null or o.placed_at >= $1)
  and ($2::text is null or starts_with(o.pack, $2))]]

-- How many orders were placed since `since` (nil: ever), by the pack whose name begins with `pack` (nil: any).
function M.count_recorded(db, since, pack)
  return db:slow("select count(*) as n from orders o where " .. RECORDED, since, pack)[1].n
end

local PAGE_BYTES = 4000000

-- Those orders as the rules decided them, facts and decision as the texts that are kept, in the order of their ids:
-- query = { since, pack, after (an id), number (that one alone), part of parts (a share, by their ids), limit }. Fewer
-- than `limit` where they are large; none at the end.
function M.recorded(db, query)
  return db:slow("select id, number, placed_at, currency, total, due, pack, abi, proof, facts, decision from (" ..
    "select o.id, o.number::text as number, " .. iso("o.placed_at") .. [[ as placed_at, o.currency, o.total, o.due,
      o.pack, o.abi, o.proof, o.facts::text as facts, o.decision::text as decision,
      sum(octet_length(o.facts::text) + octet_length(o.decision::text)) over (order by o.id) as bytes,
      row_number() over (order by o.id) as place
    from (select * from orders o where ]] .. RECORDED .. [[ and ($3::uuid is null or o.id > $3)
      and ($4::text is null or o.number::text = $4) and get_byte(uuid_send(o.id), 15) % $6 = $5
      order by o.id limit $7) o) as page
    where bytes <= $8 or place = 1 order by id]], query.since, query.pack, query.after, query.number,
    query.part or 0, query.parts or 1, query.limit, PAGE_BYTES)
end

-- ---- the order's row ----------------------------------------------------------------------------------------------

function M.lock(tx, id)
  return tx:query("select " .. COLUMNS .. " from orders o where o.id = $1 for update", id)[1]
end

-- The cart's order that is not cancelled, locked; nil if there is none. `busy`: somebody holds its lease.
function M.lock_of_cart(tx, cart, now)
  return tx:query("select " .. COLUMNS .. [[, coalesce(o.lease_until > $2, false) as busy from orders o
    where o.cart_id = $1 and o.status <> 'cancelled' for update]], cart, now)[1]
end

-- Creates an order in state placing; nil if the cart has one already.
function M.create(tx, o, now)
  return tx:query([[insert into orders (id, cart_id, status, customer_id, email, token_hash, currency, shipping_address,
      shipping_method, lines, totals, total, due, shipping, facts, decision, pack, abi, work, lease_until, lease_by,
      next_try_at, created_at, updated_at, review, proof, hold_s, open_s, lease_worker, gift_cards)
    values ($1, $2, 'placing', $3::uuid, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'place',
      $18, $19, $18, $20, $20, $21, $22, $23, $24, $25, $26)
    on conflict (cart_id) where status <> 'cancelled' do nothing returning id]],
    o.id, o.cart, o.customer, o.email, o.token_hash, o.currency, json(o.shipping_address), o.shipping_method,
    json(o.lines), json(o.totals), o.total, o.due, json(o.shipping), o.facts, o.decision, o.pack, o.abi,
    o.lease_until, o.lease_by, now, o.review, o.proof, o.hold_s, o.open_s, o.lease_worker, json(o.gift_cards))[1]
end

-- Freezes an open order anew, for another attempt with what the cart holds by now.
function M.freeze_again(tx, o, now)
  tx:query([[update orders set customer_id = $2::uuid, email = $3, shipping_address = $4, shipping_method = $5,
      lines = $6, totals = $7, total = $8, shipping = $9, facts = $10, decision = $11, pack = $12, abi = $13,
      work = 'place', lease_until = $14, lease_by = $15, next_try_at = $14, tries = 0, updated_at = $16, due = $17,
      review = $18, proof = $19, hold_s = $20, open_s = $21, lease_worker = $22, gift_cards = $23
    where id = $1 and status = 'placing']],
    o.id, o.customer, o.email, json(o.shipping_address), o.shipping_method, json(o.lines), json(o.totals), o.total,
    json(o.shipping), o.facts, o.decision, o.pack, o.abi, o.lease_until, o.lease_by, now, o.due, o.review, o.proof,
    o.hold_s, o.open_s, o.lease_worker, json(o.gift_cards))
end

-- The one place where a status changes. False if the order is not in `from` any more.
function M.set_status(tx, o, from, to, now)
  return tx:query([[update orders set status = $3, sequence = sequence + 1, updated_at = $4,
      number = case when $3 = 'placed' then coalesce(number, nextval('order_numbers')) else number end,
      placed_at = case when $3 = 'placed' then $4::timestamptz else placed_at end
    where id = $1 and status = $2 returning sequence, number::text as number]], o.id, from, to, now)[1] or false
end

-- The number of the next entry of the history, where the status stays.
function M.count_up(tx, o, now)
  return tx:query("update orders set sequence = sequence + 1, updated_at = $2 where id = $1 returning sequence", o.id,
    now)[1].sequence
end

function M.add_history(tx, o, entry)
  tx:query([[insert into history (order_id, sequence, from_status, to_status, actor, reason, at)
    values ($1, $2, $3, $4, $5, $6, $7)]], o.id, entry.sequence, entry.from, entry.to, entry.actor,
    entry.reason, entry.at)
end

-- ---- work: who does what is left ----------------------------------------------------------------------------------

-- Takes the order for `lease`, {by, ends, worker}; the order,
-- or nil if there is nothing to do or somebody else is at it.
function M.take(tx, id, lease, now)
  return tx:query([[update orders o set lease_by = $2, lease_until = $3, next_try_at = $3, lease_worker = $5
    where o.id = $1 and o.work is not null and (o.lease_until is null or o.lease_until <= $4 or o.lease_by = $2)
    returning ]] .. COLUMNS, id, lease.by, lease.ends, now, lease.worker)[1]
end

-- The orders whose leases last, and the processes that hold them: {id, worker}.
function M.held(db, now)
  return db:latest([[select id, lease_worker as worker from orders
    where work is not null and lease_until > $1 and lease_worker is not null]], now)
end

-- Ends the lease of a process that has ended, if the order is still its; what it left is due now.
function M.end_lease(tx, id, worker, now)
  tx:query([[update orders set lease_until = null, lease_by = null, lease_worker = null, next_try_at = $3
    where id = $1 and lease_worker = $2 and work is not null]], id, worker, now)
end

-- Orders with work that is due and that nobody does, oldest first.
function M.due(db, now, limit)
  return db:latest([[select id from orders where work is not null and next_try_at <= $1
    and (lease_until is null or lease_until <= $1) order by next_try_at limit $2]], now, limit)
end

-- There is news of the order's payment: its work, if any, is due now, and does not end before they were looked at.
function M.wake(tx, id, now)
  tx:query("update orders set next_try_at = $2, has_news = true where id = $1 and work is not null", id, now)
end

-- How many orders have work left.
function M.unfinished(db)
  return db:latest("select count(*) as n from orders where work is not null")[1].n
end

-- Open orders that nobody has tried to pay for as long as they may stay open.
function M.abandoned(db, now, limit)
  return db:latest([[select id from orders where status = 'placing' and work is null
    and updated_at < $1::timestamptz - make_interval(secs => open_s) order by updated_at limit $2]], now, limit)
end

-- What is left to do (nil: nothing), by when to look again, and how often it was tried. Gives the lease back.
function M.set_work(tx, o, work, reason, next_try_at, tries)
  tx:query([[update orders set work = $2, work_reason = $3, next_try_at = $4, tries = $5, lease_until = null,
      lease_by = null, lease_worker = null
    where id = $1]], o.id, work, reason or "", next_try_at, tries or 0)
end

-- The same, but the lease stays with who has it: it goes on at once.
function M.turn_to(tx, o, work, reason, now)
  tx:query([[update orders set work = $2, work_reason = $3, tries = 0, next_try_at = coalesce(next_try_at, $4)
    where id = $1]], o.id, work, reason or "", now)
end

-- Nothing is left of this work, and the lease is given back; unless the order was turned to another meanwhile, or there
-- is news of the payment that a placed order waits for: what came while it was being placed nobody has looked at.
function M.end_work(tx, o, work)
  local row = tx:query([[update orders set work = 'authorisation', has_news = false
    where id = $1 and work = $2 and status = 'placed' and has_news returning id]], o.id, work)[1]
  if row then return end
  tx:query([[update orders set work = null, work_reason = '', next_try_at = null, tries = 0, lease_until = null,
    lease_by = null, lease_worker = null, has_news = false where id = $1 and work = $2]], o.id, work)
end

local LOOK = [[update orders set work = 'authorisation', next_try_at = $1, tries = 0
  where status = 'placed' and work is null and id in (select order_id from attempts where status = 'authorised' ]]

-- Has placed orders looked at whose authorisations are due, at most `limit`.
function M.look_at_due(db, now, limit)
  db:write(LOOK .. "and look_at <= $1 order by look_at limit $2)", now, limit)
end

-- The same for one order, whatever the time.
function M.look_at(tx, order, now)
  tx:query(LOOK .. "and order_id = $2)", now, order)
end

function M.set_stock(tx, o, held, committed)
  tx:query("update orders set held = $2, committed = $3 where id = $1", o.id, held, committed)
end

-- ---- attempts -----------------------------------------------------------------------------------------------------

function M.attempt(tx, id)
  return tx:query("select " .. ATTEMPT .. " from attempts a where a.id = $1", id)[1]
end

local OPEN_ATTEMPT = "select " .. ATTEMPT .. [[ from attempts a where a.order_id = $1
  and a.status in ('new', 'asked', 'unknown', 'requires_action', 'authorised', 'captured')]]

-- The attempt of the order that may still move money; nil if there is none. From the primary.
function M.open_attempt(db, order)
  return db:latest(OPEN_ATTEMPT, order)[1]
end

-- The same within a transaction.
function M.open_attempt_in(tx, order)
  return tx:query(OPEN_ATTEMPT, order)[1]
end

function M.add_attempt(tx, a, now)
  tx:query([[insert into attempts (id, order_id, status, payment_method, amount, currency, created_at, updated_at,
      renewals)
    values ($1, $2, 'new', $3, $4, $5, $6, $6, coalesce($7, 0))]], a.id, a.order, a.payment_method, a.amount,
    a.currency, now, a.renewals)
end

-- The order's last attempt, however it ended. From the primary.
function M.newest_attempt(db, order)
  return db:latest("select " .. ATTEMPT .. [[ from attempts a where a.order_id = $1
    order by a.created_at desc, a.id desc limit 1]], order)[1]
end

-- The id of the order's last attempt, or nil.
function M.last_attempt(db, order)
  local row = db:latest("select id from attempts where order_id = $1 order by created_at desc, id desc limit 1", order)
  return row[1] and row[1].id
end

-- Marks a new attempt as asked; false if it is not new any more.
function M.ask(tx, id, now)
  return tx:query("update attempts set status = 'asked', updated_at = $2 where id = $1 and status = 'new' returning id",
    id, now)[1] ~= nil
end

-- Records how an attempt stands. What has ended stays as it ended, whoever comes late.
function M.set_attempt(tx, a, now)
  tx:query([[update attempts set status = $2, payment_id = $3::uuid, reason = $4, next_action = $5, updated_at = $6,
      expires_at = $7, look_at = $8, on_expiry = $9
    where id = $1 and status not in ('declined', 'voided', 'refunded')]],
    a.id, a.status, a.payment, a.reason, a.next_action and json(a.next_action), now, a.expires_at, a.look_at,
    a.on_expiry)
end

-- ---- returns ------------------------------------------------------------------------------------------------------

function M.has_return(tx, id)
  return tx:query("select 1 as found from returns where id = $1", id)[1] ~= nil
end

-- Units of the order that came back so far: {[sku] = units}. Asked under the order's lock.
function M.returned(tx, order)
  local rows, back = tx:query([[select l->>'sku' as sku, sum((l->>'quantity')::bigint)::bigint as quantity
    from returns, jsonb_array_elements(lines) as l where order_id = $1 group by 1]], order), {}
  for _, row in ipairs(rows) do back[row.sku] = row.quantity end
  return back
end

function M.add_return(tx, r, now)
  tx:query([[insert into returns (id, order_id, lines, amount, reason, actor, restock, refund, next_try_at, created_at,
      shipping, kind)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)]], r.id, r.order, json(r.lines), r.amount, r.reason,
    r.actor, r.restock, r.refund, r.next_try_at, now, r.shipping, r.kind)
end

-- A return with something left to do, and the payment of its order; nil if all of it is done.
function M.load_return(db, id)
  return db:latest([[select r.id, r.order_id as "order", r.lines, r.amount, r.short, r.restock, r.refund, r.tries,
      (select o.status from orders o where o.id = r.order_id) as status,
      (select a.payment_id from attempts a where a.order_id = r.order_id and a.status in ('authorised', 'captured')
        order by a.created_at desc limit 1) as payment
    from returns r where r.id = $1 and r.next_try_at is not null]], id)[1]
end

-- Less is given back than the goods cost: amount, and what it is short of.
function M.lower_return(db, r)
  db:write("update returns set amount = $2, short = $3 where id = $1 and refund = 'due'", r.id, r.amount, r.short)
end

-- Notes how far a return has come. What is done stays done, whoever comes late.
function M.set_return(db, r)
  db:write([[update returns set restock = case when restock = 'due' then $2 else restock end,
      refund = case when refund = 'due' then $3 else refund end, why = $4, next_try_at = $5, tries = tries + 1
    where id = $1 and next_try_at is not null]], r.id, r.restock, r.refund, r.why, r.next_try_at)
end

function M.returns_due(db, now, limit)
  return db:latest("select id from returns where next_try_at <= $1 order by next_try_at limit $2", now, limit)
end

-- ---- shipments ----------------------------------------------------------------------------------------------------

-- The order's shipment, made at its first mention, brought up to date.
function M.ship(tx, s, now)
  local rows = tx:query([[update shipments set carrier = coalesce($2, carrier), tracking = coalesce($3, tracking),
      shipped_at = case when $4 = 'shipped' then $5::timestamptz else shipped_at end,
      delivered_at = case when $4 = 'delivered' then $5::timestamptz else delivered_at end
    where order_id = $1 returning id]], s.order, s.carrier, s.tracking, s.status, now)
  if rows[1] then return end
  tx:query([[insert into shipments (id, order_id, carrier, tracking, shipped_at, delivered_at, created_at)
    values ($1, $2, coalesce($3, ''), coalesce($4, ''), case when $5 = 'shipped' then $6::timestamptz end,
      case when $5 = 'delivered' then $6::timestamptz end, $6)]],
    fastr.crypto.uuid7(), s.order, s.carrier, s.tracking, s.status, now)
end

-- ---- for who compares ---------------------------------------------------------------------------------------------

-- Orders as books.differences takes them.
local COMPARED = [[select o.id, o.number::text as number, o.status, o.work, o.work_reason, o.due,
    o.total - o.due as from_gift_cards, o.currency, o.lines,
    extract(epoch from clock_timestamp() - o.updated_at)::float8 as waits_s,
    coalesce((select jsonb_agg(jsonb_build_object('id', a.id, 'status', a.status) order by a.created_at, a.id)
      from attempts a where a.order_id = o.id), '[]') as attempts,
    coalesce((select jsonb_agg(jsonb_build_object('id', r.id, 'lines', r.lines, 'amount', r.amount,
      'restock', r.restock, 'refund', r.refund) order by r.created_at) from returns r where r.order_id = o.id), '[]')
      as returns
  from orders o where ]]

function M.compared(db, ids)
  if #ids == 0 then return {} end
  return db:latest(COMPARED .. "o.id = any($1::uuid[]) order by o.id", fastr.pg.array(ids))
end

-- A page of those that were made since then, in the order of their ids, after `after` (nil: from the first).
function M.compared_since(db, since, after, limit)
  return db:slow(COMPARED .. "o.created_at >= $1 and ($2::uuid is null or o.id > $2) order by o.id limit $3", since,
    after, limit)
end

function M.add_reconciliation(db, run, now)
  db:write([[insert into reconciliations (id, actor, since, orders, payments, differences, begun_at, ended_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8)]], fastr.crypto.uuid7(), run.by, run.since, run.orders, run.payments,
    json(run.differences), run.begun_at, now)
end

-- Were there orders at that time?
function M.was_open(db, at)
  return db:latest("select exists(select from orders where created_at < $1) as it", at)[1].it
end

-- The one that began last: {begun_at, open: how many differences are left}; nil if there was none.
function M.last_reconciliation(db)
  return db:latest("select " .. iso("begun_at") .. [[ as begun_at, (select count(*)
      from jsonb_array_elements(differences) d where coalesce(d->>'repaired', '') not like '%well now'
        and coalesce(d->>'repaired', '') not like '%agree now') as open
    from reconciliations order by begun_at desc limit 1]])[1]
end

return M
