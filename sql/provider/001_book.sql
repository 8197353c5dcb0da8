-- The test provider's book: what it was asked, what it did, and what it has to tell. It stands for somebody else's
-- machine: nothing here is seen by the shop but through the provider's API. Of a card the brand, the last four digits
-- and what the documentation says of its number are kept, never the number.

-- A row for each action that was named, and for each name that was cancelled before its charge came. Whoever writes the
-- row first has decided; the other one waits for his commit and reads it.
create table keys (
  endpoint    text not null,                         -- 'charges', 'ID/captures', 'ID/refunds', 'ID/voids'
  key         text not null check (length(key) between 1 and 255),
  fingerprint text,                                  -- HMAC of the body; null: cancelled, nothing will come of it
  charge_id   uuid,
  created_at  timestamptz not null,
  primary key (endpoint, key),
  check ((fingerprint is null) = (charge_id is null))
);

--   requires_action --> authorised --> captured --> refunded
--      |    |  |           |
--      |    |  +-----------|--> captured
--      |    +--> declined  +--> voided
--      +--> voided
create table charges (
  id           uuid primary key,
  key          text not null unique,
  status       text not null check (status in
    ('requires_action', 'authorised', 'captured', 'declined', 'voided', 'refunded')),
  amount       bigint not null check (amount > 0),   -- minor units
  currency     text not null,
  capture      boolean not null,                     -- at once, or by a later call
  brand        text not null,
  last4        text not null check (length(last4) = 4),
  card         text not null,                        -- what this card does: cards.lua
  decline_code text,
  reference    text not null,
  return_url   text,
  challenge    text unique,                          -- the capability in the challenge page's address
  sequence     bigint not null default 0,            -- of its last webhook
  created_at   timestamptz not null,
  updated_at   timestamptz not null
);

-- Every movement of money, only ever added. What was captured and refunded are sums over it.
create table entries (
  id        uuid primary key,
  charge_id uuid not null references charges (id),
  kind      text not null check (kind in ('authorise', 'capture', 'void', 'refund')),
  amount    bigint not null check (amount > 0),
  key       text not null,                           -- the Idempotency-Key that asked for it
  at        timestamptz not null
);

create index entries_charge on entries (charge_id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are only ever added', tg_table_name;
end $$;

create trigger entries_append_only before update or delete on entries
  for each row execute function refuse_change();

-- What the shop must still be told. A row leaves by a 2xx alone; a doubled webhook is two rows with one event.
create table webhooks (
  id           bigint generated always as identity primary key,
  event_id     uuid not null,
  charge_id    uuid not null references charges (id),
  sequence     bigint not null,
  type         text not null,
  body         text not null,                        -- as it is sent, each time
  due_at       timestamptz not null,
  lease_until  timestamptz,                          -- somebody is sending it until then
  tries        integer not null default 0,
  last_answer  text not null default '',
  delivered_at timestamptz,
  created_at   timestamptz not null
);

create index webhooks_due on webhooks (due_at) where delivered_at is null;
create index webhooks_charge on webhooks (charge_id);
create index webhooks_delivered on webhooks (delivered_at) where delivered_at is not null;
