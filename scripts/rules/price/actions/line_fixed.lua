-- line_fixed: an amount off each line, once.
return { stage = "item", value = "amount", takes = {},
  apply = function(cart, action, lines) cart.ledger:line_fixed(lines, action.value) end }
