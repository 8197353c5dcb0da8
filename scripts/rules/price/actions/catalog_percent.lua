-- catalog_percent: the unit price less a percentage of itself, rounded.
return { stage = "catalog", value = "percent", takes = {},
  apply = function(cart, action, lines) cart.ledger:unit_percent(lines, action.value) end }
