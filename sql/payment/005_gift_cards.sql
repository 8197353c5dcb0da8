-- Gift cards: money of a customer that lies with the shop. The code is a bearer's: it is shown to who issued it and is
-- not kept, only an HMAC of it, to find the card by, and its last four characters, for people.
--
-- What is on a card is the sum of its entries, which are only ever added:
--
--   issue +  spend -  give_back +  adjust +-  expire -      the sum is never below zero
--
-- A spend belongs to an attempt at payment and is written with its row; a give_back undoes a part of one.

create table gift_cards (
  id uuid primary key,                               -- random: who was told it may see what is on the card
  code_hash text not null unique,                    -- HMAC of the code
  last4 text not null check (length(last4) = 4),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  initial bigint not null check (initial > 0),       -- minor units
  status text not null default 'active' check (status in ('active', 'blocked')),
  expires_at timestamptz,                            -- null: never
  batch uuid not null,                               -- those that were issued together
  place integer not null,                            -- in the batch, from 1
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (batch, place)
);

create index gift_cards_last4 on gift_cards (last4, id);

create table gift_card_entries (
  id bigint generated always as identity primary key,
  card_id uuid not null references gift_cards (id),
  kind text not null check (kind in ('issue', 'spend', 'give_back', 'adjust', 'expire')),
  key text not null check (length(key) between 1 and 100), -- names it: the same is written once
  amount bigint not null check (case kind when 'adjust' then amount <> 0 when 'issue' then amount > 0
    when 'give_back' then amount > 0 else amount < 0 end),
  payment_id uuid references payments (id),
  actor text not null,
  reason text not null default '',
  at timestamptz not null,
  unique (card_id, kind, key),
  check ((payment_id is not null) = (kind in ('spend', 'give_back')))
);

create index gift_card_entries_payment on gift_card_entries (payment_id) where payment_id is not null;

create trigger gift_card_entries_append_only before update or delete on gift_card_entries
  for each row execute function refuse_change();

-- What gift cards paid of an attempt, beside `amount`, which is the card's. It does not change.
alter table payments add column from_gift_cards bigint not null default 0 check (from_gift_cards >= 0);
