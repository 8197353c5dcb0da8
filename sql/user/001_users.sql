-- user: profiles and address books. The id is the account's in auth; passwords and roles are there.

create table users (
  id          uuid primary key,
  email       text not null,
  name        text not null,
  version     bigint not null default 1,
  created_at  timestamptz not null,
  updated_at  timestamptz not null
);

create table addresses (
  id          uuid primary key,
  owner       uuid not null references users (id) on delete cascade,
  address     jsonb not null,
  is_default  boolean not null default false,
  version     bigint not null default 1,
  created_at  timestamptz not null
);
create index addresses_owner on addresses (owner, created_at);
create unique index addresses_default on addresses (owner) where is_default;
