-- address: the shape of a postal address, the same for a customer's address book, a cart and an order. Pure Lua.

local shape = require "lib.shape"

local M = {}

M.shape = shape.object({
  name = shape.text { min = 1, max = 120, doc = "who receives it" },
  line1 = shape.text { min = 1, max = 120, doc = "street and number" },
  line2 = shape.optional(shape.text { max = 120 }),
  city = shape.text { min = 1, max = 80 },
  region = shape.optional(shape.text { max = 80, doc = "county, state or province" }),
  postcode = shape.text { min = 1, max = 20 },
  country = shape.text { format = "country", doc = "ISO 3166, GB" },
  phone = shape.optional(shape.text { max = 40 }),
}, { name = "Address" })

return M
