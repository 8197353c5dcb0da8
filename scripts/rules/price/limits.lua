-- price.limits: how often promotions of this pack may be used, and what they may spend. Who counts that asks it: which
-- counts a decision wants to know (facts.usage of price.cart), and what a placed order may still claim. A pure function
-- of the pack: it says nothing of what was used.

local shape = require "engine.shape"
local standing = require "price.standing"

local text, count, optional, object = shape.text, shape.count, shape.optional, shape.object

local limit = object { promotion = text(), coupon = optional(text()), limit = optional(count()),
  limit_per_customer = optional(count()), give_back = optional(shape.boolean()),
  budget = optional(object { type = text { values = { "spend", "usage" } }, limit = count() }) }

local function is_limited(promotion)
  local usage = promotion.usage
  return promotion.budget or usage.limit or usage.limit_per_customer or usage.give_back == false
end

local function limit_of(promotion)
  local usage, budget = promotion.usage, promotion.budget
  return { promotion = promotion.id, coupon = promotion.coupon, limit = usage.limit,
    limit_per_customer = usage.limit_per_customer, give_back = usage.give_back,
    budget = budget and { type = budget.type or "spend", limit = budget.limit } }
end

-- Those of the pack that have limits, in the order of their priority; made once.
local list, by_id = array {}, {}
for _, promotion in ipairs(standing.promotions) do
  if is_limited(promotion) then
    local made = limit_of(promotion)
    list[#list + 1], by_id[promotion.id] = made, made
  end
end

local function decide(facts)
  if not facts.promotions then return { limits = list } end
  local wanted = array {}
  for _, id in ipairs(facts.promotions) do wanted[#wanted + 1] = rawget(by_id, id) end
  return { limits = wanted }
end

return {
  doc = "The limits of promotions: of all that have some, or of those that are named.", file = "price/limits",
  facts = object { promotions = optional(shape.texts) },
  answer = object { limits = shape.list(limit, { max = 2000 }) },
  decide = decide,
  -- What the pack's promotions are is their own affair, so only what holds of any pack.
  examples = { { "one that there is not", facts = { promotions = { "no such promotion" } },
    answer = { limits = {} } } },
}
