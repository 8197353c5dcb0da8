-- order.accept: is an order taken, looked at first, or refused; how long is its stock held while it is paid, and how
-- long may it stay open after a payment that came to nothing? Amounts are in minor units.

local facts_shape = require "price.facts"
local shape = require "engine.shape"

local REVIEW_FROM, REJECT_FROM = 2000000, 10000000
local TRUSTED_REVIEW_FROM, TRUSTED_ORDERS = 4000000, 5 -- for who has kept so many orders
local MOST_DECLINED = 3                                -- of a card within a day
local RETURNS_OF = 4                                   -- who gives back half of at least so many

local HOLD_S, OPEN_S = 900, 1800

local function is_trusted(history)
  return history ~= nil and history.placed >= TRUSTED_ORDERS and history.returned == 0 and history.cancelled == 0
end

local function gives_back(history)
  if not history then return false end
  local all = history.placed + history.cancelled
  return all >= RETURNS_OF and 2 * (history.returned + history.cancelled) >= all
end

local function review(code, reason) return { verdict = "review", code = code, reason = reason } end

local function verdict_on(facts)
  local history, payment = facts.history, facts.payment
  if facts.total >= REJECT_FROM then
    return { verdict = "reject", code = "too_large", reason = "Orders of this size are taken by telephone" }
  end
  if facts.total >= (is_trusted(history) and TRUSTED_REVIEW_FROM or REVIEW_FROM) then
    return review("large", "A large order is looked at by a person")
  end
  if payment and payment.declined >= MOST_DECLINED then
    return review("card_declined", "The card was declined several times today")
  end
  if gives_back(history) then return review("returns", "Half of the customer's orders came back") end
  return { verdict = "accept" }
end

local function decide(facts)
  local answer = verdict_on(facts)
  answer.hold_s, answer.open_s = HOLD_S, OPEN_S
  return answer
end

local function example(name, total, more, verdict, code)
  local facts = { currency = "GBP", total = total }
  for field, value in pairs(more) do facts[field] = value end
  return { name, facts = facts, answer = { verdict = verdict, code = code } }
end

local GOOD = { placed = 6, cancelled = 0, returned = 0, spent = 900000 }
local BAD = { placed = 3, cancelled = 2, returned = 1, spent = 900000 }

return {
  doc = "Is an order taken? verdict accept, review or reject.", file = "order/accept",
  breach = { verdict = "review", code = "undecided", reason = "The rules could not decide in time", hold_s = HOLD_S,
    open_s = OPEN_S },
  facts = shape.object { currency = shape.text(), total = shape.count(), now = shape.optional(shape.time),
    lines = shape.optional(shape.count()), units = shape.optional(shape.count()),
    country = shape.optional(shape.text()), customer = shape.optional(facts_shape.customer),
    history = shape.optional(shape.object { placed = shape.count(), cancelled = shape.count(), returned = shape.count(),
      spent = shape.count(), first_at = shape.optional(shape.time) }),
    payment = shape.optional(shape.object { brand = shape.text(), saved = shape.boolean(),
      declined = shape.count() }) },
  needs = { "history", "payment" },
  answer = shape.object { verdict = shape.text { values = { "accept", "review", "reject" } },
    code = shape.optional(shape.text()), reason = shape.optional(shape.text()),
    hold_s = shape.count { min = 60, max = 86400 }, open_s = shape.count { min = 60, max = 604800 } },
  decide = decide,
  examples = {
    example("usual", 5000, {}, "accept"), example("large", 2000000, {}, "review", "large"),
    example("absurd", 10000000, {}, "reject", "too_large"),
    example("large, of a good customer", 2000000, { history = GOOD }, "accept"),
    example("a card that is being tried", 5000, { payment = { brand = "visa", saved = false, declined = 3 } }, "review",
      "card_declined"),
    example("a customer who keeps little", 5000, { history = BAD }, "review", "returns"),
  },
}
