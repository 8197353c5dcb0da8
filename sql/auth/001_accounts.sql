-- auth: accounts, sessions with their rotating refresh tokens, and failed sign-ins. Passwords and tokens only as hashes.

create table accounts (
  id          uuid primary key,
  email       text not null unique check (email = lower(email)),
  password    text not null,                          -- scrypt$n$r$p$salt$hash, base64url: parameters per row
  roles       jsonb not null default '["customer"]',
  created_at  timestamptz not null,
  updated_at  timestamptz not null
);

-- One session for each sign-in: the family of its refresh tokens. Revoked as a whole.
create table sessions (
  id          uuid primary key,
  account     uuid not null references accounts (id) on delete cascade,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  revoked_at  timestamptz
);
create index sessions_account on sessions (account) where revoked_at is null;
create index sessions_expires on sessions (expires_at);

-- A refresh token works once; a second use gives the theft away and revokes the session.
create table refresh_tokens (
  hash        text primary key,                       -- SHA-256, hexadecimal
  session     uuid not null references sessions (id) on delete cascade,
  created_at  timestamptz not null,
  used_at     timestamptz
);
create index refresh_tokens_session on refresh_tokens (session);

-- Failed sign-ins of "account:EMAIL" and "address:IP".
create table failures (
  subject       text primary key,
  count         integer not null,
  last_at       timestamptz not null,
  locked_until  timestamptz
);
create index failures_last on failures (last_at);
