-- shipping_percent: a percentage of what is left of each shipment's fee.
return { stage = "shipping", value = "percent", takes = {},
  apply = function(cart, action, shipments)
    for _, i in ipairs(shipments) do
      cart.ledger:fee_off(i, money.percent(cart.ledger:fee_left(i), action.value))
    end
  end }
