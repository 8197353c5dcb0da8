-- Issued coupons. What a code gives is a rule's business; how often it may be used is counted here.
--
-- A claim is one cart's use of a code: made when its checkout starts, given back when nothing is bought (or the order is
-- cancelled), kept for ever otherwise. The counters are changed by guarded statements alone, with the claim:
--
--   used < usage_limit         whoever finds it full is refused before he pays; no limit: the row is not touched
--   used < limit_per_customer  once for each name that the customer goes by (account, e-mail)

create table coupons (
  code text primary key check (code <> '' and length(code) <= 64),
  usage_limit bigint check (usage_limit >= 0),       -- null: no limit
  limit_per_customer bigint check (limit_per_customer >= 1),
  used bigint not null default 0 check (used >= 0),  -- kept only while there is a limit; else the claims are counted
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table coupon_claims (
  code text not null references coupons (code),
  cart_id text not null references carts (id),
  customers text[] not null,                         -- the names under which it was counted
  created_at timestamptz not null,
  primary key (code, cart_id)
);

create index coupon_claims_cart on coupon_claims (cart_id);

create table coupon_customers (
  code text not null references coupons (code),
  customer text not null,                            -- account:ID, or email:HMAC
  used bigint not null check (used >= 0),
  primary key (code, customer)
);

create index carts_paying on carts (paying_since) where state = 'paying';

-- A customer's cart that went into another one at sign-in: its id leads there from now on.
alter table carts add column merged_into text references carts (id);
create index carts_merged on carts (merged_into) where merged_into is not null;
