-- buy_x_get_y: buy some units, get others for less. The bought ones are set aside, dearest first; then the percentage
-- goes to as many other units as are given, dearest first or (pick) cheapest. Nothing at all if too few are left.
-- `times` repeats it on untouched units; as often as it fits with null in facts, 0 here, or `unlimited` in a file.

return { stage = "item", value = "percent",
  takes = { buy_quantity = true, get_quantity = true, buy_filters = true, times = true, pick = true },
  apply = function(cart, action, lines)
    local ledger, bought = cart.ledger, cart.lines_for(action.buy_filters)
    ledger:take(bought, action.buy_quantity, lines, action.get_quantity, action.pick or "dearest", action.times or 1)
    ledger:give_percent(action.value)
  end }
