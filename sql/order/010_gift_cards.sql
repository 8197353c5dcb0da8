-- What gift cards pay of the order, as it was agreed: [{id, last4, amount (minor units)}], in the order in which they
-- pay; `due` is what is left of the total. They pay with each attempt, and get it back with one that fails.
alter table orders add column gift_cards jsonb not null default '[]';
