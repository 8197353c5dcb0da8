-- webhook: what the provider tells by itself. Signed, and only recent; each event once; late, doubled and reordered
-- ones change nothing; one that contradicts our books is refused, kept with what is wrong with it, and logged.
--
--   Provider-Signature: t=UNIX SECONDS,v1=HEX HMAC-SHA256(secret, t "." raw body)[,v1=...]

local attempts = require "services.payment.attempts"
local ledger = require "services.payment.ledger"
local problem = require "lib.problem"
local shape = require "lib.shape"
local store = require "services.payment.store"

local M = {}

local TOLERANCE_S = 300
local MOST_HEADER = 600
-- The second one is there while the secret is being replaced: what is signed with either is good.
local SECRETS = { "provider_webhook", "provider_webhook_old" }

local whole = shape.integer { min = 0 }
local EVENT = shape.object({
  id = shape.text { min = 1, max = 100 }, type = shape.text { min = 1, max = 60 }, sequence = whole,
  charge = shape.object({ id = shape.text { min = 1, max = 100 }, key = shape.text { format = "uuid" },
    status = shape.enum { "authorised", "captured", "declined", "requires_action", "voided", "refunded" },
    amount = whole, currency = shape.text { format = "currency" }, captured = whole, refunded = whole,
  }, { open = true }),
}, { open = true })

-- ---- the signature ------------------------------------------------------------------------------------------------

-- The time and the list of signatures of the header; nil if it has another form.
local function parse(header)
  local at, signatures = nil, {}
  if not header or #header > MOST_HEADER then return nil end
  for name, value in header:gmatch("(%w+)=(%w+)") do
    if name == "t" then at = tonumber(value:match("^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$")) end
    if name == "v1" and #signatures < 4 then signatures[#signatures + 1] = value end
  end
  return at, signatures
end

local function is_signed(at, signatures, body)
  local good = false
  for _, name in ipairs(SECRETS) do
    local secret = fastr.secret(name)
    local expected = secret and fastr.crypto.hmac(secret, ("%d.%s"):format(at, body))
    for _, signature in ipairs(signatures) do
      if expected and fastr.crypto.equal(expected, signature) then good = true end
    end
  end
  return good
end

-- Nil if the body was signed by the provider within the last five minutes, else the problem.
local function forged(header, body)
  local at, signatures = parse(header)
  if not at then return problem.new("signature_invalid", { detail = "Provider-Signature is missing or has no t." }) end
  if not is_signed(at, signatures, body) then return problem.new("signature_invalid") end
  if math.abs(fastr.time.unix_ms() / 1000 - at) > TOLERANCE_S then
    return problem.new("signature_invalid", { detail = "It was signed more than 5 minutes ago, or will be." })
  end
end

local function decode(body)
  local event, message = fastr.json.decode(body)
  if event == nil then return nil, problem.new("body_not_json", { detail = message }) end
  local ok, errors = shape.check(EVENT, event)
  if ok then return event end
  return nil, problem.new("validation", { errors = fastr.json.array(errors),
    detail = errors[1].path .. " " .. errors[1].problem })
end

-- ---- the event ----------------------------------------------------------------------------------------------------

-- The event's effect, under the lock of its payment. Returns {why = what contradicts our books, if anything}.
local function take(tx, event)
  local account = ledger.lock(tx, event.charge.key)
  if not account then return nil, problem.new("payment_not_found") end
  if not store.add_webhook(tx, event, account.payment.id, fastr.time.now()) then
    return { why = store.webhook_problem(tx, event) }
  end
  local ok, why = attempts.settle(account, event.charge)
  if not ok then
    store.park_webhook(tx, event, why)
    return { why = why, is_new = true }
  end
  ledger.close(account)
  return {}
end

-- Takes in one delivery: `header` is Provider-Signature, `body` the raw text. True; or nil, problem:
-- signature_invalid, body_not_json, validation, payment_not_found (the provider should send it again), conflict (it
-- contradicts our books).
function M.receive(db, header, body)
  local failed = forged(header, body)
  if failed then return nil, failed end
  local event, taken
  event, failed = decode(body)
  if not event then return nil, failed end
  taken, failed = db:transaction(function(tx) return take(tx, event) end)
  if not taken then return nil, failed end
  if not taken.why then return true end
  if taken.is_new then
    fastr.log.error("a webhook contradicts the ledger", { event = event.id, payment = event.charge.key,
      why = taken.why })
  end
  return nil, problem.new("conflict", { detail = "This contradicts our books: " .. taken.why })
end

return M
