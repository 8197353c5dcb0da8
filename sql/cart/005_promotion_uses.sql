-- How often promotions that have limits were used, and what they gave of a budget. The limits are a definition's of the
-- rules; here is counted, as for coupons: a claim is one cart's use of a promotion, made when its checkout starts, by
-- guarded statements. A promotion without limits has no row anywhere.
--
--   used < limit, spent + amount <= budget   one row for each promotion that is limited as a whole
--   used < limit_per_customer                one for each name that the customer goes by

create table promotion_counts (
  promotion text primary key,
  used bigint not null check (used >= 0),
  spent bigint not null check (spent >= 0)           -- minor units: what it took off in carts that hold a claim
);

create table promotion_claims (
  promotion text not null,
  cart_id text not null references carts (id),
  customers text[] not null,                         -- the names under which it was counted
  amount bigint not null check (amount >= 0),        -- what it took off, minor units
  gives_back boolean not null,                       -- whether cancelling the order gives the use back
  created_at timestamptz not null,
  primary key (promotion, cart_id)
);

create index promotion_claims_cart on promotion_claims (cart_id);

create table promotion_customers (
  promotion text not null,
  customer text not null,                            -- account:ID, or email:HMAC
  used bigint not null check (used >= 0),
  primary key (promotion, customer)
);

alter table coupon_claims add column gives_back boolean not null default true;
