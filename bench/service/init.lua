-- bench: the plainest routes that a service can have, declared and served like the shop's own. bin/bench puts this
-- folder beside theirs and measures it; bench/fastify answers the same.

local shape = require "lib.shape"

local sku = shape.text { min = 1, max = 64 }
local product = shape.object {
  sku = sku, name = shape.text {}, description = shape.text { lines = true }, categories = shape.list(shape.text {}),
  tax_category = shape.text {}, price = shape.money, available = shape.integer {}, version = shape.integer {},
}

return {
  name = "bench",
  doc = "What bin/bench measures beside the shop's own routes.",
  routes = {
    { method = "GET", path = "/bench/hello", handler = "hello", scope = "public", doc = "A fixed reply",
      replies = { [200] = shape.object { message = shape.text {} } } },
    { method = "GET", path = "/bench/cached/{sku}", handler = "cached", scope = "public", doc = "A product from Redis",
      params = { sku = sku }, replies = { [200] = product } },
    { method = "GET", path = "/bench/products/{sku}", handler = "product", scope = "public",
      doc = "A product from a replica", params = { sku = sku }, replies = { [200] = product } },
  },
}
