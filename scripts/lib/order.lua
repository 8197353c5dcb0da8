-- order: the shape of an order in replies, the same wherever one is shown: by its own service, and by checkout; and
-- what of a decision (price.cart) is in that shape, for carts too: lines with their units, shipments, taxes, totals.

local shape = require "lib.shape"
local address = require "lib.address"
local explain = require "lib.explain"
local money = require "lib.money"

local M = {}

local uuid = shape.text { format = "uuid" }
local sku = shape.text { min = 1, max = 64, doc = "stock-keeping unit" }
local time = shape.text { format = "date-time" }

M.STATUSES = { "placing", "placed", "paid", "fulfilling", "shipped", "delivered", "cancelled", "returned" }

local unit_list = shape.list(shape.object {
  quantity = shape.integer { min = 1, doc = "neighbours that cost the same" },
  discount = shape.money { doc = "of each: off its list price" },
  total = shape.money { doc = "of each: what is left, before added tax" },
  tax = shape.money { doc = "of each: its share of the line's" },
  tax_included = shape.money { doc = "of each: its share of the line's" },
}, { doc = "what each single unit costs, and gives back when it is returned: in this order" })

-- What is optional was not kept of orders of before.
local line_fields = {
  sku = sku, name = shape.text {}, quantity = shape.integer { min = 1 },
  list_price = shape.money { doc = "of a unit, before any rule; of a price list where one holds" },
  unit_price = shape.money { doc = "after catalogue rules" }, subtotal = shape.money { doc = "unit_price x quantity" },
  discount = shape.money { doc = "of items and order" },
  item_discount = shape.optional(shape.money { doc = "what promotions took off its units" }),
  order_discount = shape.optional(shape.money { doc = "its share of what was taken off the order" }),
  total = shape.money { doc = "after discounts, before added tax" }, tax = shape.money { doc = "added" },
  tax_included = shape.money { doc = "contained in total" }, units = shape.optional(unit_list),
}

-- The shape of a line, with `more` fields.
function M.line_with(more)
  local fields = {}
  for _, from in ipairs { line_fields, more } do
    for name, of in pairs(from) do fields[name] = of end
  end
  return shape.object(fields)
end

M.line = shape.object(line_fields)

M.totals = shape.object {
  list = shape.optional(shape.money { doc = "the items at their list prices" }), items = shape.money {
    doc = "at their unit prices" }, discount = shape.money { doc = "of items and order" },
  item_discount = shape.optional(shape.money), order_discount = shape.optional(shape.money), shipping = shape.money {
    doc = "fees" }, shipping_discount = shape.money, tax = shape.money { doc = "added, that of shipping too" },
  tax_included = shape.money { doc = "contained, that of shipping too" },
  total = shape.money { doc = "what checkout expects as expected_total" },
  gift_cards = shape.optional(shape.money { doc = "what gift cards pay of the total; no discount" }),
  due = shape.optional(shape.money { doc = "what is left to pay of the total" }),
}

M.shipping = shape.list(shape.object { method = shape.text {}, fee = shape.money, discount = shape.money,
  total = shape.money, tax = shape.money { doc = "added" }, tax_included = shape.money { doc = "contained in total" } },
  { doc = "each shipment's price" })

M.taxes = shape.list(shape.object { category = shape.text {}, percent = shape.number { min = 0, max = 100 },
  included = shape.boolean { doc = "contained in prices; else added to them" }, zone = shape.optional(shape.text {}),
  base = shape.money { doc = "what was taxed, without the tax" }, tax = shape.money },
  { doc = "by rate, of lines and shipping together: they sum up to totals.tax and totals.tax_included" })

M.discounts = shape.list(shape.object { promotion = shape.text {}, amount = shape.money,
  stage = shape.optional(shape.text { doc = "catalog: unit_price is lower by it already; item, order, shipping" }),
  says = shape.text { doc = "what it is called" }, detail = shape.text { doc = "You saved 4.79: ..." } },
  { doc = "what each promotion took off" })

M.coupons = shape.list(shape.object { code = shape.text {}, accepted = shape.boolean,
  reason = shape.optional(shape.text {
    doc = "unknown, not_started, expired, used_up, used_up_for_customer, not_eligible, budget_spent, "
      .. "replaced_by_exclusive, or already_applied: another code in the cart stands for the same promotion" }),
  detail = shape.optional(shape.text { doc = "why not, for people" }) },
  { doc = "the codes entered, and what became of each" })

local payment = shape.object {
  id = shape.nullable(uuid, { doc = "of the payment; null until one was made" }), attempt = uuid,
  status = shape.enum { "new", "asked", "authorised", "captured", "declined", "unknown", "requires_action", "voided",
    "refunded" },
  amount = shape.money, reason = shape.optional(shape.text {}),
  next_action = shape.nullable(shape.object { type = shape.text {}, url = shape.text {} },
    { doc = "where the shopper goes on" }),
  expires_at = shape.optional(time, { doc = "of what is authorised: it can be captured until then" }),
}

local entry = shape.object {
  sequence = shape.integer { doc = "counts up; the id of its server-sent event" }, status = shape.enum(M.STATUSES),
  at = time, reason = shape.optional(shape.text {}),
}

local shipment = shape.object {
  carrier = shape.text {}, tracking = shape.text {}, shipped_at = shape.nullable(time),
  delivered_at = shape.nullable(time),
}

local return_line = shape.object {
  sku = sku, quantity = shape.integer {}, restock = shape.boolean { doc = "went back to the stock" },
  refund = shape.money { doc = "what was paid for these units" },
  tax = shape.optional(shape.money { doc = "within refund: what had been added" }),
  tax_included = shape.optional(shape.money { doc = "within refund: what was contained" }),
}

local goods_returned = shape.object {
  id = uuid, kind = shape.enum { "return", "cancellation", doc = "cancellation: of units that had not been sent" },
  status = shape.enum { "open", "done", "refused", doc = "open: stock or money is still on its way back" },
  lines = shape.list(return_line), at = time, reason = shape.optional(shape.text {}),
  refund = shape.money { doc = "what goes back: of lines and shipping, less what it is short of" },
  shipping = shape.optional(shape.money { doc = "what was paid for it, where the rules give it back" }),
  short = shape.optional(shape.money { doc = "no more was left: so much was refunded by amount before" }),
}

M.shape = shape.object({
  id = uuid, number = shape.nullable(shape.text { doc = "for people; given when it is placed" }),
  status = shape.enum(M.STATUSES), currency = shape.text { format = "currency" },
  email = shape.text { format = "email", max = 254 },
  customer = shape.nullable(uuid), lines = shape.list(M.line), totals = M.totals,
  shipping = M.shipping, taxes = shape.optional(M.taxes), coupons = shape.optional(M.coupons),
  shipping_address = address.shape, shipping_method = shape.text {},
  gift_cards = shape.list(shape.object { last4 = shape.text {}, amount = shape.money },
    { doc = "what each paid, in the order in which they did" }),
  discounts = M.discounts,
  rules = shape.object { pack = shape.text { doc = "hash of the rules that priced it" }, abi = shape.integer {},
    trace = shape.any { doc = "which rule gave what" } },
  payments = shape.list(payment), history = shape.list(entry), shipments = shape.list(shipment),
  returns = shape.list(goods_returned), created_at = time, placed_at = shape.nullable(time),
  order_token = shape.optional(shape.text { doc = "in checkout's reply: a guest's key, sent as Fastr-Order" }),
}, { name = "Order" })

-- ---- a decision in these shapes ------------------------------------------------------------------------------------

-- The list price that a decided line began with: what its units cost and what was taken off them make it up.
local function list_price_of(decided)
  local sum = decided.total
  for _, off in ipairs(decided.unit_discounts) do sum = sum + off end
  return sum / decided.quantity
end

-- A tax of the line, shared over its units by what they cost.
local function shared(tax, weights)
  return tax > 0 and fastr.money.allocate(tax, weights) or {}
end

local function is_even(list)
  for _, each in ipairs(list) do
    if each ~= list[1] then return false end
  end
  return true
end

-- Units that cost the same share a tax alike, the first of them a penny more where it does not go by their number: what
-- an allocation by what they cost comes to, without a list of them all. (A line has one of the two taxes at most.)
local function even_units(decided, m)
  local n, off, units = decided.quantity, decided.unit_discounts[1], {}
  local added, contained = decided.tax, decided.tax_included
  local more = (added + contained) % n
  if more > 0 then
    units[1] = { quantity = more, discount = m(off), total = m(decided.total / n), tax = m(math.ceil(added / n)),
      tax_included = m(math.ceil(contained / n)) }
  end
  units[#units + 1] = { quantity = n - more, discount = m(off), total = m(decided.total / n),
    tax = m(math.floor(added / n)), tax_included = m(math.floor(contained / n)) }
  return units
end

-- The units of a decided line as M.line has them; `m`: money.of its currency.
function M.units_of(decided, m)
  if is_even(decided.unit_discounts) then return even_units(decided, m) end
  local list, weights, units = list_price_of(decided), {}, {}
  for i, off in ipairs(decided.unit_discounts) do weights[i] = list - off end
  local added, contained = shared(decided.tax, weights), shared(decided.tax_included, weights)
  local last
  for i, total in ipairs(weights) do
    local tax, tax_included = added[i] or 0, contained[i] or 0
    if last and last.total.amount == total and last.tax.amount == tax and last.tax_included.amount == tax_included then
      last.quantity = last.quantity + 1
    else
      last = { quantity = 1, discount = m(list - total), total = m(total), tax = m(tax),
        tax_included = m(tax_included) }
      units[#units + 1] = last
    end
  end
  return units
end

-- A decided line as M.line has it. `m`: money.of the decision's currency.
function M.line_of(decided, name, m)
  return {
    sku = decided.sku, name = name, quantity = decided.quantity, list_price = m(list_price_of(decided)),
    unit_price = m(decided.unit_price), subtotal = m(decided.subtotal),
    discount = m(decided.item_discount + decided.order_discount), item_discount = m(decided.item_discount),
    order_discount = m(decided.order_discount), total = m(decided.total), tax = m(decided.tax),
    tax_included = m(decided.tax_included), units = M.units_of(decided, m),
  }
end

local function sum_of(lines, value)
  local sum = 0
  for _, line in ipairs(lines) do sum = sum + value(line) end
  return sum
end

-- What each of the fact `gift_cards` pays of the decision, in its order, as long as something is to be paid: list of
-- {id, amount (minor units)}.
function M.gift_card_shares(cards, decision)
  local shares, left = {}, decision.gift_card_total
  for _, card in ipairs(cards or {}) do
    local amount = math.min(left, card.balance)
    if amount > 0 then shares[#shares + 1] = { id = card.code, amount = amount } end
    left = left - amount
  end
  return shares
end

-- The totals of a decision as M.totals has them.
function M.totals_of(decision)
  local m, lines = money.of(decision.currency), decision.lines
  return {
    list = m(sum_of(lines, function(line) return list_price_of(line) * line.quantity end)),
    items = m(decision.items_total), discount = m(decision.discount_total),
    item_discount = m(sum_of(lines, function(line) return line.item_discount end)),
    order_discount = m(sum_of(lines, function(line) return line.order_discount end)),
    shipping = m(decision.shipping_total), shipping_discount = m(decision.shipping_discount_total),
    tax = m(decision.tax_total), tax_included = m(decision.tax_included_total), total = m(decision.total),
    gift_cards = m(decision.gift_card_total), due = m(decision.due),
  }
end

-- The shipments of a decision as M.shipping has them.
function M.shipping_of(shipments, m)
  local shown = {}
  for i, s in ipairs(shipments) do
    shown[i] = { method = s.method, fee = m(s.fee), discount = m(s.discount), total = m(s.total), tax = m(s.tax),
      tax_included = m(s.tax_included) }
  end
  return shown
end

-- The taxes of a decision as M.taxes has them.
function M.taxes_of(taxes, m)
  local shown = {}
  for i, t in ipairs(taxes) do
    shown[i] = { category = t.category, percent = t.percent, included = t.included, zone = t.zone, base = m(t.base),
      tax = m(t.tax) }
  end
  return shown
end

-- The coupons of a decision as M.coupons has them.
function M.coupons_of(coupons)
  local shown = {}
  for i, c in ipairs(coupons) do
    shown[i] = { code = c.code, accepted = c.accepted, reason = c.reason,
      detail = not c.accepted and explain.refused_coupon(c.code, c.reason) or nil }
  end
  return shown
end

return M
