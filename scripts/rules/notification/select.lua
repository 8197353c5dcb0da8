-- notify.select: which message an event sends, if any.

local shape = require "engine.shape"

local MESSAGES = {
  ["order.placed"] = { channel = "email", template = "order_confirmation", under_review = "order_review" },
  ["order.paid"] = { channel = "email", template = "payment_receipt" },
  ["order.shipped"] = { channel = "email", template = "order_shipped" },
  ["order.cancelled"] = { channel = "email", template = "order_cancelled" },
}

-- "order.placed.v1" is "order.placed": the version is of the event's shape.
local function family(event)
  local parts = text.split(event, ".")
  if #parts == 3 and text.starts_with(parts[3], "v") then return parts[1] .. "." .. parts[2] end
  return event
end

local function decide(facts)
  local message = rawget(MESSAGES, family(facts.event))
  if not message then return { send = false } end
  -- A checkout that came to nothing was never confirmed, so there is nothing to take back.
  local order = facts.order
  if order and order.from == "placing" and order.status == "cancelled" then return { send = false } end
  local template = order and order.review and message.under_review or message.template
  return { send = true, channel = message.channel, template = template, language = facts.language or "en" }
end

return {
  doc = "Which message an event sends: send, channel, template, language.", file = "notification/select",
  facts = shape.object { event = shape.text(), language = shape.optional(shape.text()),
    customer = shape.optional(shape.any()),
    order = shape.optional(shape.object { from = shape.optional(shape.text()), status = shape.optional(shape.text()),
      total = shape.optional(shape.integer()), currency = shape.optional(shape.text()),
      review = shape.optional(shape.boolean()) }) },
  answer = shape.object { send = shape.boolean(), channel = shape.optional(shape.text { values = { "email" } }),
    template = shape.optional(shape.text { max = 60 }), language = shape.optional(shape.text { max = 35 }) },
  decide = decide,
  examples = {
    { "an order", facts = { event = "order.placed.v1" }, answer = { send = true, template = "order_confirmation" } },
    { "one that is looked at first", facts = { event = "order.placed.v1", order = { review = true } },
      answer = { template = "order_review" } },
    { "its payment", facts = { event = "order.paid.v1" }, answer = { send = true, template = "payment_receipt" } },
    { "an order that is cancelled", facts = { event = "order.cancelled.v1", order = { from = "paid",
      status = "cancelled" } }, answer = { send = true, template = "order_cancelled" } },
    { "a checkout that came to nothing", facts = { event = "order.cancelled.v1", order = { from = "placing",
      status = "cancelled" } }, answer = { send = false } },
    { "nobody's business", facts = { event = "stock.changed.v1" }, answer = { send = false } },
  },
}
