-- problem: the one catalogue of what can go wrong, and the one function that makes a problem document (RFC 9457).
-- Pure Lua. A code is a promise to clients: it keeps its meaning for ever; titles may be reworded. docs/problems.md is
-- printed from this table (problem.markdown) and a spec keeps the two alike.
--
--   return nil, problem.new("insufficient_stock", { detail = "3 left of 84077", sku = "84077" })

local M = {}

-- code = { status, title, what to do about it }
local CODES = {
  -- the request itself
  body_not_json = { 400, "The body is not valid JSON",
    "The detail names line and column. Send RFC 8259 JSON in UTF-8." },
  body_missing = { 400, "A body is due", "Send a JSON body, with Content-Type: application/json." },
  bad_request = { 400, "The request cannot be understood", "The detail says which part." },
  idempotency_key_required = { 400, "An Idempotency-Key is required here",
    "Send the header Idempotency-Key with a new UUID for each intended action, and the same one when you retry it." },
  idempotency_key_invalid = { 400, "The Idempotency-Key is not usable",
    "1 to 255 visible ASCII characters; a UUID is best." },
  unsupported_media_type = { 415, "The body is not JSON", "Send Content-Type: application/json." },
  validation = { 422, "Something in the request has the wrong form",
    "The member errors lists each place and its cure." },
  idempotency_mismatch = { 422, "This Idempotency-Key belongs to another request",
    "A key names one action. Send the same body again, or use a new key." },
  idempotency_running = { 409, "The first request with this Idempotency-Key is still running",
    "Wait as long as Retry-After says, then send the same request again." },
  not_found = { 404, "There is no such thing here", "Check the path and the id." },
  request_timeout = { 408, "The request came too slowly", "Send it again, whole." },
  uri_too_long = { 414, "The address is too long", "Shorten the path or the query." },
  expectation_failed = { 417, "What the request expects is not met here", "Leave the header Expect out." },
  headers_too_large = { 431, "The headers are too large", "Send fewer or shorter ones; look at the cookies." },
  not_implemented = { 501, "That part of HTTP is not spoken here", "The detail says which." },
  version_not_supported = { 505, "That version of HTTP is not spoken here", "Use HTTP/1.1." },
  method_not_allowed = { 405, "This path has no such method", "The header Allow lists what it has." },
  body_too_large = { 413, "The body is too large", "Send less, or in several requests." },
  precondition_failed = { 412, "It has changed since you read it",
    "Read it again, apply your change to what you see, and send the new ETag in If-Match." },
  precondition_required = { 428, "Say which version you have read",
    "Send the ETag of what you have read in If-Match, so that nobody's change is lost." },
  conflict = { 409, "It is not in a state that allows this", "Read it again; the detail says what stands in the way." },
  too_many_requests = { 429, "Too many requests", "Wait as long as Retry-After says." },
  -- who asks
  unauthenticated = { 401, "Sign in first",
    "Send Authorization: Bearer with an access token of POST /api/v1/auth/tokens." },
  token_invalid = { 401, "The token is not valid", "Sign in again; the detail says what is wrong with this one." },
  token_expired = { 401, "The token has expired",
    "Get a new one with your refresh token at POST /api/v1/auth/tokens." },
  forbidden = { 403, "You may not do this", "The detail names the scope that is needed; a role grants it." },
  -- the house
  internal = { 500, "Something went wrong here", "It is logged under the request id; try again, and tell us the id." },
  reply_invalid = { 500, "The reply does not have its declared form",
    "A bug of ours; it is logged under the request id." },
  busy = { 503, "The service is full at the moment",
    "Wait as long as Retry-After says; a retry with the same key is safe." },
  unavailable = { 503, "Something that this needs is away",
    "Wait as long as Retry-After says; a retry with the same key is safe." },
  commit_unknown = { 503, "It is not known whether the change was stored",
    "Send the same request again with the same Idempotency-Key: you get the answer, or it is done then." },
  timeout = { 504, "It took too long", "Try again; with an Idempotency-Key a retry is safe." },
  -- auth and user
  credentials_wrong = { 401, "E-mail or password is wrong",
    "Check both. After several failures the account waits a while." },
  refresh_token_invalid = { 401, "The refresh token is not valid", "Sign in with e-mail and password." },
  refresh_token_reused = { 401, "This refresh token was used before",
    "Each works once. For safety the whole session was signed out: sign in again." },
  account_locked = { 429, "Too many failed sign-ins", "Wait as long as Retry-After says." },
  client_credentials_wrong = { 401, "The service's name or secret is wrong",
    "Compare var/secrets/service_NAME of both hosts." },
  email_taken = { 409, "This e-mail address has an account", "Sign in, or use another address." },
  account_not_found = { 404, "There is no such account", "Check the id." },
  address_not_found = { 404, "There is no such address", "GET /api/v1/users/me/addresses lists yours." },
  address_limit = { 409, "Your address book is full", "Delete an address first." },
  -- product and stock
  product_not_found = { 404, "There is no such product", "Check the SKU; GET /api/v1/products lists what there is." },
  cursor_invalid = { 400, "The cursor is not one of ours",
    "Use next_cursor of the last page, unchanged, with the same filters." },
  insufficient_stock = { 409, "Not enough in stock", "The detail says how many there are; ask for fewer." },
  hold_not_found = { 404, "There is no such hold on stock", "It has expired or was released: reserve again." },
  hold_expired = { 409, "The hold on the stock has expired", "Check out again." },
  stock_negative = { 409, "The stock would fall below zero", "Read the stock and correct the delta." },
  -- cart
  cart_not_found = { 404, "There is no such cart", "Check the id, or make one: POST /api/v1/carts." },
  cart_empty = { 409, "The cart is empty", "Add a line first." },
  cart_checked_out = { 409, "This cart has become an order", "Make a new cart: POST /api/v1/carts." },
  cart_refused = { 422, "The cart does not take this", "The member errors says why, rule by rule." },
  cart_incomplete = { 422, "Something is missing for the checkout", "The member errors lists it." },
  line_not_found = { 404, "The cart has no such line", "GET the cart; its lines list the SKUs." },
  coupon_not_found = { 404, "There is no such coupon", "Check the code." },
  coupon_refused = { 422, "The coupon does not apply", "The detail says why." },
  coupon_used_up = { 409, "The coupon has been used up", "Remove it from the cart." },
  currency_not_supported = { 422, "There are no prices in this currency", "The detail lists the currencies." },
  shipping_method_unknown = { 422, "No such shipping method for this address",
    "GET /api/v1/carts/{id}/shipping-options lists them." },
  checkout_running = { 409, "A checkout of this cart is under way",
    "Wait as long as Retry-After says, then read the cart." },
  price_changed = { 409, "The total has changed", "GET the cart, show the new total, and send it as expected_total."
    .. " The member reasons says which prices and rules changed." },
  -- order
  order_not_found = { 404, "There is no such order", "Check the id; a guest's order needs its token in Fastr-Order." },
  order_refused = { 422, "The order was refused", "The detail says why." },
  order_transition_refused = { 409, "The order is not in a state that allows this",
    "Its status and history say where it is." },
  return_too_large = { 409, "More would come back than was bought", "The member errors says how many are left." },
  -- payment
  card_invalid = { 422, "The card is not usable", "The member errors says which field." },
  payment_method_not_found = { 404, "There is no such payment method", "GET /api/v1/payment-methods lists yours." },
  payment_method_limit = { 409, "You have saved as many cards as you can", "Delete one first." },
  payment_declined = { 402, "The payment was declined", "The order stays open: check out again with another card." },
  payment_not_found = { 404, "There is no such payment", "Check the id; the order lists its payments." },
  payment_state = { 409, "The payment is not in a state that allows this",
    "Read it again; its status says what it allows." },
  refund_too_large = { 409, "More than was captured", "The detail says how much is left." },
  capture_too_large = { 409, "More than was authorised", "The detail says how much is left." },
  gift_card_not_found = { 404, "There is no such gift card", "Check the code; POST /api/v1/gift-cards/balance tells." },
  gift_card_refused = { 409, "The gift card cannot pay",
    "The detail and the member reason say why: take it out of the cart, or read the cart and check out again." },
  provider_key_wrong = { 401, "The Provider-Key is missing or wrong",
    "Compare var/secrets/provider_key of both hosts." },
  charge_not_found = { 404, "The provider has no such charge", "It was never made: check the id or the key." },
  charge_state = { 409, "The charge is not in a state that allows this",
    "Read it again; its status says what it allows." },
  key_cancelled = { 409, "This key was cancelled before a charge was made with it",
    "Nothing was charged and nothing will be. A new attempt needs a new key." },
  amount_too_large = { 422, "More than is left of the charge", "The detail says how much is left." },
  return_url_foreign = { 422, "The return_url does not belong to the shop",
    "It begins with the shop's public_url, and nothing else." },
  signature_invalid = { 401, "The webhook's signature is not valid", "Check the endpoint's secret and the clock." },
  -- notification
  notification_not_found = { 404, "There is no such notification", "GET /api/v1/notifications lists them." },
  -- rules
  rules_error = { 500, "A rule failed", "fastr status names the rule; fastr rules rollback undoes the last change." },
  rules_budget = { 503, "A rule used up its budget",
    "fastr status names the rule; fastr rules rollback undoes the last change." },
  rules_version_gone = { 409, "That version of the rules is no longer warm", "Price again with the live version." },
  facts_invalid = { 422, "The facts have the wrong form", "The member errors lists each place and its cure." },
  pack_invalid = { 422, "The pack did not pass the gate", "The member errors lists file, line and cure." },
  pack_unsigned = { 422, "The pack is not signed",
    "fastr rules publish signs it; fastr rules key new makes the key." },
  pack_key_unknown = { 422, "The pack is signed with a key that is not trusted here",
    "fastr rules key trust, with the public key, on the hosts that are to trust it." },
  pack_signature_wrong = { 422, "The pack's signature is not right",
    "The pack or its statement was changed: publish it again." },
  pack_unfit = { 422, "The pack is made for another shop or another version", "The detail says what does not fit." },
  pack_not_proved = { 409, "The gate has not passed this pack",
    "fastr rules check, and publish its report; or force, with a reason." },
  rules_no_previous = { 409, "There are no earlier rules to go back to",
    "GET /api/v1/rules/activations lists what was live." },
  promotion_not_found = { 404, "There is no such promotion", "GET /api/v1/rules/promotions lists them." },
  promotion_in_file = { 409, "This promotion is written in a file of the rules",
    "The detail says which file: it is changed there, and goes live by fastr rules activate." },
  promotions_differ = { 409, "The pack has other promotions of the admin API than what is live",
    "fastr rules activate DIR and publish take those that are live along; or force, with a reason." },
  rules_changed = { 409, "Other rules became live meanwhile",
    "GET the promotion again, apply your change to what you see, and send it with the new ETag in If-Match." },
  pack_not_found = { 404, "There is no such pack", "GET /api/v1/rules/packs lists them." },
}

local Problem = {}

-- For logs, where one is raised and nobody answers a client.
function Problem:__tostring() return self.code .. ": " .. self.detail end

-- A problem document for `code`, which must be in the catalogue (raises otherwise: a typo is a bug). `extra` adds
-- members: `detail` (one sentence about this case, for people; never a secret), `errors` (list of {path, problem}),
-- `retry_after` (seconds, becomes the header), and whatever the code promises.
function M.new(code, extra)
  local known = CODES[code]
  if not known then error("problem.new: unknown code " .. tostring(code) .. "; declare it in lib/problem.lua", 2) end
  local self = { type = "/docs/problems#" .. code, title = known[2], status = known[1], code = code, detail = known[3] }
  for key, value in pairs(extra or {}) do self[key] = value end
  return setmetatable(self, Problem)
end

-- Was `value` made by problem.new (or problem.from)?
function M.is(value)
  return getmetatable(value) == Problem
end

-- A problem out of another service's reply: the document, or, where the reply is none, "unavailable" for 5xx and
-- "bad_request" for the rest. `code` may be unknown here; status and title are the sender's.
function M.from(status, body)
  if type(body) == "table" and type(body.code) == "string" and type(body.status) == "number" then
    return setmetatable(body, Problem)
  end
  local code = status >= 500 and "unavailable" or "bad_request"
  return M.new(code, { detail = "answered with status " .. tostring(status) })
end

-- The problem that tells the client of an error triple (nil, message, code) of a binding. Codes of the house become
-- 503 or 504; everything else is a bug and 500, without its message, which may hold what is nobody's business.
function M.of_error(code)
  if code == "timeout" or code == "57014" then return M.new("timeout") end
  if code == "busy" then return M.new("busy", { retry_after = 1 }) end
  if code == "commit_unknown" then return M.new("commit_unknown", { retry_after = 2 }) end
  if code == "unavailable" or code == "closed" then return M.new("unavailable", { retry_after = 2 }) end
  return M.new("internal")
end

-- Status and title of a code, or nil.
function M.known(code)
  local known = CODES[code]
  if known then return known[1], known[2] end
end

-- All codes, sorted by status, then by name.
function M.codes()
  local list = {}
  for code, known in pairs(CODES) do
    list[#list + 1] = { code = code, status = known[1], title = known[2], cure = known[3] }
  end
  table.sort(list, function(a, b)
    if a.status ~= b.status then return a.status < b.status end
    return a.code < b.code
  end)
  return list
end

-- The text of docs/problems.md.
function M.markdown()
  local out = { "# Problems\n",
    "Every error is a problem document (RFC 9457, `application/problem+json`) with a stable `code`.",
    "Programs look at `code`; `detail` and `errors` are for people.",
    "Printed from `scripts/lib/problem.lua` by `bin/fastr openapi --problems`; edit there.\n" }
  for _, entry in ipairs(M.codes()) do
    out[#out + 1] = string.format('<a id="%s"></a>\n### `%s`\n\n%d. %s. %s\n',
      entry.code, entry.code, entry.status, entry.title, entry.cure)
  end
  return table.concat(out, "\n")
end

return M
