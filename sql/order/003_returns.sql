-- Goods that came back of an order. Written under the order's lock, so that no more comes back than was bought; then the
-- stock and the money are given back, each once for the return's id, until both are done.
create table returns (
  id uuid primary key,                               -- the key under which stock and money are given back
  order_id uuid not null references orders (id),
  lines jsonb not null,                              -- [{sku, quantity, restock, refund (minor units)}], one per sku
  amount bigint not null check (amount >= 0),        -- sum of the lines' refunds
  reason text not null default '',
  actor text not null,
  restock text not null check (restock in ('none', 'due', 'done', 'refused')),
  refund text not null check (refund in ('none', 'due', 'done', 'refused')),
  why text not null default '',                      -- of what was refused or is late, for staff
  next_try_at timestamptz,                           -- null: nothing is left to do
  tries integer not null default 0,
  created_at timestamptz not null
);

create index returns_order on returns (order_id, created_at);
create index returns_due on returns (next_try_at) where next_try_at is not null;
