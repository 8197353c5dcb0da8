-- Payments: one row for each attempt at paying an order. Its id is the attempt's, and the key under which the provider
-- is asked. The row says what is to become of it; how much money moved is the ledger's to say.
--
--   unknown --> requires_action --> authorised --> captured --> refunded
--      |               |                |
--      +---------------+----------------+--> declined, voided          (never back)

create table payments (
  id uuid primary key,
  order_id uuid,                                     -- null: given up before anybody asked for it; it is never charged
  customer_id uuid,
  payment_method text not null default '',
  brand text not null default '',                    -- of the card, for people
  last4 text not null default '',
  amount bigint not null check (amount >= 0),        -- minor units
  currency text not null default '',
  capture text not null default 'now' check (capture in ('now', 'later')),
  provider text not null default '',
  charge text,                                       -- the provider's name for it
  status text not null check (status in ('unknown', 'requires_action', 'authorised', 'captured', 'declined', 'voided', 'refunded')),
  reason text not null default '',
  next_action jsonb,
  keep_nothing boolean not null default false,       -- whatever it turns out to have taken goes back
  next_try_at timestamptz,                           -- the resolver looks at it then; null: nothing is left to do
  tries integer not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  check (order_id is not null or status = 'voided')
);

create index payments_order on payments (order_id) where order_id is not null;
create index payments_due on payments (next_try_at) where next_try_at is not null;

-- What was asked of the provider and what came of it. A balance is a sum over these rows. An operation is named by kind
-- and key; it is asked for before the provider is, and ends once.
create table ledger (
  id bigint generated always as identity primary key,
  payment_id uuid not null references payments (id),
  kind text not null check (kind in ('authorise', 'capture', 'refund', 'void')),
  key text not null check (length(key) between 1 and 100),
  state text not null check (state in ('requested', 'succeeded', 'failed')),
  amount bigint not null check (amount >= 0),
  reference text,                                    -- the provider's charge that it was done to
  actor text not null default 'service',
  reason text not null default '',
  at timestamptz not null
);

create unique index ledger_asked_once on ledger (payment_id, kind, key) where state = 'requested';
create unique index ledger_ends_once on ledger (payment_id, kind, key) where state <> 'requested';

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are only ever added', tg_table_name;
end $$;

create trigger ledger_append_only before update or delete on ledger
  for each row execute function refuse_change();

-- The provider's events that came in, each once; those that contradict the ledger keep what is wrong with them.
create table webhooks (
  event_id text primary key check (length(event_id) between 1 and 100),
  payment_id uuid not null references payments (id),
  type text not null,
  sequence bigint not null,
  problem text,
  at timestamptz not null
);

create index webhooks_parked on webhooks (at) where problem is not null;
