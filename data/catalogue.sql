-- Loads the opening catalogue, which data/catalogue.lua prints, from standard input into the product service's schema.
-- Run as product_owner. What is there already stays as it is: staff may have changed it since.
\set ON_ERROR_STOP on
begin;
create temporary table opening (sku text, name text, price bigint, currency text, categories text[], units bigint) on commit drop;
\copy opening from pstdin

-- "home/lighting" lies in "home" too.
create temporary table opening_paths on commit drop as
  select o.sku, array_agg(distinct array_to_string(steps[1:depth], '/')) as paths
    from opening o, unnest(o.categories) as category, string_to_array(category, '/') as steps,
         generate_series(1, cardinality(steps)) as depth
   group by o.sku;

create temporary table added (sku text) on commit drop;
with new as (
  insert into products (sku, name, categories, category_paths, search)
  select o.sku, o.name, o.categories, p.paths,
         setweight(to_tsvector('simple', o.sku), 'A') || setweight(to_tsvector('english', o.name), 'A') ||
         setweight(to_tsvector('english', translate(array_to_string(o.categories, ' '), '/-', '  ')), 'B')
    from opening o join opening_paths p using (sku)
  on conflict (sku) do nothing
  returning sku)
insert into added select sku from new;

insert into prices (sku, currency, amount) select sku, currency, price from opening join added using (sku);
insert into price_history (sku, currency, list_amount, amount, recorded_at, applies_from, actor, reason)
  select sku, currency, price, price, moment, moment, 'catalogue', 'opening price'
  from opening join added using (sku), date_trunc('milliseconds', now()) as moment;
insert into stock (sku, on_hand) select sku, units from opening join added using (sku);
insert into movements (sku, kind, on_hand_delta, held_delta, reason, actor)
  select sku, 'adjust', units, 0, 'opening stock', 'catalogue' from opening join added using (sku);
select format('%s products, %s of them new', (select count(*) from opening), (select count(*) from added));
commit;
-- Plans for 3,000 rows, not for an empty table.
analyze products;
analyze prices;
analyze price_history;
analyze stock;
