-- Why a person is to look at the order (the decision order.accept said "review"); null: nobody needs to.
alter table orders add column review text;
