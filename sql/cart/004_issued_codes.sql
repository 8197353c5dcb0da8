-- Codes issued in batches. Each stands for the one code that a promotion of the rules knows (`coupon`), so what it gives
-- is the promotion's business, and one who has a code cannot guess another. While there are batches for it, the
-- promotion's own code is entered by nobody, unless it was issued too.
create table coupon_batches (
  id uuid primary key,
  coupon text not null check (coupon <> '' and length(coupon) <= 64),
  prefix text check (prefix <> '' and length(prefix) <= 20),
  count integer not null check (count between 1 and 10000),
  usage_limit bigint check (usage_limit >= 1),        -- of each code when it was issued; null: no limit
  limit_per_customer bigint check (limit_per_customer >= 1),
  blocked_at timestamptz,                             -- since then no code of it is taken
  created_at timestamptz not null
);

create index coupon_batches_coupon on coupon_batches (coupon);

alter table coupons add column batch_id uuid references coupon_batches (id);
create index coupons_batch on coupons (batch_id, code) where batch_id is not null;
