-- notify.select: which message an event sends, if any.

local shape = require "engine.shape"

local MESSAGES = {
  ["order.placed"] = { channel = "email", template = "order_confirmation" },
  ["payment.captured"] = { channel = "email", template = "payment_receipt" },
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
  return { send = true, channel = message.channel, template = message.template, language = facts.language or "en" }
end

return {
  doc = "Which message an event sends: send, channel, template, language.", file = "notification/select",
  facts = shape.object { event = shape.text(), language = shape.optional(shape.text()),
    customer = shape.optional(shape.any()),
    order = shape.optional(shape.any()) },
  decide = decide,
  examples = {
    { "an order", facts = { event = "order.placed.v1" }, answer = { send = true, template = "order_confirmation" } },
    { "nobody's business", facts = { event = "stock.changed.v1" }, answer = { send = false } },
  },
}
