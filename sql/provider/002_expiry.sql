-- An authorisation that is not captured by then is let go of, as card networks do. Null: it was captured at once.
alter table charges add column expires_at timestamptz;

create index charges_lapse on charges (expires_at) where status = 'authorised';
