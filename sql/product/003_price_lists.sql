-- Price lists: what a product costs instead of its list price, from a quantity on, to a group of customers, in a zone, for
-- a time. Which of a product's rows counts for a line is decided by the rules, not here.

create table price_rows (
  sku text not null references products (sku),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  place integer not null,                            -- in the list, as staff gave it
  amount bigint not null check (amount between 0 and 9007199254740991),   -- minor units
  min_quantity integer check (min_quantity between 1 and 9999),
  max_quantity integer check (max_quantity between coalesce(min_quantity, 1) and 9999),
  customer_group text check (customer_group <> ''),
  zone text check (zone <> ''),
  starts_at timestamptz,
  ends_at timestamptz check (ends_at >= starts_at),
  primary key (sku, currency, place)
);
