-- promotions: applies promotions to a cart's ledger: catalogue, then item, order and shipping promotions, in order of
-- priority; exclusive ones alone; and says of each what became of it.

local window = require "engine.window"

local M = {}

local STAGES = { "item", "order", "shipping" }
local NONE = {}

-- What became of a promotion so far, as the facts say: { used, used_by_customer, spent }, each may be nil.
local function state_of(cart, promotion)
  return cart.usage and rawget(cart.usage, promotion.id) or NONE
end

-- Is one of its limits reached? As `barred`.
local function used_up(cart, promotion)
  local usage, budget, state = promotion.usage, promotion.budget, state_of(cart, promotion)
  local used, by_customer = state.used or usage.used or 0, state.used_by_customer or usage.used_by_customer or 0
  if usage.limit and used >= usage.limit then return "used_up", "usage", used, usage.limit end
  if usage.limit_per_customer and by_customer >= usage.limit_per_customer then
    return "used_up_for_customer", "usage_by_customer", by_customer, usage.limit_per_customer
  end
  if not budget then return nil end
  used = (budget.type == "usage" and state.used or budget.type ~= "usage" and state.spent) or budget.used or 0
  if used >= budget.limit then return "budget_spent", "budget", used, budget.limit end
  if cart.blocked[promotion] then return "budget_spent", "budget", cart.blocked[promotion], budget.limit end
end

-- Why a promotion takes no part at all, whatever is in the cart: reason, condition, actual, wanted; nil if it may.
local function barred(cart, promotion)
  if promotion.off then return "not_eligible", "enabled", "false", "true" end
  if promotion.open then return nil end
  if promotion.currency and promotion.currency ~= cart.currency then
    return "not_eligible", "currency", cart.currency, promotion.currency
  end
  if promotion.coupon and not cart.codes[promotion.coupon] then return "no_coupon", "coupon", "none", "entered" end
  local outside = window.outside(promotion.period, cart.now)
  if outside then return outside, "period", outside, "running" end
  return used_up(cart, promotion)
end

-- What a customer is told of the condition that failed, if to reach it is all that is missing: those after it hold.
local function within_reach(cart, promotion, failed)
  if not cart.full or not promotion.conditions[failed].unit then return nil end
  for i = failed + 1, #promotion.conditions do
    if not promotion.conditions[i][2](cart) then return nil end
  end
  return promotion.says
end

-- Do its conditions hold on the running state? Tells the trace if not.
local function holds(cart, promotion, stage)
  local conditions = promotion.conditions
  for i = 1, #conditions do
    local condition = conditions[i]
    local good, actual, wanted = condition[2](cart)
    if not good then
      cart.ledger:passed(promotion.id, stage, "not_applied", condition[1], actual, wanted, nil, condition.unit,
        condition.what, within_reach(cart, promotion, i))
      if cart.failed then cart.failed = { condition[1], actual, wanted } end -- of an example that is proved
      return false
    end
  end
  return true
end

local function methods(cart, filters)
  local list, any = {}, filters and filters.methods_any
  for i = 1, cart.shipments do
    local wanted = not any
    for k = 1, any and #any or 0 do wanted = wanted or any[k] == cart.shipping[i].method end
    if wanted then list[#list + 1] = i end
  end
  return list
end

-- The lines of a promotion's part, without those that the catalogue reduced where it is not for them.
local function run_on_lines(cart, part, lines, discounted)
  part.kind.apply(cart, part.action, discounted and cart.ledger:without(lines, discounted) or lines)
end

-- Counts what a promotion gave; true if that went past its budget.
local function overspent(cart, promotion, given)
  local budget = promotion.budget
  if not budget or budget.type == "usage" then return false end
  local spent = (cart.spent[promotion] or state_of(cart, promotion).spent or budget.used or 0) + given
  cart.spent[promotion] = spent
  if given == 0 or spent <= budget.limit then return false end
  cart.blocked[promotion] = spent
  return true
end

-- The lines that the catalogue has reduced so far.
local function reduced(cart) return (cart.ledger:without(0, (cart.ledger:undiscounted(0)))) end

local function run_stage(cart, promotion, stage, lines_of)
  local ledger, parts = cart.ledger, promotion.stages[stage]
  ledger:open(promotion.id, stage)
  local discounted = promotion.undiscounted and (stage == "catalog" and reduced(cart) or cart.reduced)
  for i = 1, #parts do
    local part = parts[i]
    if stage == "shipping" then
      part.kind.apply(cart, part.action, methods(cart, part.filters))
    else
      run_on_lines(cart, part, lines_of(part), discounted)
    end
  end
  if promotion.coupon then cart.held[promotion] = true end
  return overspent(cart, promotion, ledger:close(promotion.says))
end

-- ---- catalogue ---------------------------------------------------------------------------------------------------

-- The lines of an action that no exclusive rule of the catalogue has, nor an equal action of the same rule.
local function free_lines(cart, owned, seen)
  return function(part)
    local lines = cart.lines_for(part.filters)
    if owned.lines then lines = cart.ledger:without(lines, owned.lines) end
    local key = part.action.type .. " " .. tostring(part.action.value)
    for _, other in ipairs(seen[key] or {}) do lines = cart.ledger:without(lines, other) end
    seen[key] = seen[key] or {}
    table.insert(seen[key], lines)
    table.insert(seen, lines)
    return lines
  end
end

-- Lines that an exclusive rule has got: those of `owned`, kept as one selection, and the others.
local function keep_apart(cart, owned, lines)
  owned.others = cart.ledger:without(owned.others or 0, lines)
  owned.lines = cart.ledger:without(0, owned.others)
end

local function catalogue_pass(cart, rules, exclusive, owned)
  for _, promotion in ipairs(rules) do
    if (promotion.exclusive or false) == exclusive and holds(cart, promotion, "catalog") then
      local seen = {}
      if run_stage(cart, promotion, "catalog", free_lines(cart, owned, seen)) then return true end
      if exclusive then
        for _, lines in ipairs(seen) do keep_apart(cart, owned, lines) end
      end
    end
  end
end

local function catalogue(cart, live)
  local rules, owned = {}, {}
  for i = 1, #live do
    if live[i].stages.catalog then rules[#rules + 1] = live[i] end
  end
  if not rules[1] then return false end
  return catalogue_pass(cart, rules, true, owned) or catalogue_pass(cart, rules, false, owned)
end

-- ---- the cart ----------------------------------------------------------------------------------------------------

local function of_cart(promotion)
  return promotion.stages.item or promotion.stages.order or promotion.stages.shipping
end

local function quietly_holds(cart, promotion)
  for _, condition in ipairs(promotion.conditions) do
    if not condition[2](cart) then return false end
  end
  return true
end

-- The live promotions that run: all, or the first exclusive one that is eligible now.
local function settle_exclusive(cart, live)
  local winner
  for i = 1, #live do
    local promotion = live[i]
    if promotion.exclusive and of_cart(promotion) and quietly_holds(cart, promotion) then
      winner = promotion
      break
    end
  end
  if not winner then return live end
  for _, promotion in ipairs(live) do
    if promotion ~= winner and of_cart(promotion) then
      cart.lost[promotion] = winner
      cart.ledger:passed(promotion.id, nil, "lost", "exclusive", nil, nil, winner.id)
    end
  end
  return { winner }
end

local function run_cart(cart, live)
  local function lines_of(part) return cart.lines_for(part.filters) end
  for s = 1, #STAGES do
    local stage = STAGES[s]
    for i = 1, #live do
      local promotion = live[i]
      if promotion.stages[stage] and holds(cart, promotion, stage) and run_stage(cart, promotion, stage, lines_of) then
        return true
      end
    end
  end
end

-- Applies the sorted promotions. True if one went past its budget: it is in cart.blocked now, and the cart is to be
-- priced anew without it.
function M.apply(cart, list)
  local live = {}
  for i = 1, #list do
    local promotion = list[i]
    local reason, condition, actual, wanted = barred(cart, promotion)
    if reason then
      if promotion.coupon then cart.barred[promotion] = reason end
      cart.ledger:passed(promotion.id, nil, "not_applied", condition, actual, wanted)
    else
      live[#live + 1] = promotion
      cart.reduced = cart.reduced or promotion.undiscounted
    end
  end
  if catalogue(cart, live) then return true end
  if cart.reduced then cart.reduced = reduced(cart) end -- before item promotions: theirs are no reductions
  return run_cart(cart, settle_exclusive(cart, live))
end

-- ---- coupons -----------------------------------------------------------------------------------------------------

-- How far a promotion with this answer came; of several with one code, the one that came furthest speaks.
local FURTHEST = { unknown = 0, not_started = 1, expired = 2, used_up = 3, used_up_for_customer = 4, not_eligible = 5,
  budget_spent = 6, replaced_by_exclusive = 7, accepted = 8 }

local function verdict(cart, promotion)
  if cart.barred[promotion] then return cart.barred[promotion] end
  if cart.lost[promotion] then return "replaced_by_exclusive" end
  return cart.held[promotion] and "accepted" or "not_eligible"
end

local function answer_to(cart, list, code)
  local answer = "unknown"
  for _, promotion in ipairs(list) do
    local own = promotion.coupon == code and verdict(cart, promotion) or answer
    if FURTHEST[own] > FURTHEST[answer] then answer = own end
  end
  return answer
end

-- Tells the ledger of every code entered whether it was accepted: of several that were `issued` for one, the first.
function M.report_coupons(cart, list, codes, issued)
  local seen, taken = {}, {}
  for _, code in ipairs(codes or {}) do
    local known = rawget(issued, code) or code
    if not seen[code] then
      local answer = answer_to(cart, list, known)
      if answer == "accepted" and taken[known] then answer = "already_applied" end
      cart.ledger:coupon(code, answer == "accepted", answer ~= "accepted" and answer or nil)
      seen[code], taken[known] = true, true
    end
  end
end

return M
