-- The gift cards that are to pay a part of the cart: [{id, last4}], in the order of entry. What is on them payment knows;
-- their codes are nowhere here.
alter table carts add column gift_cards jsonb not null default '[]';
