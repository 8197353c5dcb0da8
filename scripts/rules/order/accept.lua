-- order.accept: is an order taken, looked at first, or refused?

local facts_shape = require "price.facts"
local shape = require "engine.shape"

local REVIEW_FROM, REJECT_FROM = 2000000, 10000000 -- minor units

local function decide(facts)
  if facts.total >= REJECT_FROM then
    return { verdict = "reject", code = "too_large", reason = "Orders of this size are taken by telephone" }
  end
  if facts.total >= REVIEW_FROM then
    return { verdict = "review", code = "large", reason = "A large order is looked at by a person" }
  end
  return { verdict = "accept" }
end

return {
  doc = "Is an order taken? verdict accept, review or reject.", file = "order/accept",
  facts = shape.object { currency = shape.text(), total = shape.count(), now = shape.optional(shape.time),
    lines = shape.optional(shape.count()), units = shape.optional(shape.count()),
      country = shape.optional(shape.text()),
    customer = shape.optional(facts_shape.customer), payment = shape.optional(shape.any()) },
  answer = shape.object { verdict = shape.text { values = { "accept", "review", "reject" } },
    code = shape.optional(shape.text()), reason = shape.optional(shape.text()) },
  decide = decide,
  examples = {
    { "usual", facts = { currency = "GBP", total = 5000 }, answer = { verdict = "accept" } },
    { "large", facts = { currency = "GBP", total = 2000000 }, answer = { verdict = "review" } },
    { "absurd", facts = { currency = "GBP", total = 10000000 }, answer = { verdict = "reject" } },
  },
}
