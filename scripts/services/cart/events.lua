-- events: the cart service consumes none.

return {}
