-- catalog_fixed: the unit price less an amount.
return { stage = "catalog", value = "amount", takes = {},
  apply = function(cart, action, lines) cart.ledger:unit_fixed(lines, action.value) end }
