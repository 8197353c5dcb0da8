-- order: the shape of an order in replies, the same wherever one is shown: by its own service, and by checkout; and
-- the lines and totals of a decision (price.cart) in that shape, for carts too.

local shape = require "lib.shape"
local address = require "lib.address"
local money = require "lib.money"

local M = {}

local uuid = shape.text { format = "uuid" }
local sku = shape.text { min = 1, max = 64, doc = "stock-keeping unit" }
local time = shape.text { format = "date-time" }

M.STATUSES = { "placing", "placed", "paid", "fulfilling", "shipped", "delivered", "cancelled", "returned" }

M.line = shape.object {
  sku = sku, name = shape.text {}, quantity = shape.integer { min = 1 },
  unit_price = shape.money { doc = "after catalogue rules" }, list_price = shape.money { doc = "before them" },
  subtotal = shape.money, discount = shape.money { doc = "of items and order" },
  total = shape.money { doc = "after discounts, before added tax" }, tax = shape.money { doc = "added" },
  tax_included = shape.money { doc = "contained in total" },
}

M.totals = shape.object {
  items = shape.money, discount = shape.money, shipping = shape.money, shipping_discount = shape.money,
  tax = shape.money, tax_included = shape.money, total = shape.money,
}

M.discounts = shape.list(shape.object { promotion = shape.text {}, amount = shape.money,
  says = shape.text { doc = "what it is called" }, detail = shape.text { doc = "You saved 4.79: ..." } },
  { doc = "what each promotion took off" })

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
  refund = shape.money,
}

local goods_returned = shape.object {
  id = uuid, status = shape.enum { "open", "done", "refused", doc = "open: stock or money is still on its way back" },
  lines = shape.list(return_line), refund = shape.money, at = time, reason = shape.optional(shape.text {}),
}

M.shape = shape.object({
  id = uuid, number = shape.nullable(shape.text { doc = "for people; given when it is placed" }),
  status = shape.enum(M.STATUSES), currency = shape.text { format = "currency" },
  email = shape.text { format = "email", max = 254 },
  customer = shape.nullable(uuid), lines = shape.list(M.line), totals = M.totals,
  shipping_address = address.shape, shipping_method = shape.text {},
  discounts = M.discounts,
  rules = shape.object { pack = shape.text { doc = "hash of the rules that priced it" }, abi = shape.integer {},
    trace = shape.any { doc = "which rule gave what" } },
  payments = shape.list(payment), history = shape.list(entry), shipments = shape.list(shipment),
  returns = shape.list(goods_returned), created_at = time, placed_at = shape.nullable(time),
  order_token = shape.optional(shape.text { doc = "in checkout's reply: a guest's key, sent as Fastr-Order" }),
}, { name = "Order" })

-- A decided line as M.line has it. `list_price`: minor units; `m`: money.of the decision's currency.
function M.line_of(decided, name, list_price, m)
  return {
    sku = decided.sku, name = name, quantity = decided.quantity,
    unit_price = m(decided.unit_price), list_price = m(list_price), subtotal = m(decided.subtotal),
    discount = m(decided.item_discount + decided.order_discount), total = m(decided.total),
    tax = m(decided.tax), tax_included = m(decided.tax_included),
  }
end

-- The totals of a decision as M.totals has them.
function M.totals_of(decision)
  local m = money.of(decision.currency)
  return {
    items = m(decision.items_total), discount = m(decision.discount_total), shipping = m(decision.shipping_total),
    shipping_discount = m(decision.shipping_discount_total), tax = m(decision.tax_total),
    tax_included = m(decision.tax_included_total), total = m(decision.total),
  }
end

return M
