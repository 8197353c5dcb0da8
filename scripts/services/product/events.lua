-- events: the product service consumes none.

return {}
