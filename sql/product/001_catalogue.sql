-- The catalogue: what is sold, what it is called, and what it lists for. One price per currency.

create table products (
  sku text primary key check (sku <> '' and length(sku) <= 64),
  name text not null check (name <> ''),
  description text not null default '',              -- staff's own words; empty: readers get a sentence made from name and category
  categories text[] not null default '{}',           -- paths, "home/lighting"
  category_paths text[] not null default '{}',       -- the same with every ancestor, for filters and counts
  tax_category text not null default 'standard',
  search tsvector not null,
  version bigint not null default 1,                 -- grows with every change of the row or its prices; the ETag
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index products_search on products using gin (search);
create index products_category on products using gin (category_paths);
create index products_name on products (name, sku);

create table prices (
  sku text not null references products (sku),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  amount bigint not null check (amount between 0 and 9007199254740991),   -- minor units
  primary key (sku, currency)
);

create index prices_amount on prices (currency, amount, sku);
