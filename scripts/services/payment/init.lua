-- payment: saved cards, attempts at payment and their ledger, the provider.

local shape = require "lib.shape"

local uuid = shape.text { format = "uuid" }
local time = shape.text { format = "date-time" }

local method = shape.object({
  id = uuid, brand = shape.text {}, last4 = shape.text { doc = "the last four digits" },
  exp_month = shape.integer {}, exp_year = shape.integer {}, created_at = time,
  expires_at = shape.optional(time, { doc = "a guest's method works until then" }),
}, { name = "PaymentMethod" })

-- What is wrong with the values of a card is said by cards.lua, all of it at once and by field.
local card = shape.object {
  number = shape.text { max = 40, doc = "12 to 19 digits; single blanks or dashes between them are left out" },
  exp_month = shape.integer { doc = "1 to 12" }, exp_year = shape.integer { doc = "four digits" },
  cvc = shape.text { max = 10, doc = "3 digits, 4 for American Express; checked, never stored" },
}

local method_params = shape.object { id = uuid }

return {
  name = "payment",
  doc = "Saved cards; payments, captures and refunds.",
  routes = {
    { method = "POST", path = "/payment-methods", handler = "save_method", scope = "payment_method:write",
      idempotency = "transaction", sensitive = true, replay = "saved_method", body_bytes = 4096,
      doc = "Saves a card, encrypted; 200 if it was saved before. A guest's is for the next hour, by its id",
      body = shape.object { card = card }, replies = { [201] = method, [200] = method } },

    { method = "GET", path = "/payment-methods", handler = "list_methods", scope = "payment_method:read",
      doc = "One's own saved cards, oldest first",
      replies = { [200] = shape.object { items = shape.list(method) } } },

    { method = "GET", path = "/payment-methods/{id}", handler = "show_method", scope = "payment_method:read",
      params = method_params, doc = "One saved card: one's own, or a guest's by its id", replies = { [200] = method } },

    { method = "DELETE", path = "/payment-methods/{id}", handler = "delete_method", scope = "payment_method:write",
      idempotency = "transaction", params = method_params,
      doc = "Forgets a card for good; repeating it is no error" },
  },
  schedules = {
    { name = "shred_guests", every_ms = 60000, job = "shred_guests", one = true,
      doc = "Forgets guests' cards whose hour is over" },
  },
}
