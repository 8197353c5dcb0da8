-- view: a charge as the API and the webhooks show it.

local M = {}

-- Where the shopper answers a challenge.
function M.challenge_url(token)
  return fastr.setting("public_url", "") .. "/api/v1/provider/challenges/" .. token
end

-- A charge out of its row; `entry` {id, kind, amount}: the movement of money that this is told for.
function M.charge(row, entry)
  local is_open = row.status == "requires_action"
  return { id = row.id, key = row.key, status = row.status, amount = row.amount, currency = row.currency,
    captured = row.captured, refunded = row.refunded, decline_code = row.decline_code, reference = row.reference,
    expires_at = row.expires_at, card = { brand = row.brand, last4 = row.last4 }, entry = entry,
    created_at = row.created_at,
    next_action = is_open and { type = "redirect", url = M.challenge_url(row.challenge) } or nil }
end

return M
