-- order_fixed: an amount off the lines together, at most what they cost.
return { stage = "order", value = "amount", takes = { max_quantity = true },
  apply = function(cart, action, lines)
    local base = cart.ledger:total(lines, action.max_quantity)
    cart.ledger:order(lines, math.min(action.value, base), action.max_quantity)
  end }
