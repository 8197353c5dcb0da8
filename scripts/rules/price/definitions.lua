-- price.definitions: the promotions that this pack holds, as they are written, for those who look at them or change
-- them: definitions (data) and rule files, in the order of creation.

local shape = require "engine.shape"
local standing = require "price.standing"

local text, optional, object, list = shape.text, shape.optional, shape.object, shape.list

local one = object { id = text(), file = text(), replaces = optional(text()),
  off = optional(object { reason = optional(text { min = 0 }), by = optional(text()), at = optional(text()) }),
  definition = shape.any() }

-- What a rule file says of itself, in the words of a definition; what it gives is code.
local function of_rule(made)
  return { id = made.id, doc = made.doc, says = made.says, priority = made.priority, exclusive = made.exclusive,
    coupon = made.coupon, currency = made.currency, starts_at = made.from, ends_at = made.to,
    usage = (made.usage.limit or made.usage.limit_per_customer) and made.usage or nil, budget = made.budget }
end

local function shown(made)
  local entry = made.entry
  return { id = made.id, file = made.file, replaces = made.replaces, definition = made.definition or of_rule(made),
    off = entry and { reason = entry.reason, by = entry.by, at = entry.at } }
end

local function in_order(a, b) return a.index < b.index end

local all = {}
for i, made in ipairs(standing.promotions) do all[i] = made end
table.sort(all, in_order)

return {
  doc = "The promotions that this version holds, as they are written.", file = "price/definitions",
  facts = object {}, answer = object { promotions = list(one, { max = 6000 }) },
  decide = function()
    local promotions = array {}
    for i, made in ipairs(all) do promotions[i] = shown(made) end
    return { promotions = promotions }
  end,
}
