-- pricing: gathers the facts of a cart (waits), then lets the rules decide (never waits): two separate steps, so that a
-- change can be priced while the cart's row is locked.

local problem = require "lib.problem"

local M = {}

local array = fastr.json.array

-- Product's facts of `skus`: {[sku] = facts}. A product that is gone is absent.
local function product_facts(skus, currency, fresh)
  if #skus == 0 then return {} end
  local reply, failed = fastr.call("product", "facts", { skus = array(skus), currency = currency, fresh = fresh })
  if not reply then return nil, failed end
  local known = {}
  for _, item in ipairs(reply.items) do known[item.sku] = item end
  return known
end

-- What the rules may know of a customer: a pseudonymous id and counts. Nil for a guest.
local function customer_facts(customer)
  if not customer then return nil end
  local reply, failed = fastr.call("order", "customer_facts", { customer = customer })
  if not reply then return nil, failed end
  return { id = customer, orders_placed = reply.orders_placed }
end

-- Everything that decisions on this cart need of other services: {asked = {[sku] = true}, products = {[sku] = facts},
-- customer}. `more` lists SKUs about to be added; `fresh` reads prices and stock from the primary.
function M.gather(cart, more, fresh)
  local skus, asked = {}, {}
  local function ask(sku)
    if not asked[sku] then
      asked[sku], skus[#skus + 1] = true, sku
    end
  end
  for _, line in ipairs(cart.lines) do ask(line.sku) end
  for _, sku in ipairs(more or {}) do ask(sku) end
  local products, failed = product_facts(skus, cart.currency, fresh)
  if not products then return nil, failed end
  local customer
  customer, failed = customer_facts(cart.customer)
  if failed then return nil, failed end
  return { asked = asked, products = products, customer = customer }
end

-- ---- deciding: nothing below waits --------------------------------------------------------------------------------

-- A line's facts as gathered; as kept with the line where another request has added it since; nil: no longer sold.
local function facts_of(line, gathered)
  if gathered.asked[line.sku] then return gathered.products[line.sku] end
  return line.facts
end

local function decide(point, facts, options)
  local decision, info, code = fastr.rules.decide(point, facts, options)
  if decision then return decision, info end
  return nil, problem.new(code, { detail = info })
end

-- The facts that all decisions on a cart share; products that are gone are left out and named in the second result.
local function base_facts(cart, gathered)
  local lines, gone = {}, {}
  for _, line in ipairs(cart.lines) do
    local facts = facts_of(line, gathered)
    if facts then
      lines[#lines + 1] = { sku = line.sku, quantity = line.quantity, unit_price = facts.price,
        categories = array(facts.categories), tax_category = facts.tax_category }
    else
      gone[#gone + 1] = line.sku
    end
  end
  local zone = cart.shipping_address and cart.shipping_address.country
  return { currency = cart.currency, now = fastr.time.now(), zone = zone,
    customer = gathered.customer, lines = array(lines) }, gone
end

-- The shipping methods for this cart: list of {method, name, fee, tax_category}; nil and a problem if the rules fail.
function M.shipping_options(cart, gathered)
  local facts = base_facts(cart, gathered)
  local decision, failed = decide("shipping.options", facts)
  if not decision then return nil, failed end
  return decision.options
end

local function chosen_shipping(cart, gathered)
  if not cart.shipping_method then return {} end
  local options, failed = M.shipping_options(cart, gathered)
  if not options then return nil, failed end
  for _, option in ipairs(options) do
    if option.method == cart.shipping_method then
      return { { method = option.method, fee = option.fee, tax_category = option.tax_category } }, option
    end
  end
  return {}
end

-- What is missing to the next advantage, as far as the chosen way of shipping knows.
local function thresholds_of(option)
  if not option or not option.missing_for_free then return {} end
  return { { kind = "free_shipping", method = option.method, missing = option.missing_for_free } }
end

-- Prices the cart: {facts, decision, pack, abi, trace, gone, products, thresholds}, or nil and a problem. `explain` is
-- "full" for a trace that also has the rules that did not apply, and why.
function M.price(cart, gathered, explain)
  local facts, gone = base_facts(cart, gathered)
  local shipping, option = chosen_shipping(cart, gathered)
  if not shipping then return nil, option end
  facts.shipping, facts.coupons = array(shipping), array(cart.coupons)
  local decision, info = decide("price.cart", facts, explain and { explain = explain })
  if not decision then return nil, info end
  local products = {}
  for _, line in ipairs(cart.lines) do products[line.sku] = facts_of(line, gathered) end
  return { facts = facts, decision = decision, pack = info.pack, abi = info.abi, trace = info.trace, gone = gone,
    products = products, thresholds = thresholds_of(option) }
end

-- May the cart be so? `cart` is as the change would leave it; `change` is {kind, lines = {{sku, quantity}, ...}}.
-- True, or nil and a problem with one error for each reason.
function M.accept(cart, change, gathered)
  local facts = base_facts(cart, gathered)
  facts.change, facts.stock = change, {}
  for _, line in ipairs(cart.lines) do
    local known = facts_of(line, gathered)
    facts.stock[line.sku] = known and known.available or 0
  end
  local decision, failed = decide("cart.accept", facts)
  if not decision then return nil, failed end
  if decision.accept then return true end
  local errors = {}
  for i, reason in ipairs(decision.problems or {}) do
    errors[i] = { path = reason.sku or "", problem = reason.detail or reason.code, code = reason.code }
  end
  return nil, problem.new("cart_refused", { errors = array(errors), detail = errors[1] and errors[1].problem })
end

return M
