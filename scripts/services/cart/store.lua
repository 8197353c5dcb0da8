-- store: every SQL statement of the cart service. Statements return rows or raise.

local M = {}

local array, json = fastr.pg.array, fastr.pg.json

-- Cart and lines in one statement, so that both are of one moment. Lines are {sku, quantity, position, facts}, in the
-- order in which they were added.
local SELECT = [[
  select c.id, c.version, c.state, c.currency, c.customer_id as customer, c.email, c.shipping_address,
    c.shipping_method, to_jsonb(c.coupons) as coupons, c.last_position, c.pricing, c.pack, c.order_id as "order",
    extract(epoch from c.paying_since)::bigint as paying_since,
    coalesce((select jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity, 'position', l.position,
      'facts', l.facts) order by l.position) from lines l where l.cart_id = c.id), '[]'::jsonb) as lines
  from carts c where c.id = $1]]

function M.create(tx, cart, now)
  tx:query("insert into carts (id, currency, customer_id, created_at, updated_at) values ($1, $2, $3::uuid, $4, $4)",
    cart.id, cart.currency, cart.customer, now)
end

-- From the primary: a shopper's own cart must never look older than his last change. Returns the cart, or nil.
function M.load(db, id)
  return db:latest(SELECT, id)[1]
end

-- Locks the cart, then reads it and its lines in a second statement, which sees what the lock's last holder wrote.
function M.lock(tx, id)
  if not tx:query("select 1 as found from carts where id = $1 for update", id)[1] then return nil end
  return tx:query(SELECT, id)[1]
end

-- Writes a locked cart back; the caller has counted its version up.
function M.save(tx, cart, now)
  tx:query([[update carts set version = $2, state = $3, customer_id = $4::uuid, email = $5, shipping_address = $6,
    shipping_method = $7, coupons = $8, last_position = $9, pricing = $10, pack = $11, order_id = $12::uuid,
    paying_since = to_timestamp($13::bigint), updated_at = $14 where id = $1]],
    cart.id, cart.version, cart.state, cart.customer, cart.email,
    cart.shipping_address and json(cart.shipping_address), cart.shipping_method, array(cart.coupons),
    cart.last_position, cart.pricing and json(cart.pricing), cart.pack, cart.order, cart.paying_since, now)
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

-- Deletes anonymous open carts untouched since `before`, at most `limit`.
function M.delete_idle(db, before, limit)
  return db:write([[delete from carts where id in (select id from carts where state = 'open' and customer_id is null
    and updated_at < $1 order by updated_at limit $2 for update skip locked) returning 1 as gone]], before, limit)
end

return M
