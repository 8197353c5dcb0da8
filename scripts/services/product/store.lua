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

-- The product's price list in the currency of $1, as pricing takes its rows; null: it has none.
local ROWS = [[(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('currency', r.currency, 'amount', r.amount,
  'min_quantity', r.min_quantity, 'max_quantity', r.max_quantity, 'rules', jsonb_strip_nulls(jsonb_build_object(
  'customer_group', r.customer_group, 'zone', r.zone, 'from', r.starts_at, 'to', r.ends_at)))) order by r.place)
  from price_rows r where r.sku = p.sku and r.currency = $1) as prices]]

local COLUMNS = [[
  p.sku, p.name, p.description, to_jsonb(p.categories) as categories, p.tax_category, p.version, ]] .. ROWS .. [[,
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
    greatest(0, s.on_hand - ]] .. held("$2", "p.sku") .. [[) as available, p.version, ]] .. ROWS .. [[

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

-- The product's price list in all currencies, as staff gave it; false: there is no such product.
function M.price_rows(db, sku)
  if not db:latest("select 1 from products where sku = $1", sku)[1] then return false end
  return db:latest([[select currency, amount, min_quantity, max_quantity, customer_group, zone, starts_at, ends_at
    from price_rows where sku = $1 order by place]], sku)
end

-- Puts `rows` (currency, amount, min_quantity, max_quantity, customer_group, zone, starts_at, ends_at) in the place of
-- the product's price list. Returns the rows that stood there, with their currency.
function M.put_price_rows(tx, sku, rows, now)
  local old = tx:query("delete from price_rows where sku = $1 returning currency", sku)
  for place, row in ipairs(rows) do
    tx:query([[insert into price_rows (sku, currency, place, amount, min_quantity, max_quantity, customer_group, zone,
      starts_at, ends_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)]], sku, row.currency, place, row.amount,
      row.min_quantity, row.max_quantity, row.customer_group, row.zone, row.starts_at, row.ends_at)
  end
  tx:query("update products set version = version + 1, updated_at = $2 where sku = $1", sku, now)
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

return M
