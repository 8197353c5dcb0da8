-- Price history: what one unit of a product costs everybody, and since when; rows are only ever added.
--
-- Whoever changes a price writes a plan in the same transaction: what the price is from `recorded_at` on, and at which
-- moments the windows of the price list will change it (`applies_from`). A later plan takes the place of what an earlier
-- one still had ahead of it, so no job has to be on time:
--
--   price at T = the row with recorded_at <= T and applies_from <= T whose (recorded_at, applies_from) is the last
--   a row never applied if another plan was recorded after it, and not after its applies_from
--
-- `lowest_before` is the lowest price of the 30 days before the reduction that the row belongs to; null: it belongs to
-- none. A reduction that no higher list price stands beside is one until `lowest_until`.

create table price_history (
  id bigint generated always as identity primary key,
  sku text not null references products (sku),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  list_amount bigint not null check (list_amount between 0 and 9007199254740991),     -- minor units
  amount bigint not null check (amount between 0 and 9007199254740991),               -- after price list and rules
  recorded_at timestamptz not null,
  applies_from timestamptz not null check (applies_from >= recorded_at),
  lowest_before bigint check (lowest_before between 0 and 9007199254740991),
  lowest_until timestamptz,
  actor text not null,                               -- who: a principal's id, `rules`, `catalogue` or `migration`
  reason text not null,
  unique (sku, currency, recorded_at, applies_from)
);

create trigger price_history_append_only before update or delete on price_history
  for each row execute function refuse_change();

-- What was there before the history began.
insert into price_history (sku, currency, list_amount, amount, recorded_at, applies_from, actor, reason)
  select sku, currency, amount, amount, moment, moment, 'migration', 'list price when the history began'
  from prices, date_trunc('milliseconds', now()) as moment;
