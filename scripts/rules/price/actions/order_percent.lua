-- order_percent: a percentage of the running total of the lines, allocated over them.
return { stage = "order", value = "percent", takes = { max_quantity = true },
  apply = function(cart, action, lines)
    local base = cart.ledger:total(lines, action.max_quantity)
    cart.ledger:order(lines, money.percent(base, action.value), action.max_quantity)
  end }
