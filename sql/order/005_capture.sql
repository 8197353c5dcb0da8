-- An order whose payment is only authorised is placed, and waits for a person (or a rule) to take the money: `capture`
-- once it was accepted; `authorisation` when it may have run out, or is about to.
alter table orders drop constraint orders_work_check;
alter table orders add constraint orders_work_check check (work in ('place', 'capture', 'authorisation', 'undo', 'settle'));

alter table attempts add column expires_at timestamptz;  -- of the authorisation
alter table attempts add column look_at timestamptz;     -- it is looked at then: a while before
alter table attempts add column on_expiry text check (on_expiry in ('renew', 'cancel'));
alter table attempts add column renewals integer not null default 0; -- how many authorisations of the order ran out before

create index attempts_look on attempts (look_at) where status = 'authorised';
