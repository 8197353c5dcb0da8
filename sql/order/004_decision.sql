-- The whole decision is kept as the rules wrote it, and its facts byte for byte: json keeps the text that it is given.
-- `proof` is SHA-256 of both. Orders from before have no proof, and of their decision what was kept.
alter table orders
  alter column facts type json using facts::json,
  add column decision json,
  add column proof text;

update orders o set decision = json_build_object('total', total, 'due', due, 'trace', trace,
  'lines', (select coalesce(json_agg(json_build_object('total', line->'total'->'amount') order by n), '[]')
    from jsonb_array_elements(o.lines) with ordinality as each (line, n)));

alter table orders alter column decision set not null, drop column trace;
