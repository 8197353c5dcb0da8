-- price.cart: what a cart costs, to the penny. List prices, then catalogue, item, order and shipping promotions, then
-- taxes and totals; the arithmetic is the ledger's, in C.

local examples = require "price.examples"
local facts_shape = require "price.facts"
local index = require "price.index"
local list_price = require "price.list_price"
local promotion = require "price.promotion"
local promotions = require "price.promotions"
local standing = require "price.standing"
local tax = require "price.tax"
local window = require "engine.window"

-- The codes that promotions know, of those that were entered: one that was issued stands for another.
local function codes_of(facts)
  local set, issued = {}, facts.issued or {}
  for _, code in ipairs(facts.coupons or {}) do set[rawget(issued, code) or code] = true end
  return set
end

local function zone_of(facts)
  if facts.zone then return facts.zone end
  local default = facts.settings and facts.settings.default_zone
  return default or (not facts.tax_rates and standing.zone) or nil
end

-- What the function answers; amounts that it refuses are the facts' fault, at `path` with the number `i` in it.
local function able(path, i, run, ...)
  local good, answer = pcall(run, ...)
  if not good then refuse(path:format(i) .. ": " .. tostring(answer)) end
  return answer
end

local function open_cart(facts, now, explain, blocked)
  local good, ledger = pcall(money.ledger, facts.currency, facts.lines, explain)
  if not good then refuse(ledger) end
  local shipping = facts.shipping or {}
  for i = 1, #shipping do
    local each = shipping[i]
    able("shipping[%d].fee", i, ledger.shipment, ledger, each.method, each.fee, each.tax_category)
  end
  local function lines_for(filters)
    if not filters then return 0 end
    return (ledger:select(filters.skus_any, filters.categories_any, filters.min_unit_price, filters.max_unit_price))
  end
  return { ledger = ledger, currency = facts.currency, now = now, customer = facts.customer, zone = zone_of(facts),
    codes = codes_of(facts), usage = facts.usage, full = explain == "full",
    shipping = shipping, shipments = #shipping, count = #facts.lines, lines_for = lines_for,
    blocked = blocked, barred = {}, lost = {}, held = {}, spent = {} }
end

local FEW = 32 -- promotions: to look at them all costs less than to look them up

-- The promotions that take part: those of the facts, or the pack's; who wants to hear of each gets each.
local function promotions_of(facts, explain)
  if not facts.promotions then
    if explain == "full" or #standing.promotions <= FEW then return standing.promotions end
    return index.select(standing.index, facts)
  end
  local list, given = {}, facts.promotions
  for i = 1, #given do list[i] = promotion.compile(given[i], i, "promotions") end
  return promotion.sort(list)
end

-- What the gift cards hold; a card that is there twice would pay twice.
local function balance(cards)
  local sum, seen = 0, {}
  for i = 1, cards and #cards or 0 do
    local card = cards[i]
    if rawget(seen, card.code) then refuse(("gift_cards[%d].code: '%s' is there twice"):format(i, card.code)) end
    seen[card.code] = true
    sum = able("gift_cards[%d].balance", i, money.add, sum, card.balance)
  end
  return sum
end

-- Prices with the promotions of `list`. Whoever goes past his budget is left out of another try.
local function run(facts, list, explain)
  local now, blocked = window.time(facts.now, "now"), {}
  list_price(facts, zone_of(facts), now)
  while true do
    local cart = open_cart(facts, now, explain, blocked)
    if not promotions.apply(cart, list) then return cart, now end
  end
end

local function price(facts, list, explain)
  local cart, now = run(facts, list, explain)
  promotions.report_coupons(cart, list, facts.coupons, facts.issued or {})
  tax(cart.ledger, facts, facts.tax_rates or standing.tax_rates, zone_of(facts), now)
  local settings = facts.settings or {}
  return able("lines", 0, cart.ledger.finish, cart.ledger, settings.tax_rounding or "line", balance(facts.gift_cards))
end

return {
  doc = "What a cart costs: adjustments, taxes, totals and why.", file = "price/cart",
  facts = facts_shape.price, needs = { "customer.group", "customer.orders_placed" },
  decide = function(facts, explain) return price(facts, promotions_of(facts, explain), explain) end,
  prove = function() return examples(open_cart, standing.promotions) end,
  -- The ledger of a cart with the pack's promotions applied, for decisions that look at the running total.
  running = function(facts) return run(facts, promotions_of(facts, "none"), "none").ledger end,
}
