-- item_fixed: an amount off each unit.
return { stage = "item", value = "amount", takes = { max_quantity = true },
  apply = function(cart, action, lines) cart.ledger:item_fixed(lines, action.value, action.max_quantity) end }
