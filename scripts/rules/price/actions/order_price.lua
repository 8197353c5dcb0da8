-- order_price: the lines together cost the value; what they cost above it is taken off.
return { stage = "order", value = "amount", takes = { max_quantity = true },
  apply = function(cart, action, lines)
    local base = cart.ledger:total(lines, action.max_quantity)
    cart.ledger:order(lines, math.max(0, base - action.value), action.max_quantity)
  end }
