-- shipping.options: how a cart can be sent, and what that costs before promotions. A method without zones goes
-- everywhere that no method names.

local facts_shape = require "price.facts"
local methods = require "shipping.methods"
local price = require "price.cart"
local shape = require "engine.shape"
local standing = require "price.standing"

local function serves(method, zone)
  for _, each in ipairs(method.zones or {}) do
    if each == zone then return true end
  end
  return false
end

local function named_anywhere(zone)
  for _, method in ipairs(methods) do
    if serves(method, zone) then return true end
  end
  return false
end

local function items_total(facts)
  local ledger = price.running(facts)
  return ledger:total()
end

-- The fee for a cart whose items come to `total`.
local function fee_of(method, total)
  if method.free_from and total >= method.free_from then return 0 end
  local fee = method.fee
  for _, step in ipairs(method.fees or {}) do
    if total >= step.from then fee = step.fee end
  end
  return fee
end

local function option_of(method, total)
  local missing = method.free_from and method.free_from - total
  return { method = method.method, name = method.name, fee = fee_of(method, total), tax_category = method.tax_category,
    free_from = method.free_from, missing_for_free = missing and missing > 0 and missing or nil }
end

local function decide(facts)
  local options, zone = {}, facts.zone or standing.zone
  local total, elsewhere = items_total(facts), not named_anywhere(zone)
  for _, method in ipairs(methods) do
    local is_there = serves(method, zone) or (elsewhere and not method.zones)
    if method.currency == facts.currency and is_there then options[#options + 1] = option_of(method, total) end
  end
  return { options = array(options) }
end

return {
  doc = "How a cart can be sent: methods with fees.", file = "shipping/options",
  facts = shape.object(facts_shape.price.fields), needs = { "customer.group", "customer.orders_placed" },
  answer = shape.object { options = shape.list(shape.object { method = shape.text(), name = shape.text(),
    fee = shape.count(), tax_category = shape.optional(shape.text()), free_from = shape.optional(shape.count()),
    missing_for_free = shape.optional(shape.count { min = 1 }) }) },
  decide = decide,
  -- Without the pack's promotions (promotions = {}), so that they hold whatever is running.
  examples = {
    { "small cart in the country", facts = { currency = "GBP", now = "2026-10-01T12:00:00Z", zone = "GB",
        promotions = {}, lines = { { sku = "A", quantity = 1, unit_price = 1000 } } },
      answer = { options = { { method = "standard", fee = 395, missing_for_free = 4000 }, { method = "express",
        fee = 795 } } } },
    { "free from 50.00", facts = { currency = "GBP", now = "2026-10-01T12:00:00Z", zone = "GB", promotions = {},
        lines = { { sku = "A", quantity = 5, unit_price = 1000 } } },
      answer = { options = { { method = "standard", fee = 0 } } } },
    { "abroad", facts = { currency = "GBP", now = "2026-10-01T12:00:00Z", zone = "FR", promotions = {},
        lines = { { sku = "A", quantity = 1, unit_price = 1000 } } }, answer = { options = {
          { method = "international", fee = 1295 } } } },
  },
}
