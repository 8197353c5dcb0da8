-- store: every SQL statement of the cart service. Statements return rows or raise.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

-- Cart and lines in one statement, so that both are of one moment. Lines are {sku, quantity, position, facts}, in the
-- order in which they were added.
local SELECT = [[
  select c.id, c.version, c.state, c.currency, c.customer_id as customer, c.email, c.shipping_address,
    c.shipping_method, to_jsonb(c.coupons) as coupons, c.gift_cards, c.last_position, c.pricing, c.pack,
    c.order_id as "order",
    extract(epoch from c.paying_since)::bigint as paying_since, c.paying_by,
    coalesce((select jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity, 'position', l.position,
      'facts', l.facts) order by l.position) from lines l where l.cart_id = c.id), '[]'::jsonb) as lines
  from carts c where c.id = ]]

local BY_ID = SELECT .. "$1"
local BY_ANY_ID = SELECT .. "coalesce((select m.merged_into from carts m where m.id = $1), $1)"

function M.create(tx, cart, now)
  tx:query("insert into carts (id, currency, customer_id, created_at, updated_at) values ($1, $2, $3::uuid, $4, $4)",
    cart.id, cart.currency, cart.customer, now)
end

-- From the primary: a shopper's own cart must never look older than his last change. Returns the cart, or nil. The id
-- of a cart that went into another one leads there.
function M.load(db, id)
  return db:latest(BY_ANY_ID, id)[1]
end

-- Locks this very cart, then reads it and its lines in a second statement, which sees what the last holder wrote.
function M.lock_exactly(tx, id)
  if not tx:query("select 1 as found from carts where id = $1 for update", id)[1] then return nil end
  return tx:query(BY_ID, id)[1]
end

-- The same, for the cart that the id leads to, also where it goes into another one while we wait for the lock.
function M.lock(tx, id)
  repeat
    local row = tx:query("select id, merged_into from carts where id = $1 for update", id)[1]
    if not row then return nil end
    id = row.merged_into or row.id
  until not row.merged_into
  return tx:query(BY_ID, id)[1]
end

-- Writes a locked cart back; the caller has counted its version up.
function M.save(tx, cart, now)
  tx:query([[update carts set version = $2, state = $3, customer_id = $4::uuid, email = $5, shipping_address = $6,
    shipping_method = $7, coupons = $8, last_position = $9, pricing = $10, pack = $11, order_id = $12::uuid,
    paying_since = to_timestamp($13::bigint), updated_at = $14, paying_by = $15::uuid, gift_cards = $16
    where id = $1]],
    cart.id, cart.version, cart.state, cart.customer, cart.email,
    cart.shipping_address and json(cart.shipping_address), cart.shipping_method, array(cart.coupons),
    cart.last_position, cart.pricing and json(cart.pricing), cart.pack, cart.order, cart.paying_since, now,
    cart.paying_by, json(fastr.json.array(cart.gift_cards)))
end

-- Adds lines, or replaces quantity and facts of those that are there.
function M.put_lines(tx, id, lines)
  tx:query([[insert into lines (cart_id, sku, position, quantity, facts)
    select $1, l.sku, l.position, l.quantity, l.facts
    from jsonb_to_recordset($2::jsonb) as l(sku text, position bigint, quantity integer, facts jsonb)
    on conflict (cart_id, sku) do update set quantity = excluded.quantity, facts = excluded.facts]], id, json(lines))
end

function M.drop_line(tx, id, sku)
  tx:query("delete from lines where cart_id = $1 and sku = $2", id, sku)
end

-- Deletes open carts untouched since `before` that are anonymous or went into another one, at most `limit`.
function M.delete_idle(db, before, limit)
  return db:write([[delete from carts where id in (select id from carts c where state = 'open'
    and (customer_id is null or merged_into is not null) and updated_at < $1
    and not exists (select 1 from carts m where m.merged_into = c.id)
    order by updated_at limit $2 for update skip locked) returning 1 as gone]], before, limit)
end

-- Carts whose checkout began before `before` and has not been heard of since, oldest first.
function M.stale(db, before, limit)
  return db:latest([[select id from carts where state = 'paying' and paying_since < $1 order by paying_since
    limit $2]], before, limit)
end

-- ---- a customer's carts -------------------------------------------------------------------------------------------

local OWN = " from carts c where c.customer_id = $1 and c.id <> $2 and c.state = 'open' and c.merged_into is null"
local MOST_OWN = 50

-- The SKUs in the customer's open carts but this one.
function M.skus_of_others(db, customer, id)
  local rows, skus = db:latest("select distinct l.sku from lines l join (select c.id" .. OWN ..
    " order by c.updated_at desc limit $3) c on c.id = l.cart_id", customer, id, MOST_OWN), {}
  for i, row in ipairs(rows) do skus[i] = row.sku end
  return skus
end

-- The codes entered in them.
function M.codes_of_others(db, customer, id)
  local rows, codes = db:latest("select distinct o.code from (select c.coupons" .. OWN ..
    " order by c.updated_at desc limit $3) c, unnest(c.coupons) as o (code)", customer, id, MOST_OWN), {}
  for i, row in ipairs(rows) do codes[i] = row.code end
  return codes
end

-- The gift cards in the same carts: {id, last4}, each once.
function M.gift_cards_of_others(db, customer, id)
  return db:latest("select distinct g->>'id' as id, g->>'last4' as last4 from (select c.gift_cards" .. OWN ..
    " order by c.updated_at desc limit $3) c, jsonb_array_elements(c.gift_cards) as g", customer, id, MOST_OWN)
end

-- One at a time claims carts for a customer.
function M.lock_customer(tx, customer)
  tx:query("select pg_advisory_xact_lock(hashtextextended('cart.customer ' || $1, 0))", customer)
end

-- The customer's open carts but this one, locked, used last first.
function M.lock_others(tx, customer, id)
  local rows, carts = tx:query("select c.id" .. OWN .. " order by c.updated_at desc limit $3 for update", customer, id,
    MOST_OWN), {}
  for i, row in ipairs(rows) do carts[i] = tx:query(BY_ID, row.id)[1] end
  return carts
end

-- From now on the id `from` leads to the cart `into`.
function M.merge(tx, from, into, now)
  tx:query("delete from lines where cart_id = $1", from)
  tx:query([[update carts set merged_into = $2, version = version + 1, updated_at = $3
    where id = $1 or merged_into = $1]], from, into, now)
end

-- ---- coupons ------------------------------------------------------------------------------------------------------

local COUPON = [[select c.code, coalesce(b.coupon, c.code) as coupon, c.batch_id as batch, c.usage_limit as "limit",
    c.limit_per_customer, case when c.usage_limit is null
      then (select count(*) from coupon_claims l where l.code = c.code) else c.used end as used
  from coupons c left join coupon_batches b on b.id = c.batch_id ]]

function M.coupon(db, code)
  return db:latest(COUPON .. "where c.code = $1", code)[1]
end

-- A page of coupons by code, from the one after `after` ("": the first); of all, or of one batch.
function M.coupons(db, batch, after, limit)
  if not batch then return db:read(COUPON .. "where c.code > $1 order by c.code limit $2", after, limit) end
  return db:read(COUPON .. "where c.batch_id = $3 and c.code > $1 order by c.code limit $2", after, limit, batch)
end

-- Issues a code, or changes its limits. Returns it, and whether it is new.
function M.put_coupon(tx, code, limit, limit_per_customer, now)
  local old = tx:query("select 1 as found from coupons where code = $1 for update", code)[1]
  tx:query([[insert into coupons (code, usage_limit, limit_per_customer, created_at, updated_at)
    values ($1, $2, $3, $4, $4) on conflict (code) do update set usage_limit = excluded.usage_limit,
      limit_per_customer = excluded.limit_per_customer, updated_at = excluded.updated_at,
      used = (select count(*) from coupon_claims l where l.code = excluded.code)]],
    code, limit, limit_per_customer, now)
  return tx:query(COUPON .. "where c.code = $1", code)[1], old == nil
end

-- What is known of these codes: {[code] = {coupon, reason}}: `coupon`, the code of the rules that it stands for, if it
-- is another; `reason`, why this cart cannot use it (any more). A code that only stands for batches is known to nobody.
function M.known_codes(db, codes, cart, customers)
  local rows, known = db:latest([[select w.code, b.coupon, case
      when c.code is null then
        case when exists (select 1 from coupon_batches x where x.coupon = w.code) then 'unknown' end
      when exists (select 1 from coupon_claims l where l.code = w.code and l.cart_id = $2) then null
      when b.blocked_at is not null then 'expired'
      when c.used >= c.usage_limit then 'used_up'
      when (select max(k.used) from coupon_customers k where k.code = w.code and k.customer = any($3))
        >= c.limit_per_customer then 'used_up_for_customer' end as reason
    from unnest($1::text[]) as w (code) left join coupons c on c.code = w.code
    left join coupon_batches b on b.id = c.batch_id]], array(codes), cart, array(customers)), {}
  for _, row in ipairs(rows) do known[row.code] = row end
  return known
end

local LIMITS = [[select c.usage_limit, c.limit_per_customer, b.blocked_at is not null as blocked
  from coupons c left join coupon_batches b on b.id = c.batch_id where c.code = $1]]

-- The code's limits, or nil where it was never issued. Locked against a change of the limits where it has none: such a
-- row is never written by claims.
local function limits(tx, code)
  local row = tx:query(LIMITS, code)[1]
  if not row or row.usage_limit then return row end
  return tx:query(LIMITS .. " for share of c", code)[1]
end

local function count_customer(tx, code, customer, limit)
  return tx:query([[insert into coupon_customers as k (code, customer, used) values ($1, $2, 1)
    on conflict (code, customer) do update set used = k.used + 1 where $3::bigint is null or k.used < $3
    returning 1 as counted]], code, customer, limit)[1] ~= nil
end

-- Claims a use of the code for the cart, once however often it is asked; `gives_back`: cancelling gives it back. True,
-- or nil and why not: "used_up", "used_up_for_customer", "expired" (its batch was blocked); the caller then rolls back.
function M.claim_coupon(tx, code, cart, customers, gives_back, now)
  local limit = limits(tx, code)
  if not limit then return true end
  local claimed = tx:query([[insert into coupon_claims (code, cart_id, customers, gives_back, created_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing returning 1 as claimed]], code, cart, array(customers),
    gives_back, now)[1]
  if not claimed then return true end
  if limit.blocked then return nil, "expired" end
  if limit.usage_limit and not tx:query([[update coupons set used = used + 1 where code = $1
      and (usage_limit is null or used < usage_limit) returning 1 as counted]], code)[1] then
    return nil, "used_up"
  end
  for _, customer in ipairs(customers) do
    if not count_customer(tx, code, customer, limit.limit_per_customer) then return nil, "used_up_for_customer" end
  end
  return true
end

-- Gives the cart's uses of codes back, but for those of `keep`; with `cancelled`, of those alone that come back then.
function M.release_coupons(tx, cart, keep, cancelled)
  local rows = tx:query([[delete from coupon_claims where cart_id = $1 and code <> all($2::text[])
    and (gives_back or not $3::boolean) returning code, to_jsonb(customers) as customers]], cart, array(keep or {}),
    cancelled or false)
  table.sort(rows, function(a, b) return a.code < b.code end)
  for _, row in ipairs(rows) do
    tx:query("update coupons set used = greatest(used - 1, 0) where code = $1 and usage_limit is not null", row.code)
    tx:query("update coupon_customers set used = greatest(used - 1, 0) where code = $1 and customer = any($2)",
      row.code, array(row.customers))
  end
end

-- ---- promotions with limits ---------------------------------------------------------------------------------------

-- What was used of these promotions, but for the cart's own claim: {[id] = {used, used_by_customer, spent}}; nil if
-- nothing was. Of those limited as a whole (`counted`) that have no row yet, the claims are counted.
function M.usage(db, promotions, counted, cart, customers)
  local rows, usage = db:latest([[select * from (select w.promotion,
      greatest(coalesce(c.used, x.used, 0) - (l.cart_id is not null)::integer, 0)::bigint as used,
      greatest(coalesce(c.spent, x.spent, 0) - coalesce(l.amount, 0), 0)::bigint as spent,
      coalesce((select max(k.used - coalesce((k.customer = any(l.customers))::integer, 0)) from promotion_customers k
        where k.promotion = w.promotion and k.customer = any($4)), 0) as used_by_customer
    from unnest($1::text[]) as w (promotion)
    left join promotion_counts c on c.promotion = w.promotion
    left join promotion_claims l on l.promotion = w.promotion and l.cart_id = $3
    left join lateral (select count(*) as used, sum(a.amount) as spent from promotion_claims a
      where a.promotion = w.promotion and c.promotion is null and w.promotion = any($2)) x on true) u
    where u.used > 0 or u.spent > 0 or u.used_by_customer > 0]],
    array(promotions), array(counted), cart, array(customers)), {}
  for _, row in ipairs(rows) do
    usage[row.promotion] = { used = row.used, used_by_customer = row.used_by_customer, spent = row.spent }
  end
  return next(usage) and usage
end

-- Of these promotions, how often they were used and what they gave: {[id] = {used, spent}}, those without uses absent.
function M.totals_of_use(db, promotions)
  local rows, totals = db:slow([[select w.promotion, coalesce(c.used, x.used) as used,
      coalesce(c.spent, x.spent, 0)::bigint as spent
    from unnest($1::text[]) as w (promotion) left join promotion_counts c on c.promotion = w.promotion
    left join lateral (select count(*) as used, sum(a.amount) as spent from promotion_claims a
      where a.promotion = w.promotion and c.promotion is null) x on true]], array(promotions)), {}
  for _, row in ipairs(rows) do totals[row.promotion] = row end
  return totals
end

-- The row that counts the promotion as a whole, with the claims there were before it was limited so.
local function begin_count(tx, promotion)
  tx:query([[insert into promotion_counts (promotion, used, spent)
    select $1, count(*), coalesce(sum(amount), 0) from promotion_claims where promotion = $1
      and not exists (select 1 from promotion_counts where promotion = $1)
    on conflict do nothing]], promotion)
end

local COUNT = [[update promotion_counts set used = used + 1, spent = spent + $2 where promotion = $1
  and ($3::bigint is null or used < $3) and ($4::bigint is null or spent + $2 <= $4) returning 1 as counted]]

-- Counts one more use as a whole: was it within the limits? Without such limits there may be no row, and none is made.
local function count_use(tx, use)
  local function count() return tx:query(COUNT, use.promotion, use.amount, use.limit, use.budget)[1] ~= nil end
  if count() or not (use.limit or use.budget) then return true end
  begin_count(tx, use.promotion)
  return count()
end

local function count_use_of(tx, promotion, customer, limit)
  return tx:query([[insert into promotion_customers as k (promotion, customer, used) values ($1, $2, 1)
    on conflict (promotion, customer) do update set used = k.used + 1 where $3::bigint is null or k.used < $3
    returning 1 as counted]], promotion, customer, limit)[1] ~= nil
end

-- Claims a use of a promotion for a cart that has none of it: `use` is {promotion, amount (minor units), limit, budget,
-- limit_per_customer (nil: none), gives_back}. Whether the limits allow it; if not, the caller rolls back.
function M.claim_promotion(tx, use, cart, customers, now)
  if not count_use(tx, use) then return false end
  tx:query([[insert into promotion_claims (promotion, cart_id, customers, amount, gives_back, created_at)
    values ($1, $2, $3, $4, $5, $6)]], use.promotion, cart, array(customers), use.amount, use.gives_back, now)
  for _, customer in ipairs(customers) do
    if not count_use_of(tx, use.promotion, customer, use.limit_per_customer) then return false end
  end
  return true
end

-- Gives the cart's uses of promotions back. With `cancelled` those that do not come back then stay used; what they gave
-- is in no order any more, and goes back to their budgets.
function M.release_promotions(tx, cart, cancelled)
  local rows = tx:query([[with kept as (select promotion, amount from promotion_claims
      where cart_id = $1 and $2::boolean and not gives_back and amount > 0 for update),
    freed as (update promotion_claims c set amount = 0 from kept k where c.promotion = k.promotion and c.cart_id = $1),
    gone as (delete from promotion_claims where cart_id = $1 and (gives_back or not $2::boolean)
      returning promotion, amount, customers)
    select promotion, amount, 1 as uses, to_jsonb(customers) as customers from gone
    union all select promotion, amount, 0, '[]'::jsonb from kept order by promotion]], cart, cancelled or false)
  for _, row in ipairs(rows) do
    tx:query([[update promotion_counts set used = greatest(used - $2, 0), spent = greatest(spent - $3, 0)
      where promotion = $1]], row.promotion, row.uses, row.amount)
    tx:query([[update promotion_customers set used = greatest(used - 1, 0) where promotion = $1
      and customer = any($2)]], row.promotion, array(row.customers))
  end
end

-- ---- batches of codes ---------------------------------------------------------------------------------------------

local BATCH = [[select b.id, b.coupon, b.prefix, b.count, b.usage_limit as "limit", b.limit_per_customer,
    b.blocked_at is not null as blocked, b.created_at from coupon_batches b ]]

-- Issues the codes of a batch. The one statement that writes them fails as a whole if one of them is there already.
function M.add_batch(tx, batch, codes, now)
  tx:query([[insert into coupon_batches (id, coupon, prefix, count, usage_limit, limit_per_customer, created_at)
    values ($1, $2, $3, $4, $5, $6, $7)]], batch.id, batch.coupon, batch.prefix, #codes, batch.limit,
    batch.limit_per_customer, now)
  tx:query([[insert into coupons (code, usage_limit, limit_per_customer, batch_id, created_at, updated_at)
    select code, $2, $3, $4, $5, $5 from unnest($1::text[]) as codes (code)]], array(codes), batch.limit,
    batch.limit_per_customer, batch.id, now)
  return tx:query(BATCH .. "where b.id = $1", batch.id)[1]
end

function M.batch(db, id)
  return db:latest(BATCH .. "where b.id = $1", id)[1]
end

-- A page of batches, the newest first, from the one before `before` (nil: the first page).
function M.batches(db, before, limit)
  if not before then return db:read(BATCH .. "order by b.id desc limit $1", limit) end
  return db:read(BATCH .. "where b.id < $1 order by b.id desc limit $2", before, limit)
end

-- Stops a batch's codes, or lets them be used again. The batch, or nil where there is none.
function M.block_batch(tx, id, blocked, now)
  tx:query([[update coupon_batches set blocked_at = case when $2::boolean then coalesce(blocked_at, $3::timestamptz) end
    where id = $1]], id, blocked, now)
  return tx:query(BATCH .. "where b.id = $1", id)[1]
end

return M
