-- price.taxed: does this pack tax by that category, anywhere and at any time? Who keeps a product's category asks,
-- so that none is misspelt: what has no rate carries no tax, and nobody would notice.

local shape = require "engine.shape"
local rates = require "price.tax_rates"

-- Each category once, in the order of the definitions; made once.
local categories, known = array {}, {}
for _, rate in ipairs(rates) do
  if not rawget(known, rate.category) then
    known[rate.category] = true
    categories[#categories + 1] = rate.category
  end
end

local function decide(facts)
  return { known = rawget(known, facts.category) or false, categories = categories }
end

return {
  doc = "Is there a tax rate of this category? And of which there are some.", file = "price/taxed",
  facts = shape.object { category = shape.text() },
  answer = shape.object { known = shape.boolean(), categories = shape.list(shape.text(), { max = 2000 }) },
  decide = decide,
  -- What the pack's rates are is their own affair, so only what holds of any pack.
  examples = { { "one that there is not", facts = { category = "no such category" }, answer = { known = false } } },
}
