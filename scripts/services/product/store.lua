-- store: every SQL statement of the product service. A function that takes `tx` runs in that transaction; one that
-- takes `db` reads on its own. Statements return rows or raise. Times are RFC 3339 texts of fastr.time, so that tests
-- can shift them.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

-- Units that live holds promise of one product ($now: parameter of the time).
local function held(now, sku)
  return "coalesce((select sum(h.quantity) from holds h where h.sku = " .. sku ..
    " and h.expires_at > " .. now .. "::timestamptz), 0)::bigint"
end

-- The product's price list in the currency of its price, as pricing takes its rows; null: it has none.
local ROWS = [[(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('currency', r.currency, 'amount', r.amount,
  'min_quantity', r.min_quantity, 'max_quantity', r.max_quantity, 'rules', jsonb_strip_nulls(jsonb_build_object(
  'customer_group', r.customer_group, 'zone', r.zone, 'from', r.starts_at, 'to', r.ends_at)))) order by r.place)
  from price_rows r where r.sku = p.sku and r.currency = c.currency) as prices]]

-- What everybody pays now by the record, and the lowest price of the 30 days before, where it is reduced: [amount,
-- lowest or null]; null: the list price, as most do. $2: the time.
local RECORDED = [[case when p.prices_move then (select jsonb_build_array(h.amount,
  case when h.lowest_until is null or h.lowest_until > $2::timestamptz then h.lowest_before end)
  from price_history h where h.sku = p.sku and h.currency = c.currency and h.recorded_at <= $2::timestamptz
  and h.applies_from <= $2::timestamptz order by h.recorded_at desc, h.applies_from desc limit 1) end as recorded]]

local COLUMNS = [[
  p.sku, p.name, p.description, to_jsonb(p.categories) as categories, p.tax_category, p.version, ]] .. ROWS .. ", " ..
  RECORDED .. [[,
  c.amount as price, c.currency, greatest(0, s.on_hand - ]] .. held("$2", "p.sku") .. [[) as available
  from products p join prices c on c.sku = p.sku and c.currency = $1 join stock s on s.sku = p.sku
]]

-- ---- reading the catalogue ----------------------------------------------------------------------------------------

function M.product(db, sku, currency, now)
  local rows = db:read("select " .. COLUMNS .. " where p.sku = $3", currency, now, sku)
  return rows[1] or false
end

-- The same within a transaction, for who has just changed it.
function M.product_in(tx, sku, currency, now)
  return tx:query("select " .. COLUMNS .. " where p.sku = $3", currency, now, sku)[1] or false
end

local FACTS = [[
  select p.sku, p.name, to_jsonb(p.categories) as categories, p.tax_category, c.amount as price, c.currency,
    greatest(0, s.on_hand - ]] .. held("$2", "p.sku") .. [[) as available, p.version, ]] .. ROWS .. ", " ..
  RECORDED .. [[

  from products p join prices c on c.sku = p.sku and c.currency = $1 join stock s on s.sku = p.sku
  where p.sku = any($3)
]]

-- What pricing must know; products without a price in `currency` are absent. `fresh` asks the primary.
function M.facts(db, skus, currency, now, fresh)
  if fresh then return db:latest(FACTS, currency, now, array(skus)) end
  return db:read(FACTS, currency, now, array(skus))
end

-- How a page is sorted: the expression that orders it, its type and direction. Ties go by sku.
local SORTS = {
  name = { "p.name", "text", "asc" },
  ["-name"] = { "p.name", "text", "desc" },
  price = { "c.amount", "bigint", "asc" },
  ["-price"] = { "c.amount", "bigint", "desc" },
  newest = { "(extract(epoch from p.created_at) * 1000000)::bigint", "bigint", "desc" },
  relevance = { "(ts_rank(p.search, websearch_to_tsquery('english', $3)) * 1000000)::bigint", "bigint", "desc" },
}

-- Builds the statement from fixed pieces; what the caller sent travels as parameters alone.
local function list_statement(filter)
  local sort, where, values, n = SORTS[filter.sort], {}, {}, 3
  local function add(condition, value)
    n = n + 1
    values[#values + 1] = value
    where[#where + 1] = (condition:gsub("%?", "$" .. n))
  end
  where[1] = filter.q and "(p.search @@ websearch_to_tsquery('english', $3) or p.sku = upper($3))" or "$3::text is null"
  if filter.category then add("p.category_paths @> array[?::text]", filter.category) end
  if filter.min_price then add("c.amount >= ?::bigint", filter.min_price) end
  if filter.max_price then add("c.amount <= ?::bigint", filter.max_price) end
  if filter.in_stock then where[#where + 1] = "s.on_hand > " .. held("$2", "p.sku") end
  local beyond = sort[3] == "asc" and ">" or "<"
  if filter.after then
    add("(" .. sort[1] .. ", p.sku) " .. beyond .. " (?::" .. sort[2], tostring(filter.after[1]))
    local last = table.remove(where)
    add(last .. ", ?::text)", filter.after[2])
  end
  add("?", filter.limit)
  local limit = table.remove(where)
  return "select (" .. sort[1] .. ")::text as sort_key, " .. COLUMNS .. " where " .. table.concat(where, " and ") ..
    " order by " .. sort[1] .. " " .. sort[3] .. ", p.sku " .. sort[3] .. " limit " .. limit .. "::bigint", values
end

-- A page of products. `filter`: q, category, min_price, max_price, in_stock, sort, limit, after = {sort key, sku}.
-- A search may be slow, so it does not share its connection.
function M.list(db, filter, currency, now)
  local sql, values = list_statement(filter)
  local read = filter.q and db.slow or db.read
  return read(db, sql, currency, now, filter.q, unpack(values))
end

function M.categories(db)
  return db:read([[select path, count(*) as products from products, unnest(category_paths) as path
    group by path order by path]])
end

-- ---- changing the catalogue ---------------------------------------------------------------------------------------

function M.lock_product(tx, sku)
  local rows = tx:query("select version from products where sku = $1 for update", sku)
  return rows[1] or false
end

function M.has_product(db, sku)
  return db:read("select 1 as found from products where sku = $1", sku)[1] ~= nil
end

-- The product's price list in all currencies, as staff gave it, and the product's version; false: there is no such
-- product.
function M.price_rows(db, sku)
  local product = db:latest("select version from products where sku = $1", sku)[1]
  if not product then return false end
  return db:latest([[select currency, amount, min_quantity, max_quantity, customer_group, zone, starts_at, ends_at
    from price_rows where sku = $1 order by place]], sku), product.version
end

-- Puts `rows` (sku, place, currency, amount, min_quantity, max_quantity, customer_group, zone, starts_at, ends_at) in
-- the place of the products' price lists. Returns the rows that stood there: sku and currency.
function M.put_price_rows(tx, skus, rows, now)
  local old = tx:query("delete from price_rows where sku = any($1) returning sku, currency", array(skus))
  tx:query([[insert into price_rows (sku, currency, place, amount, min_quantity, max_quantity, customer_group, zone,
    starts_at, ends_at)
    select sku, currency, place, amount, min_quantity, max_quantity, customer_group, zone, starts_at, ends_at
    from jsonb_to_recordset($1) as r(sku text, currency text, place integer, amount bigint, min_quantity integer,
    max_quantity integer, customer_group text, zone text, starts_at timestamptz, ends_at timestamptz)]],
    json(fastr.json.array(rows)))
  tx:query("update products set version = version + 1, updated_at = $2 where sku = any($1)", array(skus), now)
  return old
end

-- Creates or replaces a product with its price; `product.category_paths` are the categories with their ancestors.
-- Returns its version.
function M.put_product(tx, product, now)
  local rows = tx:query([[
    insert into products as p (sku, name, description, categories, category_paths, tax_category, search, created_at,
      updated_at)
    values ($1, $2, $3, $4, $5, $6,
      setweight(to_tsvector('simple', $1), 'A') || setweight(to_tsvector('english', $2), 'A') ||
      setweight(to_tsvector('english', translate(array_to_string($5::text[], ' '), '/-', '  ')), 'B') ||
      setweight(to_tsvector('english', $3), 'C'), $7, $7)
    on conflict (sku) do update set name = excluded.name, description = excluded.description,
      categories = excluded.categories, category_paths = excluded.category_paths, tax_category = excluded.tax_category,
      search = excluded.search, version = p.version + 1, updated_at = excluded.updated_at
    returning version]], product.sku, product.name, product.description, array(product.categories),
    array(product.category_paths), product.tax_category, now)
  tx:query([[insert into prices (sku, currency, amount) values ($1, $2, $3)
    on conflict (sku, currency) do update set amount = excluded.amount]],
    product.sku, product.price.currency, product.price.amount)
  tx:query("insert into stock (sku) values ($1) on conflict (sku) do nothing", product.sku)
  return rows[1].version
end

-- ---- price history ------------------------------------------------------------------------------------------------

-- The last plan of the product's price, as services.product.prices has it; null: it has none.
local PLAN = [[(select jsonb_agg(jsonb_build_object('amount', h.amount, 'list', h.list_amount,
  'from', (extract(epoch from h.applies_from) * 1000)::bigint, 'lowest', h.lowest_before,
  'lowest_until', (extract(epoch from h.lowest_until) * 1000)::bigint, 'actor', h.actor, 'reason', h.reason)
  order by h.applies_from)
  from price_history h where h.sku = p.sku and h.currency = c.currency and h.recorded_at = (
    select max(l.recorded_at) from price_history l where l.sku = p.sku and l.currency = c.currency)) as plan]]

local PRICED = [[
  select p.sku, to_jsonb(p.categories) as categories, p.tax_category, p.prices_move, c.currency, c.amount as price,
  ]] .. ROWS .. ", " .. PLAN .. [[

  from products p join prices c on c.sku = p.sku where p.sku = any($1) order by p.sku, c.currency]]

-- What decides the products' prices, in all their currencies, and the plans that are on record.
function M.priced(reader, skus)
  if reader.query then return reader:query(PRICED, array(skus)) end
  return reader:latest(PRICED, array(skus))
end

-- The lowest price of each of the SKUs of $1 that applied from $3 on and before $4: of the row that applied at $3 and
-- of those that began after it, unless another plan had taken their place by then.
local LOWEST = [[
  select w.sku, (select min(b.amount) from (
    (select h.amount from price_history h where h.sku = w.sku and h.currency = $2 and h.recorded_at <= $3::timestamptz
      and h.applies_from <= $3::timestamptz order by h.recorded_at desc, h.applies_from desc limit 1)
    union all
    select h.amount from price_history h where h.sku = w.sku and h.currency = $2 and h.applies_from > $3::timestamptz
      and h.applies_from < $4::timestamptz and not exists (select from price_history l where l.sku = h.sku
      and l.currency = h.currency and l.recorded_at > h.recorded_at and l.recorded_at <= h.applies_from)) b) as amount
  from unnest($1::text[]) as w(sku)]]

-- {[sku] = the lowest price from the time `from` on and before `to`}; absent: it had none.
function M.lowest_prices(reader, skus, currency, from, to)
  local rows = (reader.query or reader.read)(reader, LOWEST, array(skus), currency, from, to)
  local lowest = {}
  for _, row in ipairs(rows) do lowest[row.sku] = row.amount end
  return lowest
end

-- What applied from the time `from` on: {sku, currency, amount, from (ms)}, the row that applied then included, in the
-- order of time. It is asked by who holds the products' locks and is about to write another plan.
function M.applied_since(tx, skus, from)
  return tx:query([[
    select c.sku, c.currency, h.amount, (extract(epoch from h.applies_from) * 1000)::bigint as "from"
    from prices c, lateral (
      (select b.amount, b.applies_from from price_history b where b.sku = c.sku and b.currency = c.currency
        and b.recorded_at <= $2::timestamptz and b.applies_from <= $2::timestamptz
        order by b.recorded_at desc, b.applies_from desc limit 1)
      union all
      select b.amount, b.applies_from from price_history b where b.sku = c.sku and b.currency = c.currency
        and b.applies_from > $2::timestamptz and not exists (select from price_history l where l.sku = b.sku
        and l.currency = b.currency and l.recorded_at > b.recorded_at and l.recorded_at <= b.applies_from)) h
    where c.sku = any($1) order by h.applies_from]], array(skus), from)
end

-- Adds to the record: list of {sku, currency, list_amount, amount, recorded_at, applies_from, lowest_before,
-- lowest_until, actor, reason}.
function M.add_prices(tx, list)
  tx:query([[insert into price_history (sku, currency, list_amount, amount, recorded_at, applies_from, lowest_before,
    lowest_until, actor, reason)
    select sku, currency, list_amount, amount, recorded_at, applies_from, lowest_before, lowest_until, actor, reason
    from jsonb_to_recordset($1) as r(sku text, currency text, list_amount bigint, amount bigint,
    recorded_at timestamptz, applies_from timestamptz, lowest_before bigint, lowest_until timestamptz, actor text,
    reason text)]], json(fastr.json.array(list)))
end

-- Are the products' prices to be looked up in the record?
function M.set_prices_move(tx, skus, move)
  return tx:query("update products set prices_move = $2 where sku = any($1)", array(skus), move)
end

-- A page of what was paid, the latest first: rows in which the price or the list price is another than before, which
-- began before the time `before`, or (nil) with all that is planned; `until`, absent in the last: when the next began.
function M.price_history(db, sku, currency, before, limit)
  return db:read([[
    with applied as (
      select h.*, lag(h.amount) over w as old, lag(h.list_amount) over w as old_list
      from price_history h where h.sku = $1 and h.currency = $2 and not exists (select from price_history l
        where l.sku = h.sku and l.currency = h.currency and l.recorded_at > h.recorded_at
        and l.recorded_at <= h.applies_from)
      window w as (order by h.applies_from)),
    changes as (
      select c.*, lead(c.applies_from) over (order by c.applies_from) as until from applied c
      where (c.amount, c.list_amount) is distinct from (c.old, c.old_list))
    select amount, list_amount, currency, applies_from, until, lowest_before, actor, reason from changes
    where $3::timestamptz is null or applies_from < $3::timestamptz order by applies_from desc limit $4]],
    sku, currency, before, limit)
end

-- The next SKUs of the catalogue after `sku`, in their order.
function M.skus_after(db, sku, limit)
  local skus = {}
  for i, row in ipairs(db:read("select sku from products where sku > $1 order by sku limit $2", sku, limit)) do
    skus[i] = row.sku
  end
  return skus
end

-- Locks products in the order of sku.
function M.lock_products(tx, skus)
  return tx:query("select sku, version from products where sku = any($1) order by sku for update", array(skus))
end

-- ---- stock --------------------------------------------------------------------------------------------------------

-- Locks the stock of these products, in the order of sku (two orders with the same products then never wait for each
-- other in a circle), and returns {[sku] = units on hand}.
function M.lock_stock(tx, skus)
  local rows = tx:query([[select sku, on_hand from stock where sku = any($1)
    order by sku collate "C" for update]], array(skus))
  local on_hand = {}
  for _, row in ipairs(rows) do on_hand[row.sku] = row.on_hand end
  return on_hand
end

-- What live holds of all orders but `order` promise: {[sku] = units}. Ask it under the lock, in a statement of its own,
-- which then sees what the holder of the lock before us has committed.
function M.held_by_others(tx, skus, order, now)
  local rows = tx:query([[select sku, sum(quantity)::bigint as quantity from holds
    where sku = any($1) and expires_at > $2 and order_id is distinct from $3::uuid group by sku]],
    array(skus), now, order)
  local taken = {}
  for _, row in ipairs(rows) do taken[row.sku] = row.quantity end
  return taken
end

local function columns(lines)
  local skus, quantities = {}, {}
  for i, line in ipairs(lines) do
    skus[i], quantities[i] = line.sku, line.quantity
  end
  return array(skus), array(quantities)
end

-- Adds to the units on hand: `sign` 1 or -1 times each line's quantity.
function M.change_on_hand(tx, lines, sign)
  local skus, quantities = columns(lines)
  return tx:query([[update stock s set on_hand = s.on_hand + $3::bigint * l.quantity
    from unnest($1::text[], $2::bigint[]) as l(sku, quantity) where s.sku = l.sku]], skus, quantities, sign)
end

function M.adjust(tx, sku, delta)
  local rows = tx:query("update stock set on_hand = on_hand + $2 where sku = $1 returning on_hand", sku, delta)
  return rows[1].on_hand
end

-- Writes a ledger row per line. `m`: kind, on_hand and held (signs: 1, 0, -1), order, reason, actor, now.
function M.record(tx, lines, m)
  local skus, quantities = columns(lines)
  return tx:query([[insert into movements (sku, kind, on_hand_delta, held_delta, order_id, reason, actor, at)
    select l.sku, $3, $4::bigint * l.quantity, $5::bigint * l.quantity, $6::uuid, $7, $8, $9
    from unnest($1::text[], $2::bigint[]) as l(sku, quantity)]],
    skus, quantities, m.kind, m.on_hand, m.held, m.order, m.reason or "", m.actor or "", m.now)
end

-- ---- reservations -------------------------------------------------------------------------------------------------

-- The order's reservation, locked, made (released and empty) if it has none.
function M.open_reservation(tx, order, now)
  tx:query([[insert into reservations (order_id, state, lines, expires_at, version, created_at, updated_at)
    values ($1, 'released', '[]', $2, 0, $2, $2) on conflict (order_id) do nothing]], order, now)
  return M.lock_reservation(tx, order)
end

-- The order's reservation, locked: {order, state, lines, expires_at, version}; false if it never had one.
function M.lock_reservation(tx, order)
  local rows = tx:query([[select order_id as "order", state, lines, version,
    to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as expires_at
    from reservations where order_id = $1 for update]], order)
  return rows[1] or false
end

-- Writes a locked reservation back, its version one higher.
function M.save_reservation(tx, r, now)
  return tx:query([[update reservations set state = $2, lines = $3, expires_at = $4, version = $5, updated_at = $6
    where order_id = $1]], r.order, r.state, json(r.lines), r.expires_at, r.version, now)
end

function M.drop_holds(tx, order)
  return tx:query("delete from holds where order_id = $1", order)
end

function M.add_holds(tx, order, lines, expires_at)
  local skus, quantities = columns(lines)
  return tx:query([[insert into holds (order_id, sku, quantity, expires_at)
    select $3::uuid, l.sku, l.quantity, $4::timestamptz from unnest($1::text[], $2::bigint[]) as l(sku, quantity)]],
    skus, quantities, order, expires_at)
end

function M.extend_holds(tx, order, expires_at)
  return tx:query("update holds set expires_at = $2 where order_id = $1", order, expires_at)
end

-- Orders whose holds ran out before `before`, oldest first.
function M.expired(db, before, limit)
  return db:latest([[select order_id as "order" from reservations where state = 'held' and expires_at < $1
    order by expires_at limit $2]], before, limit)
end

-- ---- what came back -----------------------------------------------------------------------------------------------

function M.has_restock(tx, order, key)
  return tx:query("select 1 as found from restocks where order_id = $1 and key = $2", order, key)[1] ~= nil
end

function M.add_restock(tx, order, key, lines, now)
  tx:query("insert into restocks (order_id, key, lines, at) values ($1, $2, $3, $4)", order, key, json(lines), now)
end

-- Units of the order that came back so far: {[sku] = units}.
function M.restocked(tx, order)
  local rows = tx:query([[select l->>'sku' as sku, sum((l->>'quantity')::bigint)::bigint as quantity
    from restocks, jsonb_array_elements(lines) as l where order_id = $1 group by 1]], order)
  local back = {}
  for _, row in ipairs(rows) do back[row.sku] = row.quantity end
  return back
end

-- ---- for who compares ---------------------------------------------------------------------------------------------

local TAKEN = [[select r.order_id as "order", r.state, r.lines,
  coalesce((select jsonb_agg(jsonb_build_object('key', b.key, 'lines', b.lines) order by b.at, b.key)
    from restocks b where b.order_id = r.order_id), '[]') as restocks
  from reservations r where ]]

-- What these orders hold, took and gave back: {order, state, lines, restocks = {{key, lines}}}.
function M.taken(db, orders)
  return db:latest(TAKEN .. "r.order_id = any($1::uuid[])", array(orders))
end

-- The same of a page of orders that took something since then, in the order of their ids.
function M.taken_since(db, since, after, limit)
  return db:slow(TAKEN .. [[r.state = 'committed' and r.created_at >= $1 and ($2::uuid is null or r.order_id > $2)
    order by r.order_id limit $3]], since, after, limit)
end

-- Products whose stock is not the sum of their movements, or whose holds are not: {sku, on_hand, moved, held,
-- promised}.
function M.drifted(db, limit)
  return db:slow([[select s.sku, s.on_hand, coalesce(m.n, 0)::bigint as moved, coalesce(m.h, 0)::bigint as promised,
      coalesce(q.h, 0)::bigint as held
    from stock s left join (select sku, sum(on_hand_delta) as n, sum(held_delta) as h from movements group by sku) m
      using (sku) left join (select sku, sum(quantity) as h from holds group by sku) q using (sku)
    where s.on_hand <> coalesce(m.n, 0) or coalesce(m.h, 0) <> coalesce(q.h, 0) order by s.sku limit $1]], limit)
end

return M
