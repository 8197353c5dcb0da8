-- The customer's group (wholesale, staff ...), a fact of prices. Null: none.
alter table users add column customer_group text check (customer_group <> '');
