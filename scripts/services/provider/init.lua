-- provider: the built-in payment provider `test`. It stands for somebody else's machine: a process and a book
-- of its own, an API behind its own key, and cards that do what cards do (docs/cards.md).

local shape = require "lib.shape"

local uuid = shape.text { format = "uuid" }
local amount = shape.integer { min = 1, max = 99999999999, doc = "minor units" }
local currency = shape.text { format = "currency" }
local id = shape.object { id = uuid }

local entry = shape.object { id = uuid, kind = shape.enum { "authorise", "capture", "void", "refund" },
  amount = amount }

local charge = shape.object({
  id = uuid, key = shape.text {}, amount = amount, currency = currency,
  status = shape.enum { "authorised", "captured", "declined", "requires_action", "voided", "refunded" },
  captured = shape.integer { min = 0, doc = "of the amount, so far" }, refunded = shape.integer { min = 0 },
  decline_code = shape.optional(shape.text {}), reference = shape.text {},
  card = shape.object { brand = shape.text {}, last4 = shape.text {} },
  entry = shape.optional(entry, { doc = "the movement of money that this answers or tells of" }),
  next_action = shape.optional(shape.object { type = shape.enum { "redirect" }, url = shape.text {} }),
  created_at = shape.text { format = "date-time" },
}, { name = "Charge" })

local card = shape.object { number = shape.text { min = 12, max = 19 }, exp_month = shape.integer { min = 1, max = 12 },
  exp_year = shape.integer { min = 2000, max = 2100 } }

return {
  name = "provider",
  doc = "The test payment provider: charges that are really booked, by cards that are really difficult.",
  routes = {
    { method = "POST", path = "/provider/charges", handler = "charge", scope = "public", credentials = false,
      sensitive = true, timeout_ms = 60000, doc = "Charges a card, once for each Idempotency-Key",
      body = shape.object { amount = amount, currency = currency, capture = shape.boolean, card = card,
        reference = shape.text { min = 1, max = 200, doc = "the shop's own name for it: the order's id" },
        return_url = shape.optional(shape.text { max = 2000, doc = "where the shopper goes on after a challenge" }) },
      replies = { [200] = charge, [201] = charge } },

    { method = "GET", path = "/provider/charges", handler = "find", scope = "public", credentials = false,
      doc = "The charge that was made with a key, if one was", query = { key = shape.text { min = 1, max = 255 } },
      replies = { [200] = charge } },

    { method = "GET", path = "/provider/charges/{id}", handler = "show", scope = "public", credentials = false,
      doc = "One charge", params = id, replies = { [200] = charge } },
  },
}
