-- rules: which packs there are, who published them, what was shown of them, and what was made live, where, when and why.
-- Rows are only ever added (but those of `hosts`, which say what is so now): together they are the audit trail.
--
--   packs <-- signatures       who answers for a pack
--     ^---- reports            what the gate, a replay or a shadow found
--     ^---- activations        live | off | rollback | canary | shadow | stop; each host's agent follows them in order

create table packs (
  hash       text primary key check (hash ~ '^[0-9a-f]{64}$'),
  number     bigint generated always as identity unique,
  parent     text check (parent ~ '^[0-9a-f]{64}$'),  -- what it was made from, which need not be here
  author     text not null,
  message    text not null,
  bundle     text not null,                           -- the canonical form: its SHA-256 is the hash
  files      integer not null,
  by         text not null,                           -- who brought it here: an account, or USER@HOST
  at         timestamptz not null default clock_timestamp()
);

create table signatures (
  pack       text not null references packs,
  key        text not null check (key ~ '^[0-9a-f]{16}$'),
  sealed     text not null,                           -- the signed statement, as it lies beside the pack on a host
  at         timestamptz not null default clock_timestamp(),
  primary key (pack, key)
);

create table reports (
  id         uuid primary key,
  number     bigint generated always as identity unique,
  pack       text not null references packs,
  kind       text not null,                           -- gate, replay, shadow, canary ...
  green      boolean not null,
  document   jsonb not null,
  by         text not null,
  at         timestamptz not null default clock_timestamp()
);
create index reports_pack on reports (pack, kind, number);

create table activations (
  number     bigint generated always as identity primary key,
  id         uuid not null unique,
  mode       text not null check (mode in ('live', 'off', 'rollback', 'canary', 'shadow', 'stop')),
  pack       text references packs,                   -- live afterwards, or on trial; null: the host's own one before
  share      integer check (share between 1 and 10000), -- of the carts, in basis points
  reason     text not null,
  forced     boolean not null default false,          -- without a green report
  by         text not null,
  hosts      text[],                                  -- null: all
  origin     text unique,                             -- HOST/TIME of what was done on a host itself, and noted here later
  at         timestamptz not null,
  check ((share is null) = (mode not in ('canary', 'shadow'))),
  check (pack is not null or mode in ('rollback', 'stop'))
);

create table hosts (
  name       text primary key,
  live       text not null,
  before     text,
  trial      jsonb,                                   -- what is tried beside it
  applied    bigint not null,                         -- the last activation that it followed
  refused    jsonb,                                   -- {activation, problem}: what it could not follow, and why
  signed     boolean not null,                        -- takes signed packs only
  keys       text[] not null,                         -- whom it trusts
  seen_at    timestamptz not null
);

revoke update, delete on packs, signatures, reports, activations from rules;
