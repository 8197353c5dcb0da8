-- Units that are cancelled before the order is sent give back what returned ones would, and never left.
alter table returns add column kind text not null default 'return' check (kind in ('return', 'cancellation'));
