-- payment.route: which provider takes a payment, when it is captured, how often an attempt is repeated, and what
-- becomes of an authorisation that nobody has captured when it is about to run out.

local shape = require "engine.shape"

local DAY_S = 86400
local MOST_RENEWALS = 3

-- An order that a person looks at is charged when he has accepted it. His authorisation is renewed while he thinks, as
-- long as the card is there to ask again.
local function decide(facts)
  local is_there = facts.method ~= nil and facts.method.saved == true
  local renew = is_there and (facts.renewals or 0) < MOST_RENEWALS
  return { provider = "test", capture = facts.verdict == "review" and "later" or "now",
    retry = { attempts = 3, wait_ms = 500 },
    expiry = { action = renew and "renew" or "cancel", notice_s = DAY_S } }
end

return {
  doc = "Which provider takes a payment: provider, capture now or later, retry, expiry.", file = "payment/route",
  facts = shape.object { currency = shape.text(), amount = shape.count(),
    method = shape.optional(shape.object { brand = shape.text(), saved = shape.optional(shape.boolean()) }),
    verdict = shape.optional(shape.text { values = { "accept", "review" } }),
    renewals = shape.optional(shape.count()), now = shape.optional(shape.time) },
  answer = shape.object { provider = shape.text(), capture = shape.text { values = { "now", "later" } },
    retry = shape.object { attempts = shape.count { min = 1, max = 10 }, wait_ms = shape.count { max = 10000 } },
    expiry = shape.object { action = shape.text { values = { "renew", "cancel" } },
      notice_s = shape.count { max = 6 * DAY_S } } },
  decide = decide,
  examples = {
    { "a card", facts = { currency = "GBP", amount = 100 }, answer = { provider = "test", capture = "now" } },
    { "an order under review", facts = { currency = "GBP", amount = 3000000, verdict = "review",
      method = { brand = "visa", saved = true } }, answer = { capture = "later", expiry = { action = "renew" } } },
    { "a guest's card is gone by then", facts = { currency = "GBP", amount = 3000000, verdict = "review",
      method = { brand = "visa", saved = false } }, answer = { expiry = { action = "cancel" } } },
    { "not for ever", facts = { currency = "GBP", amount = 3000000, verdict = "review", renewals = 3,
      method = { brand = "visa", saved = true } }, answer = { expiry = { action = "cancel" } } },
  },
}
