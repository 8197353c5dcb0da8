-- Until when an authorisation can be captured, as the provider said; and what the rules said is to be done so long before.
alter table payments add column expires_at timestamptz;
alter table payments add column on_expiry text check (on_expiry in ('renew', 'cancel'));
alter table payments add column expiry_notice_s integer not null default 0;
