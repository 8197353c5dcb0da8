-- item_percent: a percentage off each unit, of the price after the catalogue rules; several such promotions add up.
return { stage = "item", value = "percent", takes = { max_quantity = true },
  apply = function(cart, action, lines) cart.ledger:item_percent(lines, action.value, action.max_quantity) end }
