-- products: wrk's script for GET PATH/SKU: the SKUs of the file named by the environment's SKUS, one after the other.

local requests, at = {}, 0

function init()
  for sku in assert(io.lines(os.getenv("SKUS"))) do
    requests[#requests + 1] = wrk.format("GET", wrk.path .. sku)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
