-- provider: the client of the payment provider "test". Never called inside a transaction.
--
-- Every function asks once and returns a charge, {id, key, status, amount, currency, captured, refunded, ...}, or
-- nil and what is known instead:
--   { refused = true, code =, detail = }    the provider understood and did not do it
--   { unknown = true, why =, unreached = }  nobody knows: ask again with the same key; at once if nobody was reached
-- A provider is any module with these functions; attempts.lua knows them by name.

local url = require "lib.url"

local M = {}

local CHARGE_MS = 3000 -- within what order waits for; what is later is unknown
local ASK_MS = 2000
local SPARE_MS = 300   -- of the task's time, to write down what came of it

local function milliseconds(most)
  return math.max(1, math.min(most, fastr.task.ms_left() - SPARE_MS))
end

-- Answers that are no refusal of this request: the provider is ill, too busy, still at it, or does not know us.
local UNKNOWN = { [401] = true, [403] = true, [408] = true, [425] = true, [429] = true }

local function outcome(reply, message, code)
  if not reply then return nil, { unknown = true, why = message, unreached = code == "unavailable" } end
  local body = fastr.json.decode(reply.body or "")
  if type(body) ~= "table" then body = {} end
  if reply.status < 300 then return body end
  code = body.code or "status " .. reply.status
  if reply.status >= 500 or UNKNOWN[reply.status] or code == "idempotency_running" then
    return nil, { unknown = true, why = "the provider answered " .. code }
  end
  return nil, { refused = true, status = reply.status, code = code }
end

local function send(method, path, body, key, most)
  local secret, why = fastr.secret("provider_key")
  if not secret then return nil, { unknown = true, why = why } end
  local headers = { ["Provider-Key"] = secret, ["Idempotency-Key"] = key }
  if body then headers["Content-Type"] = "application/json" end
  return outcome(fastr.http.request { method = method, timeout_ms = milliseconds(most or ASK_MS), retry = 0,
    url = fastr.setting("services.provider") .. "/api/v1/provider" .. path, headers = headers,
    body = body and fastr.json.encode(body) or nil })
end

-- The charge of payment `p` with `card` {number, exp_month, exp_year}: made at most once, under the payment's id.
function M.charge(p, card)
  return send("POST", "/charges", { amount = p.amount, currency = p.currency, capture = p.capture == "now",
    card = { number = card.number, exp_month = card.exp_month, exp_year = card.exp_year }, reference = p.order,
    return_url = fastr.setting("public_url") .. "/api/v1/orders/" .. p.order }, p.id, CHARGE_MS)
end

-- What became of the payment's charge; refused with status 404 if the provider has not seen it.
function M.look_up(p)
  return send("GET", "/charges?key=" .. p.id)
end

-- Burns the payment's key: no charge will be made with it any more. {cancelled = true}, or {cancelled = false, charge}
-- if it was made before.
function M.cancel_key(p)
  return send("POST", "/keys/" .. p.id .. "/cancel", {})
end

-- A page of the charges that were made since then, oldest first: {items, next (nil: this is the last)}.
function M.book(since, after, limit)
  return send("GET", ("/book?since=%s&limit=%d%s"):format(url.encode(since), limit, after and "&after=" .. after or ""))
end

local PATHS = { capture = "captures", refund = "refunds", void = "voids" }

-- Captures, refunds or voids: `operation` is {kind, key, amount}. The same operation is done once.
function M.operate(p, operation)
  local body = operation.kind ~= "void" and { amount = operation.amount } or {}
  return send("POST", "/charges/" .. p.charge .. "/" .. PATHS[operation.kind], body,
    p.id .. "." .. operation.kind .. "." .. operation.key)
end

return M
