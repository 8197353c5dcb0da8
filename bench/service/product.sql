select p.sku, p.name, p.description, to_jsonb(p.categories) as categories, p.tax_category, p.version,
  c.amount as price, c.currency, greatest(0, s.on_hand - coalesce((select sum(h.quantity) from holds h
    where h.sku = p.sku and h.expires_at > $2::timestamptz), 0)::bigint) as available
from products p join prices c on c.sku = p.sku and c.currency = $1 join stock s on s.sku = p.sku
where p.sku = $3
