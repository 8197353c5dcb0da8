-- quote: wrk's script for POST /pricing/quote: the same cart of ten lines with five promotions each time.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = assert(io.open("bench/load/cart.json"))
wrk.body = file:read("*a")
file:close()
