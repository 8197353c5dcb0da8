-- Idempotency keys: one row for each action that a client named. Scope: who, which method and path, which key.
-- A transaction route writes its row with its work; a saga route writes it first, as running, with the saga's id.

create table idempotency_keys (
  principal    text not null,
  endpoint     text not null,
  key          text not null check (length(key) between 1 and 255),
  fingerprint  text not null,
  saga         uuid,
  state        text not null check (state in ('running', 'done')),
  lease_until  timestamptz,
  status       integer,
  headers      jsonb,
  body         text,
  created_at   timestamptz not null,
  done_at      timestamptz,
  primary key (principal, endpoint, key),
  check (state = 'running' or (status is not null and done_at is not null)),
  check (state = 'done' or (saga is not null and lease_until is not null))
);

-- For the sweep, which leaves sagas alone: their keys are kept with the order or payment for ever.
create index idempotency_keys_old on idempotency_keys (created_at) where saga is null;
