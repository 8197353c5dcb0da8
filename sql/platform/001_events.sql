-- Events out (outbox) and in (inbox, parked). An event is written with the work that it tells of, in one transaction;
-- a relay publishes it. An event that comes in leaves its id in the transaction of its effect, so it has one effect.

-- The last number given to each aggregate's events. Its row stays locked until the transaction that tells of the
-- aggregate ends: so numbers, ids of the outbox and commits of one aggregate have one order.
create table aggregate_sequences (
  topic text not null,
  key   text not null,
  last  bigint not null,
  primary key (topic, key)
);

create table outbox (
  id          bigint generated always as identity primary key,
  event_id    uuid not null unique,
  source      text not null,
  topic       text not null,
  key         text not null,
  type        text not null,
  sequence    bigint not null,
  version     bigint,               -- of the aggregate, where it has one
  data        json not null,        -- as it was written; nobody looks into it here
  traceparent text,
  created_at  timestamptz not null,
  sent_at     timestamptz,
  unique (topic, key, sequence)
);

create index outbox_unsent on outbox (id) where sent_at is null;
create index outbox_sent on outbox (sent_at) where sent_at is not null;

-- Which worker publishes: one row. Time is the server's own.
create table outbox_lease (
  one    boolean primary key default true check (one),
  holder text not null,
  until  timestamptz not null
);

create table inbox (
  event_id uuid primary key,
  topic    text not null,
  at       timestamptz not null default clock_timestamp()
);

create index inbox_at on inbox (at);

-- The last number seen of each aggregate, so that a gap is told.
create table inbox_sequences (
  topic text not null,
  key   text not null,
  last  bigint not null,
  at    timestamptz not null default clock_timestamp(),
  primary key (topic, key)
);

create index inbox_sequences_at on inbox_sequences (at);

-- Events whose handler failed for good, and those of the same key that came later, in their order.
create table parked (
  id          bigint generated always as identity primary key,
  topic       text not null,
  key         text not null,
  event_id    uuid,                 -- null: it was no event
  message     text not null,        -- as it came
  reason      text not null,
  attempts    integer not null,
  parked_at   timestamptz not null default clock_timestamp(),
  redriven_at timestamptz
);

create index parked_open on parked (topic, key, id) where redriven_at is null;
create unique index parked_once on parked (event_id) where redriven_at is null and event_id is not null;
