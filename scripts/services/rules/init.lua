-- rules: what the pack of rules decides, asked over HTTP. It owns no price: every answer is the live pack's.

local shape = require "lib.shape"

local facts = shape.json_text { doc = "facts of price.cart; the rules refuse unknown fields with their path" }

return {
  name = "rules",
  doc = "Prices for facts that a caller brings along.",
  routes = {
    { method = "POST", path = "/pricing/quote", handler = "quote", scope = "pricing:quote",
      doc = "The price of a cart as it would be decided now, with the reasons; nothing is kept",
      body = facts, replies = { [200] = shape.map(shape.any {}) } },
  },
}
