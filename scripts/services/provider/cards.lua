-- cards: the documented test cards (docs/cards.md) and what each one does. Pure; nothing here keeps a number.
--
-- A number that is not documented is declined: a real card must never look as if it had been charged.

local M = {}

-- number = { brand, behaviour }; a behaviour is the name of a row of BEHAVIOURS.
local CARDS = {
  ["4242424242424242"] = { "visa", "approve" },
  ["4111111111111111"] = { "visa", "approve" },
  ["5555555555554444"] = { "mastercard", "approve" },
  ["2223003122003222"] = { "mastercard", "approve" },
  ["378282246310005"] = { "amex", "approve" },
  ["6011111111111117"] = { "discover", "approve" },
  ["3056930009020004"] = { "diners", "approve" },
  ["3566002020360505"] = { "jcb", "approve" },
  ["6200000000000005"] = { "unionpay", "approve" },
  ["4000000000000002"] = { "visa", "decline" },
  ["4000000000009995"] = { "visa", "poor" },
  ["4000000000003220"] = { "visa", "challenge" },
  ["4000000000005019"] = { "visa", "answers_late" },
  ["4000000000005027"] = { "visa", "never_answers" },
  ["4000000000006017"] = { "visa", "webhooks_late" },
  ["4000000000006025"] = { "visa", "webhooks_doubled" },
  ["4000000000006033"] = { "visa", "webhooks_reordered" },
}

-- decline: the code of the refusal. challenge: the shopper is asked first. answer_ms: the answer waits as long, after
-- the money was taken. silent: neither charges nor answers. And for webhooks: delay_ms(sequence), copies.
local BEHAVIOURS = {
  approve = {},
  decline = { decline = "card_declined" },
  poor = { decline = "insufficient_funds" },
  unknown = { decline = "test_card_required" },
  challenge = { challenge = true },
  answers_late = { answer_ms = 30000 },
  never_answers = { silent = true },
  webhooks_late = { delay_ms = function() return 30000 end },
  webhooks_doubled = { copies = 2 },
  -- The first of two is held back until the second has surely gone.
  webhooks_reordered = { delay_ms = function(sequence) return sequence % 2 == 1 and 3000 or 0 end },
}

-- Is the card's last month over at `now` (RFC 3339 text, UTC)?
function M.is_expired(card, now)
  local year, month = tonumber(now:sub(1, 4)), tonumber(now:sub(6, 7))
  return card.exp_year < year or (card.exp_year == year and card.exp_month < month)
end

-- {brand, last4, card = name of its behaviour} of a number.
function M.describe(number)
  local known = CARDS[number] or { "unknown", "unknown" }
  return { brand = known[1], last4 = number:sub(-4), card = known[2] }
end

-- The behaviour of that name.
function M.behaviour(name)
  return BEHAVIOURS[name]
end

return M
