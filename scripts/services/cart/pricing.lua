-- pricing: gathers the facts of a cart (waits), then lets the rules decide (never waits): two separate steps, so that a
-- change can be priced while the cart's row is locked.

local coupons = require "services.cart.coupons"
local gift_cards = require "services.cart.gift_cards"
local explain = require "lib.explain"
local limits = require "services.cart.limits"
local needs = require "platform.needs"
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

local function given(value)
  if value == fastr.json.null then return nil end
  return value
end

-- Who is asked for a fact of a customer ({ id, fresh }), if a rule needs it.
local LOOK_UPS = {
  ["customer.group"] = function(customer)
    local reply, failed = fastr.call("user", "customer_facts", { user = customer.id, fresh = customer.fresh })
    if not reply then return nil, failed end
    return given(reply.group)
  end,
  ["customer.orders_placed"] = function(customer)
    local reply, failed = fastr.call("order", "customer_facts", { customer = customer.id, fresh = customer.fresh })
    if not reply then return nil, failed end
    return reply.orders_placed
  end,
}
local POINTS = { "price.cart", "shipping.options", "cart.accept" }

-- What the rules need to know of a customer, beside a pseudonymous id. Nil for a guest.
local function customer_facts(customer, fresh)
  if not customer then return nil end
  local known, failed = needs.look_up(POINTS, LOOK_UPS, { id = customer, fresh = fresh })
  if not known then return nil, failed end
  return { id = customer, group = known["customer.group"], orders_placed = known["customer.orders_placed"] }
end

local function wanted_skus(cart, more)
  local skus, asked = {}, {}
  for _, list in ipairs { cart.lines, more or {} } do
    for _, each in ipairs(list) do
      local sku = each.sku or each
      if not asked[sku] then
        asked[sku], skus[#skus + 1] = true, sku
      end
    end
  end
  return skus, asked
end

-- What was used of codes and of promotions with limits: {codes, usage}.
local function uses_of(db, cart, options, limited)
  local entered = {}
  for _, list in ipairs { cart.coupons, options.coupons or {} } do
    for _, code in ipairs(list) do entered[#entered + 1] = code end
  end
  local who = { id = cart.id, customer = cart.customer or options.customer, email = options.email or cart.email }
  local known = coupons.known(db, who, entered)
  return { codes = known, usage = coupons.usage(db, who, entered, known, limited) }
end

-- Everything that decisions on this cart need of others: {asked = {[sku] = true}, products = {[sku] = facts}, customer,
-- codes = {[coupon code] = what is known of it}, limits (of promotions), usage (of those), gift_cards = {[id] = card}}.
-- `options`: skus, coupons and gift_cards, lists of what is about to be added; customer and email, of who is about to
-- own it; fresh, to read from the primary. Or nil and a problem.
function M.gather(db, cart, options)
  local skus, asked = wanted_skus(cart, options.skus)
  local limited, failed = limits.of(cart)
  if not limited then return nil, failed end
  local got = fastr.all {
    function() return product_facts(skus, cart.currency, options.fresh) end,
    function() return customer_facts(cart.customer or options.customer, options.fresh) end,
    function() return uses_of(db, cart, options, limited) end,
    function() return gift_cards.look_up(cart, options.gift_cards) end,
  }
  for _, result in ipairs(got) do
    if result[1] == nil and result[2] then return nil, result[2] end
  end
  local uses = got[3][1]
  return { asked = asked, products = got[1][1], customer = got[2][1], codes = uses.codes, limits = limited,
    usage = uses.usage, gift_cards = got[4][1] }
end

-- ---- deciding: nothing below waits --------------------------------------------------------------------------------

-- A line's facts as gathered; as kept with the line where another request has added it since; nil: no longer sold.
local function facts_of(line, gathered)
  if gathered.asked[line.sku] then return gathered.products[line.sku] end
  return line.facts
end

-- The cart's id is the key: while a version is tried on a share of the carts, one cart is always decided by the same.
local function decide(point, facts, cart, options)
  options = options or {}
  options.key = cart.id
  local decision, info, code = fastr.rules.decide(point, facts, options)
  if decision then return decision, info end
  return nil, problem.new(code, { detail = info })
end

-- A product's price list, which holds for the customer's group and where the cart is sent; nil: it has none.
local function rows_of(facts)
  local rows = given(facts.prices)
  return rows and array(rows)
end

-- The facts that all decisions on a cart share; products that are gone are left out and named in the second result.
local function base_facts(cart, gathered)
  local lines, gone = {}, {}
  for _, line in ipairs(cart.lines) do
    local facts = facts_of(line, gathered)
    if facts then
      lines[#lines + 1] = { sku = line.sku, quantity = line.quantity, unit_price = facts.price,
        categories = array(facts.categories), tax_category = facts.tax_category, prices = rows_of(facts) }
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
  facts.usage = gathered.usage
  local decision, failed = decide("shipping.options", facts, cart)
  if not decision then return nil, failed end
  return decision.options
end

-- The shipments of the chosen method (none where it is not offered), and the option to tell of: the chosen one, or,
-- while none is chosen, the first that spending more makes free. Nil and a problem if the rules fail.
local function chosen_shipping(cart, gathered)
  if #cart.lines == 0 then return {} end
  local options, failed = M.shipping_options(cart, gathered)
  if not options then return nil, failed end
  if not cart.shipping_method then return {}, explain.free_option(options) end
  for _, option in ipairs(options) do
    if option.method == cart.shipping_method then
      return { { method = option.method, fee = option.fee, tax_category = option.tax_category } }, option
    end
  end
  return {}
end

-- ---- what is missing to the next advantage ------------------------------------------------------------------------

local function thresholds_of(option, trace, currency)
  local list = {}
  if option and option.missing_for_free then
    list[1] = { kind = "free_shipping", method = option.method, missing = option.missing_for_free,
      detail = explain.free_delivery(option, currency) }
  end
  for _, each in ipairs(explain.thresholds(trace, currency)) do list[#list + 1] = each end
  return list
end

-- What there is of each article in the cart: {[sku] = units}.
local function stock_of(cart, gathered)
  local stock = {}
  for _, line in ipairs(cart.lines) do
    local known = facts_of(line, gathered)
    stock[line.sku] = known and known.available or 0
  end
  return stock
end

-- What the rules have against the cart as it is: list of {sku, code, detail}; or nil and a problem.
local function objections(cart, gathered, facts)
  local asked = { change = { kind = "view" }, stock = stock_of(cart, gathered) }
  for name, value in pairs(facts) do asked[name] = value end
  local decision, failed = decide("cart.accept", asked, cart)
  if not decision then return nil, failed end
  return decision.problems
end

-- ---- the price ----------------------------------------------------------------------------------------------------

-- What became of each code, in the order of entry.
local function verdicts(cart, gathered, decision)
  local decided, list = {}, {}
  for _, coupon in ipairs(decision.coupons or {}) do decided[coupon.code] = coupon end
  for i, code in ipairs(cart.coupons) do
    local known = gathered.codes[code]
    list[i] = decided[code] or { code = code, accepted = false, reason = known and known.reason or "unknown" }
  end
  return list
end

-- Does a promotion of the rules that decide now have this code? Or nil and a problem.
function M.knows_coupon(code, currency)
  local facts = { currency = currency, now = fastr.time.now(), lines = array {}, coupons = array { code } }
  local decision, message, failed = fastr.rules.decide("price.cart", facts)
  if not decision then return nil, problem.new(failed, { detail = message }) end
  return decision.coupons[1].reason ~= "unknown"
end

-- The entries of what applied. A full trace has room for so many rules: where it was cut, the price is decided again
-- with those alone that applied.
local function applied(trace, facts, cart)
  local last, list = trace[#trace], {}
  if last and last.outcome == "truncated" then
    local decision, info = decide("price.cart", facts, cart)
    trace = decision and info.trace or trace
  end
  for _, entry in ipairs(trace) do
    if entry.outcome == "applied" then list[#list + 1] = entry end
  end
  return array(list)
end

-- Prices the cart: {facts, decision, coupons, gift_cards, pack, abi, trace (what applied), full (all that was
-- considered, and why not), gone, products, against (what cart.accept has against it), thresholds}, or nil and a
-- problem.
function M.price(cart, gathered)
  local facts, gone = base_facts(cart, gathered)
  local shipping, option = chosen_shipping(cart, gathered)
  if not shipping then return nil, option end
  local against, failed = objections(cart, gathered, facts)
  if not against then return nil, failed end
  facts.shipping = array(shipping)
  facts.coupons, facts.issued = coupons.usable(cart.coupons, gathered.codes)
  facts.usage = gathered.usage
  facts.gift_cards = gift_cards.facts(cart, gathered)
  local decision, info = decide("price.cart", facts, cart, { explain = "full",
    compare = #cart.lines > 0 and "money" or nil })
  if not decision then return nil, info end
  local products = {}
  for _, line in ipairs(cart.lines) do products[line.sku] = facts_of(line, gathered) end
  return { facts = facts, decision = decision, coupons = verdicts(cart, gathered, decision), pack = info.pack,
    gift_cards = gift_cards.shares(cart, gathered, facts, decision),
    abi = info.abi, trace = applied(info.trace, facts, cart), full = info.trace, gone = gone, products = products,
    limits = gathered.limits, against = against,
    thresholds = #cart.lines > 0 and thresholds_of(option, info.trace, cart.currency) or {} }
end

-- May the cart be so? `cart` is as the change would leave it; `change` is {kind = "add" | "set" | "merge", lines =
-- {{sku, quantity}, ...}}, or {kind = "checkout"}: then all of it is looked at but the stock, which the order's hold
-- knows to the unit. True, or nil and a problem with one error for each reason.
function M.accept(cart, change, gathered)
  local facts = base_facts(cart, gathered)
  facts.change = change
  if change.kind ~= "checkout" then facts.stock = stock_of(cart, gathered) end
  local decision, failed = decide("cart.accept", facts, cart, { compare = "answer" })
  if not decision then return nil, failed end
  if decision.accept then return true end
  local errors = {}
  for i, reason in ipairs(decision.problems or {}) do
    errors[i] = { path = reason.sku or "", problem = reason.detail or reason.code, code = reason.code }
  end
  return nil, problem.new("cart_refused", { errors = array(errors), detail = errors[1] and errors[1].problem })
end

return M
