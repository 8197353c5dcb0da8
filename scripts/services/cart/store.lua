-- store: every SQL statement of the cart service. Statements return rows or raise.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

-- Cart and lines in one statement, so that both are of one moment. Lines are {sku, quantity, position, facts}, in the
-- order in which they were added.
local SELECT = [[
  select c.id, c.version, c.state, c.currency, c.customer_id as customer, c.email, c.shipping_address,
    c.shipping_method, to_jsonb(c.coupons) as coupons, c.last_position, c.pricing, c.pack, c.order_id as "order",
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
    paying_since = to_timestamp($13::bigint), updated_at = $14, paying_by = $15::uuid where id = $1]],
    cart.id, cart.version, cart.state, cart.customer, cart.email,
    cart.shipping_address and json(cart.shipping_address), cart.shipping_method, array(cart.coupons),
    cart.last_position, cart.pricing and json(cart.pricing), cart.pack, cart.order, cart.paying_since, now,
    cart.paying_by)
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

local COUPON = [[select code, usage_limit as "limit", limit_per_customer, case when usage_limit is null
    then (select count(*) from coupon_claims l where l.code = c.code) else used end as used from coupons c]]

function M.coupon(db, code)
  return db:latest(COUPON .. " where code = $1", code)[1]
end

-- A page of coupons by code, from the one after `after`.
function M.coupons(db, after, limit)
  return db:read(COUPON .. " where $1::text is null or code > $1 order by code limit $2", after, limit)
end

-- Issues a code, or changes its limits. Returns it, and whether it is new.
function M.put_coupon(tx, code, limit, limit_per_customer, now)
  local old = tx:query("select 1 as found from coupons where code = $1 for update", code)[1]
  tx:query([[insert into coupons (code, usage_limit, limit_per_customer, created_at, updated_at)
    values ($1, $2, $3, $4, $4) on conflict (code) do update set usage_limit = excluded.usage_limit,
      limit_per_customer = excluded.limit_per_customer, updated_at = excluded.updated_at,
      used = (select count(*) from coupon_claims l where l.code = excluded.code)]],
    code, limit, limit_per_customer, now)
  return tx:query(COUPON .. " where code = $1", code)[1], old == nil
end

-- Of these codes, those that this cart cannot use any more: {[code] = "used_up" or "used_up_for_customer"}.
function M.exhausted(db, codes, cart, customers)
  local rows, reasons = db:latest([[select c.code, case
      when c.used >= c.usage_limit then 'used_up'
      when (select max(k.used) from coupon_customers k where k.code = c.code and k.customer = any($3))
        >= c.limit_per_customer then 'used_up_for_customer' end as reason
    from coupons c where c.code = any($1)
      and not exists (select 1 from coupon_claims l where l.code = c.code and l.cart_id = $2)]],
    array(codes), cart, array(customers)), {}
  for _, row in ipairs(rows) do reasons[row.code] = row.reason end
  return reasons
end

-- The code's limits, or nil where it was never issued. Locked against a change of the limits where it has none: such a
-- row is never written by claims.
local function limits(tx, code)
  local row = tx:query("select usage_limit, limit_per_customer from coupons where code = $1", code)[1]
  if not row or row.usage_limit then return row end
  return tx:query("select usage_limit, limit_per_customer from coupons where code = $1 for share", code)[1]
end

local function count_customer(tx, code, customer, limit)
  return tx:query([[insert into coupon_customers as k (code, customer, used) values ($1, $2, 1)
    on conflict (code, customer) do update set used = k.used + 1 where $3::bigint is null or k.used < $3
    returning 1 as counted]], code, customer, limit)[1] ~= nil
end

-- Claims a use of the code for the cart, once however often it is asked. True, or nil and why not: "used_up",
-- "used_up_for_customer"; the caller then rolls back.
function M.claim_coupon(tx, code, cart, customers, now)
  local limit = limits(tx, code)
  if not limit then return true end
  local claimed = tx:query([[insert into coupon_claims (code, cart_id, customers, created_at) values ($1, $2, $3, $4)
    on conflict do nothing returning 1 as claimed]], code, cart, array(customers), now)[1]
  if not claimed then return true end
  if limit.usage_limit and not tx:query([[update coupons set used = used + 1 where code = $1
      and (usage_limit is null or used < usage_limit) returning 1 as counted]], code)[1] then
    return nil, "used_up"
  end
  for _, customer in ipairs(customers) do
    if not count_customer(tx, code, customer, limit.limit_per_customer) then return nil, "used_up_for_customer" end
  end
  return true
end

-- Gives the cart's uses back, but for those of `keep`.
function M.release_coupons(tx, cart, keep)
  local rows = tx:query([[delete from coupon_claims where cart_id = $1 and code <> all($2::text[])
    returning code, to_jsonb(customers) as customers]], cart, array(keep or {}))
  table.sort(rows, function(a, b) return a.code < b.code end)
  for _, row in ipairs(rows) do
    tx:query("update coupons set used = greatest(used - 1, 0) where code = $1 and usage_limit is not null", row.code)
    tx:query("update coupon_customers set used = greatest(used - 1, 0) where code = $1 and customer = any($2)",
      row.code, array(row.customers))
  end
end

return M
