-- How long the order's stock is held while it is paid, and how long it may stay open without a try to pay it: the rules
-- said so when they took it. The defaults are for orders of before.
alter table orders add column hold_s integer not null default 900 check (hold_s > 0);
alter table orders add column open_s integer not null default 1800 check (open_s > 0);
