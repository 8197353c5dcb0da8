-- News of the order's payment that came while it was being worked on, and that nobody has looked at yet.

alter table orders add column has_news boolean not null default false;
