-- Orders. A row in state placing is the saga of its checkout: `work` says what is left to do, `lease_until` who does it.
--
--   placing --> placed --> paid --> fulfilling --> shipped --> delivered
--      |           |         |          |
--      +-----------+---------+----------+--> cancelled        (which pairs are allowed: the decision order.transition)

create table orders (
  id uuid primary key,
  number bigint unique,                              -- given when the order is placed; gaps are possible
  cart_id text not null,
  status text not null check (status in ('placing', 'placed', 'paid', 'fulfilling', 'shipped', 'delivered', 'cancelled', 'returned')),
  sequence bigint not null default 0,                -- of the last entry of its history; of its events too
  customer_id uuid,
  email text not null,
  token_hash text not null,                          -- SHA-256 of the guest's token
  currency text not null,
  shipping_address jsonb not null,
  shipping_method text not null,
  lines jsonb not null,                              -- frozen: names, quantities, prices, discounts per unit, taxes
  totals jsonb not null,
  total bigint not null check (total >= 0),          -- minor units
  due bigint not null check (due >= 0),              -- what is to be paid of it
  shipping jsonb not null,                           -- the decision's shipments
  facts jsonb not null,                              -- what the price was decided from
  trace jsonb not null,
  pack text not null,                                -- hash of the rules that decided
  abi integer not null,                              -- version of the arithmetic they used
  work text check (work in ('place', 'undo', 'settle')),
  work_reason text not null default '',
  lease_until timestamptz,                           -- somebody works on it until then
  lease_by uuid,
  next_try_at timestamptz,
  tries integer not null default 0,
  held boolean not null default false,               -- stock was asked for, and not given back since
  committed boolean not null default false,          -- stock has left the shelf
  created_at timestamptz not null,
  updated_at timestamptz not null,
  placed_at timestamptz
);

create unique index orders_one_per_cart on orders (cart_id) where status <> 'cancelled';
create index orders_customer on orders (customer_id, id desc) where customer_id is not null;
create index orders_work on orders (next_try_at) where work is not null;
create index orders_open on orders (updated_at) where status = 'placing' and work is null;

create sequence order_numbers start 100001;

-- One row per attempt at payment. Its id is the key under which payment is asked; it is stored before the asking.
create table attempts (
  id uuid primary key,
  order_id uuid not null references orders (id),
  status text not null check (status in ('new', 'asked', 'authorised', 'captured', 'declined', 'unknown', 'requires_action', 'voided', 'refunded')),
  payment_method text not null,
  payment_id uuid,
  amount bigint not null check (amount >= 0),
  currency text not null,
  reason text,
  next_action jsonb,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index attempts_order on attempts (order_id, created_at);
-- At most one attempt of an order can still move money.
create unique index attempts_one_open on attempts (order_id)
  where status in ('new', 'asked', 'unknown', 'requires_action', 'authorised', 'captured');

create table history (
  order_id uuid not null references orders (id),
  sequence bigint not null,
  from_status text,
  to_status text not null,
  actor text not null,
  reason text not null default '',
  at timestamptz not null,
  primary key (order_id, sequence)
);

create table shipments (
  id uuid primary key,
  order_id uuid not null references orders (id),
  carrier text not null default '',
  tracking text not null default '',
  shipped_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null
);

create index shipments_order on shipments (order_id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are only ever added', tg_table_name;
end $$;

create trigger history_append_only before update or delete on history
  for each row execute function refuse_change();
