-- Stock: what lies on the shelf, what is promised to orders, and a ledger of every movement.
--
--   available = on_hand - sum of live holds         a hold lives until expires_at: a predicate, not a job
--   on_hand   = sum of movements.on_hand_delta
--   held      = sum of movements.held_delta
--
-- What is held is always summed from the holds themselves, so that no counter can drift. Whoever changes a product's
-- stock or promises from it first locks its row in stock; several rows are locked in the order of sku.

create table stock (
  sku text primary key references products (sku),
  on_hand bigint not null default 0 check (on_hand >= 0)
);

-- One row per order that ever asked for stock.
create table reservations (
  order_id uuid primary key,
  state text not null check (state in ('held', 'expired', 'released', 'committed')),
  lines jsonb not null,                              -- [{sku, quantity}], one per sku, in order of sku
  expires_at timestamptz not null,
  version bigint not null default 1,                 -- sequence of the order's stock events
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index reservations_expiring on reservations (expires_at) where state = 'held';

create table holds (
  order_id uuid not null references reservations (order_id),
  sku text not null references stock (sku),
  quantity bigint not null check (quantity > 0),
  expires_at timestamptz not null,
  primary key (order_id, sku)
);

create index holds_live on holds (sku, expires_at) include (quantity);

-- What came back of a committed order; `key` names the return, so that it counts once.
create table restocks (
  order_id uuid not null references reservations (order_id),
  key text not null,
  lines jsonb not null,
  at timestamptz not null default now(),
  primary key (order_id, key)
);

create table movements (
  id bigint generated always as identity primary key,
  sku text not null references stock (sku),
  kind text not null check (kind in ('adjust', 'hold', 'release', 'expire', 'commit', 'restock')),
  on_hand_delta bigint not null,
  held_delta bigint not null,
  order_id uuid,
  reason text not null default '',
  actor text not null default '',                    -- who: a principal's id or a service's name
  at timestamptz not null default now()
);

create index movements_sku on movements (sku, id);
create index movements_order on movements (order_id) where order_id is not null;

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are only ever added', tg_table_name;
end $$;

create trigger movements_append_only before update or delete on movements
  for each row execute function refuse_change();
