-- provider: the built-in payment provider `test`. It stands for somebody else's machine: a process and a book
-- of its own, an API behind its own key, and cards that do what cards do (docs/cards.md).

local shape = require "lib.shape"

local uuid = shape.text { format = "uuid" }
local amount = shape.integer { min = 1, max = 99999999999, doc = "minor units" }
local currency = shape.text { format = "currency" }
local id = shape.object { id = uuid }
local token = shape.text { min = 1, max = 64, doc = "a capability: who has it may answer" }

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
  expires_at = shape.optional(shape.text { format = "date-time", doc = "of what is authorised and not captured" }),
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

    { method = "POST", path = "/provider/charges/{id}/captures", handler = "capture", scope = "public",
      credentials = false, doc = "Takes (a part of) what was authorised", params = id,
      body = shape.object { amount = amount }, replies = { [200] = charge, [201] = charge } },

    { method = "POST", path = "/provider/charges/{id}/refunds", handler = "refund", scope = "public",
      credentials = false, doc = "Gives back (a part of) what was captured", params = id,
      body = shape.object { amount = amount }, replies = { [200] = charge, [201] = charge } },

    { method = "POST", path = "/provider/charges/{id}/voids", handler = "void", scope = "public", credentials = false,
      doc = "Lets go of all that was authorised and not captured", params = id,
      body = shape.optional(shape.object {}), replies = { [200] = charge, [201] = charge } },

    { method = "POST", path = "/provider/keys/{key}/cancel", handler = "cancel_key", scope = "public",
      credentials = false, doc = "No charge will be made with this key, unless one was: then it is in the answer",
      params = { key = shape.text { min = 1, max = 255 } },
      replies = { [200] = shape.object { cancelled = shape.boolean, charge = shape.optional(charge) } } },

    { method = "GET", path = "/provider/challenges/{token}", handler = "challenge", scope = "public",
      credentials = false, doc = "The shopper's page: approve or refuse", params = { token = token } },

    { method = "POST", path = "/provider/challenges/{token}/{answer}", handler = "answer", scope = "public",
      credentials = false, doc = "The shopper's answer; the first one counts",
      params = { token = token, answer = shape.enum { "approve", "refuse" } } },

    { method = "GET", path = "/provider/charges", handler = "find", scope = "public", credentials = false,
      doc = "The charge that was made with a key, if one was", query = { key = shape.text { min = 1, max = 255 } },
      replies = { [200] = charge } },

    { method = "GET", path = "/provider/book", handler = "book", scope = "public", credentials = false,
      doc = "All charges since a time, oldest first, a page of them", query = shape.object {
        since = shape.text { format = "date-time" }, after = shape.optional(uuid),
        limit = shape.integer { min = 1, max = 200 } },
      replies = { [200] = shape.object { items = shape.list(charge), next = shape.optional(uuid) } } },

    { method = "GET", path = "/provider/charges/{id}", handler = "show", scope = "public", credentials = false,
      doc = "One charge", params = id, replies = { [200] = charge } },
  },
  schedules = {
    { name = "webhooks", every_ms = 10, job = "deliver", one = true, doc = "Sends the webhooks that are due" },
    { name = "lapse", every_ms = 1000, job = "lapse", one = true,
      doc = "Lets go of what was authorised a week ago and not captured" },
    { name = "sweep", every_ms = 3600000, job = "sweep", one = true,
      doc = "Forgets webhooks that were delivered a week ago" },
  },
}
