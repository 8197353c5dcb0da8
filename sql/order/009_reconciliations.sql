-- What orders, payment's ledger, the provider's book and the stock were found to differ in, each time they were
-- compared, and what was done about it.
create table reconciliations (
  id uuid primary key,
  actor text not null,                               -- nightly, or who typed the command
  since timestamptz not null,                        -- orders and payments from then on were compared
  orders bigint not null,
  payments bigint not null,
  differences jsonb not null,                        -- [{code, text, order, payment, sku, repaired}]
  begun_at timestamptz not null,
  ended_at timestamptz not null
);

create index reconciliations_begun on reconciliations (begun_at);

create trigger reconciliations_append_only before update or delete on reconciliations
  for each row execute function refuse_change();
