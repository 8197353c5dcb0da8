-- notification: tells customers by mail what happened to their orders. Which event sends what is the rules' to say.

local shape = require "lib.shape"

local uuid = shape.text { format = "uuid" }
local time = shape.text { format = "date-time" }
local STATUSES = { "queued", "sent", "refused" }

local notification = shape.object({
  id = shape.text { format = "uuid", doc = "of the event that it tells of" },
  order = uuid, event = shape.text { doc = "order.placed.v1" }, channel = shape.enum { "email" },
  template = shape.text {}, language = shape.text {},
  recipient = shape.text { doc = "most of the name left out: a***@example.com" },
  message_id = shape.text { doc = "the same whenever it is sent again" },
  status = shape.enum(STATUSES), tries = shape.integer { min = 0 },
  reason = shape.nullable(shape.text { doc = "why the last try failed" }),
  created_at = time, sent_at = shape.nullable(time),
}, { name = "Notification" })

return {
  name = "notification",
  doc = "Mails to customers: order confirmation, payment receipt, shipping, cancellation.",
  settings = { "smtp.url", "smtp.from" },
  routes = {
    { method = "GET", path = "/notifications", handler = "list", scope = "notification:read",
      doc = "Staff: what was sent, what waits and what was refused, newest first",
      query = shape.object { order = shape.optional(uuid), status = shape.optional(shape.enum(STATUSES)),
        limit = shape.optional(shape.integer { min = 1, max = 100 }),
        cursor = shape.optional(shape.text { format = "digits", max = 15 }) },
      replies = { [200] = shape.object { items = shape.list(notification),
        next_cursor = shape.nullable(shape.text {}) } } },

    { method = "POST", path = "/notifications/{id}/retry", handler = "retry", scope = "notification:manage",
      idempotency = "transaction", doc = "Staff: queues a refused mail again, when what it was refused for is mended",
      params = shape.object { id = uuid }, replies = { [200] = notification } },
  },
  consumes = {
    { topic = "order", doc = "one mail for each event that the rule notify.select names", events = {
      ["order.placed.v1"] = "on_order", ["order.accepted.v1"] = "on_order", ["order.paid.v1"] = "on_order",
      ["order.fulfilling.v1"] = "on_order", ["order.shipped.v1"] = "on_order", ["order.delivered.v1"] = "on_order",
      ["order.cancelled.v1"] = "on_order", ["order.goods_returned.v1"] = "on_order",
      ["order.returned.v1"] = "on_order" } },
  },
  schedules = {
    { name = "send", every_ms = 10, job = "send", one = true, doc = "Sends what is queued, and tries again later" },
    { name = "count", every_ms = 5000, job = "count", one = true, doc = "Counts what waits, for the metrics" },
    { name = "forget", every_ms = 3600000, job = "forget", one = true,
      doc = "Forgets address and text of mails that were refused 30 days ago" },
  },
}
