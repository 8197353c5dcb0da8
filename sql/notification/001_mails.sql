-- notification: every mail, from the event that asks for it to the server's answer. A mail is written with the event's
-- id in one transaction, so an event asks once; it is sent from here, so nothing is lost while the server is away.
--
--   queued --> sent       the server has taken it
--      |
--      +-----> refused    it never will (5xx, or five days in vain); staff can queue it again
--
-- Address and text are personal: they are here only as long as they are needed.

create table mails (
  id          uuid primary key,                       -- the event's; the Message-ID is made of it
  number      bigint generated always as identity unique,
  subject     uuid not null,                          -- the order; its mails leave in the order of `number`
  event       text not null,                          -- what it tells of: order.placed.v1
  template    text not null,
  language    text not null,
  address     text,                                   -- of the recipient, until it is sent
  shown_as    text not null,                          -- the same with most of its name left out
  message     text,                                   -- RFC 5322, until it is sent
  status      text not null check (status in ('queued', 'sent', 'refused')),
  tries       integer not null default 0,
  next_try_at timestamptz not null default clock_timestamp(), -- whoever tries puts it off first
  reason      text not null default '',               -- why the last try failed
  created_at  timestamptz not null default clock_timestamp(),
  queued_at   timestamptz not null default clock_timestamp(), -- first, or again
  sent_at     timestamptz,
  check (status <> 'queued' or (address is not null and message is not null)),
  check (status <> 'sent' or (address is null and message is null))
);

create index mails_queued on mails (next_try_at) where status = 'queued';
create index mails_queued_subject on mails (subject, number) where status = 'queued';
create index mails_subject on mails (subject, number);
create index mails_refused on mails (created_at) where status = 'refused' and message is not null;
