-- buy_x_get_y: buy some units, get others for less. The bought ones are set aside, dearest first; then the percentage
-- goes to as many other units as are given, dearest first or (pick) cheapest. Nothing at all if too few are left.
-- `times` repeats it on untouched units; as often as it fits with null in facts, 0 here, or `unlimited` in a file.

local function once(cart, action, bought, lines)
  local ledger = cart.ledger
  if action.buy_quantity > 0 and not ledger:take(bought, action.buy_quantity, "dearest") then return false end
  if not ledger:take(lines, action.get_quantity, action.pick or "dearest") then return false end
  ledger:give_percent(action.value)
  return true
end

return { stage = "item", value = "percent",
  takes = { buy_quantity = true, get_quantity = true, buy_filters = true, times = true, pick = true },
  apply = function(cart, action, lines)
    local bought = cart.lines_for(action.buy_filters)
    local times, done = action.times or 1, 0
    cart.ledger:pool()
    while (times == 0 or done < times) and once(cart, action, bought, lines) do done = done + 1 end
  end }
