-- Most products cost their list price and have for long: their history need not be looked into with every page.

alter table products add column prices_move boolean not null default false;  -- a price is not the list price, is shown as reduced, or will change

update products p set prices_move = true where exists (select from price_history h where h.sku = p.sku
  and (h.amount <> h.list_amount or h.lowest_before is not null or h.applies_from > h.recorded_at));
