-- facts: what the decision order.accept is asked with. What must be looked up is looked up only if the rules in force
-- need it, side by side.

local store = require "services.order.store"

local M = {}

local function units(lines)
  local n = 0
  for _, line in ipairs(lines) do n = n + line.quantity end
  return n
end

-- The customer's orders so far: counts and a sum, nothing of a person. Nil for a guest.
local function history(db, body)
  return body.customer and store.history(db, body.customer)
end

-- What payment knows of the card. Nil where there is none, and where it cannot be used: paying will say why.
local function card(_, body)
  if not body.payment_method then return nil end
  local reply, failed = fastr.call("payment", "method_facts", { payment_method = body.payment_method,
    customer = body.customer })
  if reply or failed.status < 500 then return reply end
  return nil, failed
end

local LOOK_UPS = { history = history, payment = card }

-- The facts of order.accept on an order of `total` (minor units), `body` as of the operation `place`; or nil and a
-- problem: somebody who must be asked is away.
function M.of_acceptance(db, body, total)
  local facts = { currency = body.currency, total = total, now = body.facts.now, lines = #body.facts.lines,
    units = units(body.facts.lines), country = body.shipping_address.country, customer = body.facts.customer }
  local names, tasks = {}, {}
  for name in pairs(fastr.rules.needs("order.accept")) do
    local look_up = LOOK_UPS[name]
    if look_up then
      names[#names + 1], tasks[#tasks + 1] = name, function() return look_up(db, body) end
    end
  end
  for i, result in ipairs(#tasks > 0 and fastr.all(tasks) or {}) do
    if result[2] then return nil, result[2] end
    facts[names[i]] = result[1]
  end
  return facts
end

return M
