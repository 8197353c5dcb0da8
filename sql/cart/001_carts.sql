-- Carts. The id is the capability: 128 random bits, known to the shopper alone.

create table carts (
  id text primary key check (length(id) = 22),
  version bigint not null default 1,                 -- grows with every change; the ETag
  state text not null default 'open' check (state in ('open', 'paying', 'done')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  customer_id uuid,
  email text,
  shipping_address jsonb,
  shipping_method text,
  coupons text[] not null default '{}',              -- codes as entered, in the order of entry
  last_position bigint not null default 0,           -- of the line added last
  pricing jsonb,                                     -- what the last priced change saw: facts, decision with its trace
  pack text,                                         -- hash of the rules that priced it
  order_id uuid,                                     -- set when state becomes done
  paying_since timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index carts_customer on carts (customer_id, updated_at desc) where customer_id is not null;
create index carts_idle on carts (updated_at) where state = 'open';

-- A line keeps the product's facts as last fetched, so that a change can be priced under the row's lock, where
-- nothing may be asked of another service.
create table lines (
  cart_id text not null references carts (id) on delete cascade,
  sku text not null,
  position bigint not null,
  quantity integer not null check (quantity between 1 and 9999),
  facts jsonb not null,                              -- {name, price, categories, tax_category, available, version}
  primary key (cart_id, sku)
);
