-- facts: what the decision order.accept is asked with.

local needs = require "platform.needs"
local store = require "services.order.store"

local M = {}

local function units(lines)
  local n = 0
  for _, line in ipairs(lines) do n = n + line.quantity end
  return n
end

-- Of an order that is placed: { db, body (as of the operation `place`) }.
local LOOK_UPS = {
  -- The customer's orders so far: counts and a sum, nothing of a person. Nil for a guest.
  history = function(asked)
    return asked.body.customer and store.history(asked.db, asked.body.customer)
  end,

  -- What payment knows of the card. Nil where there is none, and where it cannot be used: paying will say why.
  payment = function(asked)
    if not asked.body.payment_method then return nil end
    local reply, failed = fastr.call("payment", "method_facts", { payment_method = asked.body.payment_method,
      customer = asked.body.customer })
    if reply or failed.status < 500 then return reply end
    return nil, failed
  end,
}

-- The facts of order.accept on an order of `total` (minor units), `body` as of the operation `place`; or nil and a
-- problem: somebody who must be asked is away.
function M.of_acceptance(db, body, total)
  local known, failed = needs.look_up({ "order.accept" }, LOOK_UPS, { db = db, body = body })
  if not known then return nil, failed end
  return { currency = body.currency, total = total, now = body.facts.now, lines = #body.facts.lines,
    units = units(body.facts.lines), country = body.shipping_address.country, customer = body.facts.customer,
    history = known.history, payment = known.payment }
end

return M
