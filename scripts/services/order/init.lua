-- order: what was bought, at which price and why, and everything that happened to it since.

local shape = require "lib.shape"
local address = require "lib.address"
local shapes = require "lib.order"

local uuid = shape.text { format = "uuid" }
local sku = shape.text { min = 1, max = 64, doc = "stock-keeping unit" }
local time = shape.text { format = "date-time" }
local email = shape.text { format = "email", max = 254 }
local order, line, totals, STATUSES = shapes.shape, shapes.line, shapes.totals, shapes.STATUSES

local summary = shape.object {
  id = uuid, number = shape.nullable(shape.text {}), status = shape.enum(STATUSES), total = shape.money,
  created_at = time, placed_at = shape.nullable(time),
}

local OUTCOMES = { "paid", "placed", "declined", "unknown", "requires_action" }
local params = shape.object { id = uuid }
local pack = shape.text { max = 71, doc = "sha256: and the beginning of a hash, or all of it" }
local known = shape.object { outcome = shape.enum(OUTCOMES), order = order }

local changed = shape.object {
  order = uuid, number = shape.nullable(shape.text {}), status = shape.enum(STATUSES), from = shape.text {},
  at = time, reason = shape.text {}, email = email, customer = shape.nullable(uuid),
  currency = shape.text {}, totals = totals,
  lines = shape.optional(shape.list(line)), shipping_address = shape.optional(address.shape),
  shipping_method = shape.optional(shape.text {}), shipping = shape.optional(shapes.shipping),
  taxes = shape.optional(shapes.taxes), discounts = shape.optional(shapes.discounts),
  coupons = shape.optional(shapes.coupons), payment = shape.optional(shape.any),
  review = shape.optional(shape.text { doc = "why a person looks at it first" }),
  shipment = shape.optional(shape.any), ["return"] = shape.optional(shape.any { doc = "{id, lines, refund}" }),
}

return {
  name = "order",
  doc = "Orders: placed by checkout, paid, shipped, delivered or cancelled.",
  routes = {
    { method = "GET", path = "/orders", handler = "list", scope = "order:read",
      doc = "One's own orders, newest first; all of them for staff",
      query = shape.object { status = shape.optional(shape.enum(STATUSES)), customer = shape.optional(uuid),
        limit = shape.optional(shape.integer { min = 1, max = 100 }), cursor = shape.optional(uuid) },
      replies = { [200] = shape.object { items = shape.list(summary), next_cursor = shape.nullable(shape.text {}) } } },

    { method = "GET", path = "/orders/{id}", handler = "show", scope = "order:read",
      doc = "One order: its customer's, staff's, or whoever's that has its token (Fastr-Order)",
      params = params, headers = { "Fastr-Order" }, replies = { [200] = order },
      query = shape.object { explain = shape.optional(shape.enum { "full",
        doc = "every rule that was looked at, for staff" }) } },

    { method = "GET", path = "/orders/{id}/events", handler = "watch", scope = "order:read", stream = true,
      timeout_ms = 5000,
      doc = "What happens to the order, as server-sent events; Last-Event-ID goes on from there. From another origin "
        .. "read it with fetch: EventSource sends no Fastr-Order", params = params,
      headers = { "Fastr-Order", "Last-Event-ID" } },

    { method = "POST", path = "/orders/{id}/cancel", handler = "cancel", scope = "order:own", idempotency = "saga",
      replay = "shown_again", timeout_ms = 20000,
      doc = "Cancels an order that has not been shipped, or some units of it once it is paid (then with a key): stock "
        .. "goes back, and money",
      params = params, body = shape.optional(shape.object { reason = shape.optional(shape.text { max = 200 }),
        lines = shape.optional(shape.list(shape.object { sku = sku, quantity = shape.integer { min = 1, max = 9999 } },
          { min = 1, max = 1000, doc = "these units; without it all of the order" })) }),
      replies = { [200] = order } },

    { method = "POST", path = "/orders/{id}/review", handler = "review", scope = "order:review", idempotency = "saga",
      replay = "shown_again", timeout_ms = 20000, params = params,
      doc = "Staff: an order that is placed and not paid is accepted (its money is taken) or not (all is given back). "
        .. "202: accepted, and payment has not answered yet",
      body = shape.object { accept = shape.boolean, reason = shape.optional(shape.text { max = 200 }) },
      replies = { [200] = order, [202] = order } },

    { method = "POST", path = "/orders/{id}/shipments", handler = "ship", scope = "order:fulfil",
      idempotency = "transaction", doc = "Staff: the order is being packed, has left, or has arrived", params = params,
      body = shape.object { status = shape.enum { "fulfilling", "shipped", "delivered" },
        carrier = shape.optional(shape.text { max = 80 }), tracking = shape.optional(shape.text { max = 120 }) },
      replies = { [200] = order } },

    { method = "POST", path = "/orders/{id}/returns", handler = "take_back", scope = "order:own",
      idempotency = "required_saga", replay = "shown_again", timeout_ms = 20000, params = params,
      doc = "Goods came back: to the stock, and what was paid for them to the customer. Who may is a rule's to say",
      body = shape.object {
        lines = shape.list(shape.object { sku = sku, quantity = shape.integer { min = 1, max = 9999 },
          restock = shape.optional(shape.boolean { doc = "false: not fit to be sold again; true unless told" }) },
          { min = 1, max = 1000 }),
        reason = shape.optional(shape.text { max = 200 }) },
      replies = { [201] = order } },

    { internal = true, handler = "place", scope = "order:place", timeout_ms = 13000, body_bytes = 4194304,
      doc = "One attempt at buying a cart; asking again with the same attempt goes on where it stands",
      body = shape.object { cart = shape.text {}, attempt = uuid, customer = shape.optional(uuid), email = email,
        currency = shape.text { format = "currency" }, shipping_address = address.shape,
        shipping_method = shape.text {},
        names = shape.list(shape.object { sku = sku, name = shape.text {} }),
        facts = shape.any, pack = shape.text {}, expected_total = shape.money,
        expected_due = shape.optional(shape.money), reasons = shape.list(shape.any),
        gift_cards = shape.optional(shape.list(shape.object { id = uuid, last4 = shape.text {} })),
        payment_method = shape.optional(shape.text {}), token = shape.text {}, actor = shape.any },
      replies = { [200] = known } },

    { internal = true, handler = "of_cart", scope = "order:place", doc = "What became of a cart's checkout",
      body = shape.object { cart = shape.text {} },
      replies = { [200] = shape.object { in_flight = shape.boolean, outcome = shape.optional(shape.enum(OUTCOMES)),
        order = shape.optional(order) } } },

    { internal = true, handler = "customer_facts", scope = "order:facts",
      doc = "What rules may know of a customer's past",
      body = shape.object { customer = uuid, fresh = shape.optional(shape.boolean { doc = "from the primary" }) },
      replies = { [200] = shape.object { orders_placed = shape.integer { min = 0 } } } },

    { internal = true, handler = "recorded", scope = "order:recorded", timeout_ms = 20000,
      doc = "Placed orders with the facts that their prices were decided from, oldest first: what rules are proved on",
      body = shape.object { after = shape.optional(uuid), since = shape.optional(time), pack = shape.optional(pack),
        number = shape.optional(shape.text { max = 20, doc = "this order alone" }),
        part = shape.optional(shape.integer { min = 0, max = 255, doc = "this share of them alone" }),
        parts = shape.optional(shape.integer { min = 1, max = 256 }), limit = shape.integer { min = 1, max = 500 } },
      replies = { [200] = shape.object { items = shape.list(shape.object { id = uuid, number = shape.text {},
        placed_at = time, currency = shape.text {}, total = shape.integer {}, due = shape.integer {},
        pack = shape.text {}, abi = shape.integer {}, proof = shape.optional(shape.text {}),
        facts = shape.any { doc = "JSON, as a text" }, decision = shape.any { doc = "JSON, as a text" } }) } } },

    { internal = true, handler = "recorded_count", scope = "order:recorded", timeout_ms = 20000,
      doc = "How many of them there are",
      body = shape.object { since = shape.optional(time), pack = shape.optional(pack) },
      replies = { [200] = shape.object { count = shape.integer { min = 0 } } } },
  },
  produces = { order = { doc = "Everything that happens to an order", key = "order id", events = {
    ["order.placed.v1"] = changed, ["order.accepted.v1"] = changed, ["order.paid.v1"] = changed,
    ["order.fulfilling.v1"] = changed, ["order.shipped.v1"] = changed, ["order.delivered.v1"] = changed,
    ["order.cancelled.v1"] = changed, ["order.goods_returned.v1"] = changed, ["order.returned.v1"] = changed,
    ["order.units_cancelled.v1"] = changed,
    ["order.shortfall.v1"] = shape.object { order = uuid, attempt = uuid, detail = shape.text {}, at = time } } } },
  consumes = {
    { topic = "payment", doc = "what waits for a payment is looked at again", events = {
      ["payment.authorised.v1"] = "payment_moved", ["payment.captured.v1"] = "payment_ended",
      ["payment.declined.v1"] = "payment_moved", ["payment.voided.v1"] = "payment_ended" } },
    { topic = "order", broadcast = true, doc = "feeds the streams of GET /orders/{id}/events", events = {
      ["order.placed.v1"] = "stream", ["order.accepted.v1"] = "stream", ["order.paid.v1"] = "stream",
      ["order.fulfilling.v1"] = "stream", ["order.shipped.v1"] = "stream", ["order.delivered.v1"] = "stream",
      ["order.cancelled.v1"] = "stream", ["order.goods_returned.v1"] = "stream", ["order.returned.v1"] = "stream",
      ["order.units_cancelled.v1"] = "stream" } },
  },
  schedules = {
    { name = "resume", every_ms = 1000, job = "resume", one = true,
      doc = "Finishes or undoes what a crash or an unknown payment left" },
    { name = "authorisations", every_ms = 10000, job = "authorisations", one = true,
      doc = "Looks at placed orders whose authorisation is about to run out" },
    { name = "give_back", every_ms = 1000, job = "give_back", one = true,
      doc = "Gives back stock and money of returns that could not be given at once" },
    { name = "reconcile", every_ms = 600000, job = "reconcile", one = true,
      doc = "Each night: do orders, payments, the provider's book and the stock agree?" },
    { name = "abandon", every_ms = 60000, job = "abandon", one = true,
      doc = "Cancels open orders that nobody tried to pay for as long as the rules leave them open" },
  },
}
