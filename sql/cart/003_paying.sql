-- The checkout (its saga's id) that runs on a cart that is paying. Null: order alone works on it, and has the last word.
alter table carts add column paying_by uuid;
