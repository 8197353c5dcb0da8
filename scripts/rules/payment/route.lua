-- payment.route: which provider takes a payment, when it is captured, and how often an attempt is repeated.

local shape = require "engine.shape"

local function decide(facts)
  return { provider = "test", capture = facts.verdict == "review" and "later" or "now",
    retry = { attempts = 3, wait_ms = 500 } }
end

return {
  doc = "Which provider takes a payment: provider, capture now or later, retry.", file = "payment/route",
  facts = shape.object { currency = shape.text(), amount = shape.count(), method = shape.optional(shape.any()),
    order = shape.optional(shape.any()), verdict = shape.optional(shape.text()), now = shape.optional(shape.time) },
  answer = shape.object { provider = shape.text(), capture = shape.text { values = { "now", "later" } },
    retry = shape.object { attempts = shape.count { min = 1, max = 10 }, wait_ms = shape.count { max = 10000 } } },
  decide = decide,
  examples = { { "a card", facts = { currency = "GBP", amount = 100 }, answer = { provider = "test",
    capture = "now" } } },
}
