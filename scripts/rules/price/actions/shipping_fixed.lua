-- shipping_fixed: an amount off the fee: off each shipment's, or with allocation "across" once, shared over them by
-- what is
-- left of their fees; what a shipment cannot take is dropped with it.

local function across(cart, amount, shipments)
  local left, total = {}, 0
  for k, i in ipairs(shipments) do
    left[k] = cart.ledger:fee_left(i)
    total = total + left[k]
  end
  if total == 0 then return end
  for k, part in ipairs(money.allocate(math.min(amount, total), left)) do cart.ledger:fee_off(shipments[k], part) end
end

return { stage = "shipping", value = "amount", takes = { allocation = true },
  apply = function(cart, action, shipments)
    if #shipments == 0 then return end
    if action.allocation == "across" then return across(cart, action.value, shipments) end
    for _, i in ipairs(shipments) do cart.ledger:fee_off(i, action.value) end
  end }
