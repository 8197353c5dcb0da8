-- view: a priced cart as the API shows it.

local gift_cards = require "services.cart.gift_cards"
local explain = require "lib.explain"
local money = require "lib.money"
local shapes = require "lib.order"

local M = {}

local array, null = fastr.json.array, fastr.json.null

-- The product's lowest price of 30 days, unless the line costs more than the reduced price.
local function lowest_price(decided, product, m)
  local reduced = product.reduced
  if not reduced or decided.unit_price > reduced.price then return null end
  return m(reduced.lowest)
end

local function show_line(decided, product, m)
  local shown = shapes.line_of(decided, product.name, m)
  shown.available, shown.lowest_price_30d = product.available, lowest_price(decided, product, m)
  return shown
end

-- A product that is no longer sold: it stands in the cart, costs nothing, and is named under problems.
local function show_gone(line, m)
  local nothing = m(0)
  return { sku = line.sku, name = line.facts.name, quantity = line.quantity, unit_price = nothing, list_price = nothing,
    lowest_price_30d = null, subtotal = nothing, discount = nothing, item_discount = nothing,
    order_discount = nothing, total = nothing, tax = nothing, tax_included = nothing, units = array {}, available = 0 }
end

local function show_lines(cart, priced)
  local m, lines, decided = money.of(cart.currency), {}, {}
  for _, line in ipairs(priced.decision.lines) do decided[line.sku] = line end
  for i, line in ipairs(cart.lines) do
    local product = priced.products[line.sku]
    lines[i] = product and show_line(decided[line.sku], product, m) or show_gone(line, m)
  end
  return array(lines)
end

-- ---- problems -----------------------------------------------------------------------------------------------------

local CODES = { stock = "insufficient_stock" }

-- What the rules have against the cart, and what is no longer sold.
local function line_problems(cart, priced, problems)
  for _, each in ipairs(priced.against) do
    local product = priced.products[each.sku]
    problems[#problems + 1] = { code = CODES[each.code] or each.code, sku = each.sku ~= "" and each.sku or nil,
      available = product and product.available, detail = each.detail }
  end
  for _, line in ipairs(cart.lines) do
    if not priced.products[line.sku] then
      problems[#problems + 1] = { code = "product_not_found", sku = line.sku,
        detail = line.sku .. " is no longer sold" }
    end
  end
end

-- Unit prices that differ from those of the last change.
local function price_problems(cart, priced, problems)
  if not cart.pricing then return end
  local before, m = {}, money.of(cart.currency)
  for _, line in ipairs(cart.pricing.decision.lines) do before[line.sku] = line.unit_price end
  for _, line in ipairs(priced.decision.lines) do
    local old = before[line.sku]
    if old and old ~= line.unit_price then
      problems[#problems + 1] = { code = "price_changed", sku = line.sku, from = m(old), to = m(line.unit_price),
        detail = "The price of " .. line.sku .. " has changed" }
    end
  end
end

local function coupon_problems(priced, problems)
  for _, coupon in ipairs(priced.coupons) do
    if not coupon.accepted then
      problems[#problems + 1] = { code = "coupon_refused", coupon = coupon.code, reason = coupon.reason,
        detail = explain.refused_coupon(coupon.code, coupon.reason) }
    end
  end
end

local function gift_card_problems(priced, problems)
  for _, card in ipairs(priced.gift_cards) do
    if not card.accepted then
      problems[#problems + 1] = { code = "gift_card_refused", gift_card = card.id, reason = card.reason,
        detail = gift_cards.says(card.last4, card.reason) }
    end
  end
end

-- Everything that stands against buying the cart as it is.
function M.problems(cart, priced)
  local problems = {}
  line_problems(cart, priced, problems)
  price_problems(cart, priced, problems)
  coupon_problems(priced, problems)
  gift_card_problems(priced, problems)
  if cart.shipping_method and #priced.facts.shipping == 0 then
    problems[#problems + 1] = { code = "shipping_method_unknown",
      detail = "The method " .. cart.shipping_method .. " is not offered for this cart and address" }
  end
  return problems
end

-- What each rule took off by a trace: rule -> amount.
local function taken_off(trace)
  local sums, order = {}, {}
  for _, entry in ipairs(trace or {}) do
    if entry.outcome == "applied" then
      if not sums[entry.rule] then order[#order + 1] = entry.rule end
      sums[entry.rule] = (sums[entry.rule] or 0) + entry.amount
    end
  end
  return sums, order
end

local function rule_change(rule, before, after, m)
  local detail = before == 0 and "%s applies now" or after == 0 and "%s does not apply any more"
    or "%s takes another amount off"
  return { code = "rule_changed", rule = rule, from = m(before), to = m(after), detail = detail:format(rule) }
end

-- Why a total is another than when the cart was last changed: its problems, each rule that takes off another amount
-- now, and that other rules decide.
function M.reasons(cart, priced)
  local reasons, m = M.problems(cart, priced), money.of(cart.currency)
  local before, old_rules = taken_off(cart.pricing and cart.pricing.trace)
  local after, new_rules = taken_off(priced.trace)
  for _, rule in ipairs(old_rules) do
    if before[rule] ~= after[rule] then
      reasons[#reasons + 1] = rule_change(rule, before[rule], after[rule] or 0, m)
    end
  end
  for _, rule in ipairs(new_rules) do
    if not before[rule] then reasons[#reasons + 1] = rule_change(rule, 0, after[rule], m) end
  end
  if cart.pack and cart.pack ~= priced.pack then
    reasons[#reasons + 1] = { code = "rules_version", from = cart.pack, to = priced.pack,
      detail = "Other rules decide this cart's price now" }
  end
  return reasons
end

local function show_thresholds(cart, priced)
  local shown = {}
  for i, each in ipairs(priced.thresholds) do
    shown[i] = { kind = each.kind, method = each.method, promotion = each.promotion, detail = each.detail,
      missing = each.missing and { amount = each.missing, currency = cart.currency } or nil,
      missing_units = each.missing_units, of = each.of }
  end
  return array(shown)
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

-- The cart as a reply; `full` adds the trace of every rule considered.
function M.cart(cart, priced, full)
  local m = money.of(cart.currency)
  return {
    id = cart.id, version = cart.version, state = cart.state, currency = cart.currency, email = cart.email or null,
    customer = cart.customer or null, lines = show_lines(cart, priced),
    shipping_address = cart.shipping_address or null, shipping_method = cart.shipping_method or null,
    shipping = array(shapes.shipping_of(priced.decision.shipping, m)),
    taxes = array(shapes.taxes_of(priced.decision.taxes, m)),
    totals = shapes.totals_of(priced.decision), coupons = array(shapes.coupons_of(priced.coupons)),
    discounts = array(explain.discounts(priced.trace, cart.currency)),
    gift_cards = array(priced.gift_cards),
    problems = array(M.problems(cart, priced)), thresholds = show_thresholds(cart, priced),
    rules = { pack = priced.pack, abi = priced.abi, trace = full and priced.full or nil },
    order = cart.order or null,
  }
end

return M
