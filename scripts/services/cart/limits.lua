-- limits: which promotions of the rules may be used only so often, or spend only so much. What was used of them is
-- counted in this service, and goes to the rules as the fact `usage` of price.cart.

local problem = require "lib.problem"

local M = {}

-- limits.of(cart, promotions, pack) -> list of {promotion, coupon, limit, limit_per_customer, budget = {type, limit}},
-- what it has not is absent: of the promotions named (a list of ids; nil: of all that have limits), by the version
-- `pack` (nil: the one that decides this cart now). Or nil and a problem. It does not wait.
function M.of(cart, promotions, pack)
  local facts = { promotions = promotions and fastr.json.array(promotions) }
  local decision, message, code = fastr.rules.decide("price.limits", facts, { key = cart.id, pack = pack })
  if decision then return decision.limits end
  return nil, problem.new(code, { detail = message })
end

return M
