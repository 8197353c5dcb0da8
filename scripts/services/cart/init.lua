-- cart: what a shopper means to buy, priced by the rules on every view, and its way to an order.

local shape = require "lib.shape"
local address = require "lib.address"
local order_shapes = require "lib.order"

local id = shape.text { min = 22, max = 22, format = "token", doc = "a capability: who has it may use the cart" }
local sku = shape.text { min = 1, max = 64, doc = "stock-keeping unit" }
-- What a decision can take: a line's price must be exact. How many may be bought is the rule cart.accept's to say.
local quantity = shape.integer { min = 1, max = 9999, doc = "units" }
local code = shape.text { min = 1, max = 64, doc = "coupon code, as entered: its case matters" }
local method = shape.text { min = 1, max = 40, doc = "one of GET /carts/{id}/shipping-options" }
local email = shape.text { format = "email", max = 254, doc = "where the order's mails go" }
local uuid = shape.text { format = "uuid" }

local line = order_shapes.line_with {
  lowest_price_30d = shape.nullable(shape.money { doc = "where everybody's price is reduced: the product's" }),
  available = shape.integer { doc = "units that could be had now" },
}

local cart = shape.object({
  id = id, version = shape.integer { doc = "grows with every change; the ETag" },
  state = shape.enum { "open", "paying", "done" },
  currency = shape.text { format = "currency" }, email = shape.nullable(email), customer = shape.nullable(uuid),
  lines = shape.list(line), shipping_address = shape.nullable(address.shape), shipping_method = shape.nullable(method),
  shipping = order_shapes.shipping, taxes = order_shapes.taxes, totals = order_shapes.totals,
  discounts = order_shapes.discounts, coupons = order_shapes.coupons,
  gift_cards = shape.list(shape.object { id = uuid, last4 = shape.text {}, accepted = shape.boolean,
    reason = shape.optional(shape.text { doc = "why it pays nothing" }),
    amount = shape.money { doc = "what it pays of this cart" }, balance = shape.optional(shape.money),
    expires_at = shape.nullable(shape.text { format = "date-time" }) },
    { doc = "in the order in which they pay: those that expire first, then as entered" }),
  problems = shape.list(shape.object { code = shape.text {}, detail = shape.text { doc = "for people" },
    sku = shape.optional(sku), coupon = shape.optional(code), reason = shape.optional(shape.text {}),
    gift_card = shape.optional(uuid),
    available = shape.optional(shape.integer {}), quantity = shape.optional(shape.integer {}),
    from = shape.optional(shape.money), to = shape.optional(shape.money) },
    { doc = "what stands against buying this now" }),
  thresholds = shape.list(shape.object { kind = shape.enum { "free_shipping", "promotion" },
    method = shape.optional(shape.text {}), promotion = shape.optional(shape.text {}),
    missing = shape.optional(shape.money { doc = "to spend on top" }),
    missing_units = shape.optional(shape.integer { doc = "to buy on top" }),
    of = shape.optional(shape.text { doc = "what to buy: a category, articles, or the cart" }),
    detail = shape.text { doc = "for people" } }, { doc = "what a little more would give" }),
  rules = shape.object { pack = shape.text { doc = "hash of the rules that priced it" },
    abi = shape.optional(shape.integer {}), trace = shape.optional(shape.any) },
  order = shape.nullable(uuid, { doc = "what it became" }),
}, { name = "Cart" })

local rules_code = shape.text { min = 1, max = 64, doc = "the code that a promotion of the rules has" }
local limit_per_customer = shape.optional(shape.nullable(shape.integer { min = 1, max = 1000000000 },
  { doc = "uses of a code by one account or e-mail; null or absent: no limit" }))
local coupon = shape.object({
  code = code, coupon = rules_code, batch = shape.nullable(uuid, { doc = "with which it was issued" }),
  limit = shape.nullable(shape.integer {}), limit_per_customer = shape.nullable(shape.integer {}),
  used = shape.integer { doc = "uses so far, those of checkouts under way included" },
}, { name = "Coupon" })

local batch = shape.object({
  id = uuid, coupon = rules_code, prefix = shape.nullable(shape.text {}), count = shape.integer { doc = "codes in it" },
  limit = shape.nullable(shape.integer {}, { doc = "uses of each code" }),
  limit_per_customer = shape.nullable(shape.integer {}), blocked = shape.boolean,
  created_at = shape.text { format = "date-time" },
}, { name = "CouponBatch" })

local promotion_use = shape.object({
  promotion = shape.text { doc = "its id in the rules" }, coupon = shape.nullable(rules_code),
  used = shape.integer { doc = "uses so far, those of checkouts under way included" },
  limit = shape.nullable(shape.integer {}), limit_per_customer = shape.nullable(shape.integer {}),
  spent = shape.money { doc = "what it took off in these" }, budget = shape.nullable(shape.money),
}, { name = "PromotionUse" })

local new_line = shape.object { sku = sku, quantity = quantity }
local explain = shape.object {
  explain = shape.optional(shape.enum { "full", doc = "adds the trace of every rule considered" }) }
local params, line_params = shape.object { id = id }, shape.object { id = id, sku = sku }
local declined = shape.any { doc = "payment_declined: with order, order_token and reason" }

-- A route that changes a cart: its products' facts are fetched before the cart is locked.
local function change(route)
  route.scope, route.idempotency, route.prepare = "public", "transaction", route.prepare or "prepare"
  route.params, route.headers, route.replies = route.params or params, { "If-Match" }, { [200] = cart }
  return route
end

return {
  name = "cart",
  doc = "Carts, priced by the rules, and checkout.",
  routes = {
    { method = "POST", path = "/carts", handler = "create", scope = "public", idempotency = "transaction",
      doc = "A new, empty cart; a signed-in shopper's own",
      body = shape.optional(shape.object { currency = shape.optional(shape.text { format = "currency" }) }),
      replies = { [201] = cart } },

    { method = "GET", path = "/carts/{id}", handler = "show", scope = "public", doc = "The cart, priced now",
      params = params, query = explain, replies = { [200] = cart } },

    change { method = "PATCH", path = "/carts/{id}", handler = "patch",
      doc = "Sets e-mail, address or shipping method; null takes it away",
      body = shape.object { email = shape.optional(shape.nullable(email)),
        shipping_address = shape.optional(shape.nullable(address.shape)),
        shipping_method = shape.optional(shape.nullable(method)) } },

    change { method = "POST", path = "/carts/{id}/claim", handler = "claim", prepare = "prepare_claim",
      doc = "Makes an anonymous cart the signed-in shopper's; his other open carts go into it, their ids lead here" },

    change { method = "POST", path = "/carts/{id}/lines", handler = "add_lines", prepare = "prepare_lines",
      doc = "Adds a line or a list of them; to a line that is there already its units are added", body_bytes = 262144,
      body = shape.one_of { new_line, shape.list(new_line, { min = 1, max = 1000 }) } },

    change { method = "PATCH", path = "/carts/{id}/lines/{sku}", handler = "set_line",
      doc = "Sets the quantity of a line", params = line_params, body = shape.object { quantity = quantity } },

    change { method = "DELETE", path = "/carts/{id}/lines/{sku}", handler = "remove_line", doc = "Takes a line out",
      params = line_params },

    { method = "GET", path = "/carts/{id}/shipping-options", handler = "shipping_options", scope = "public",
      doc = "How it can be sent, and what that costs", params = params,
      replies = { [200] = shape.object { items = shape.list(shape.object { method = method, name = shape.text {},
        fee = shape.money }), next_cursor = shape.nullable(shape.text {}, { doc = "null: this is all" }) } } },

    change { method = "POST", path = "/carts/{id}/coupons", handler = "add_coupon", prepare = "prepare_coupon",
      doc = "Enters a coupon code; one that does not apply is refused with its reason",
      body = shape.object { code = code } },

    change { method = "DELETE", path = "/carts/{id}/coupons/{code}", handler = "remove_coupon",
      doc = "Takes a coupon code out", params = shape.object { id = id, code = code } },

    change { method = "POST", path = "/carts/{id}/gift-cards", handler = "add_gift_card", prepare = "prepare_gift_card",
      doc = "Lets a gift card pay as much of the total as is on it; one that cannot pay is refused with its reason",
      body = shape.object { code = shape.text { min = 1, max = 64, doc = "as printed; it is not kept" } } },

    change { method = "DELETE", path = "/carts/{id}/gift-cards/{card}", handler = "remove_gift_card",
      doc = "Takes a gift card out, by its id in the cart", params = shape.object { id = id, card = uuid } },

    { method = "PUT", path = "/coupons/{code}", handler = "put_coupon", scope = "coupon:write",
      idempotency = "transaction", params = { code = code },
      doc = "Staff: issues a code, or changes how often it may be used; what it gives is a rule's with that code",
      body = shape.object {
        limit = shape.optional(shape.nullable(shape.integer { min = 0, max = 1000000000 },
          { doc = "uses altogether; null or absent: no limit; 0 stops it" })),
        limit_per_customer = limit_per_customer },
      replies = { [200] = coupon, [201] = coupon } },

    { method = "GET", path = "/coupons/{code}", handler = "show_coupon", scope = "coupon:read",
      doc = "Staff: an issued code and how often it was used", params = { code = code }, replies = { [200] = coupon } },

    { method = "GET", path = "/coupons", handler = "list_coupons", scope = "coupon:read",
      doc = "Staff: the issued codes, by code; of one batch with batch=",
      query = shape.object { batch = shape.optional(uuid), limit = shape.optional(shape.integer { min = 1, max = 100 }),
        cursor = shape.optional(shape.text { min = 1, max = 200, doc = "next_cursor of the page before" }) },
      replies = { [200] = shape.object { items = shape.list(coupon), next_cursor = shape.nullable(shape.text {}) } } },

    { method = "GET", path = "/promotion-uses", handler = "promotion_uses", scope = "coupon:read",
      doc = "Staff: the promotions in force that have limits, how often they were used and what they gave",
      replies = { [200] = shape.object { items = shape.list(promotion_use),
        next_cursor = shape.nullable(shape.text {}, { doc = "null: this is all" }) } } },

    { method = "POST", path = "/coupon-batches", handler = "issue", scope = "coupon:write",
      idempotency = "transaction", doc = "Staff: issues codes that nobody can guess, for one promotion",
      body = shape.object { coupon = rules_code, count = shape.integer { min = 1, max = 10000, doc = "codes" },
        prefix = shape.optional(shape.text { min = 1, max = 20, format = "token", doc = "what each begins with" }),
        limit = shape.optional(shape.nullable(shape.integer { min = 1, max = 1000000000 },
          { doc = "uses of each code; absent: 1; null: no limit" })),
        limit_per_customer = limit_per_customer },
      replies = { [201] = batch } },

    { method = "GET", path = "/coupon-batches", handler = "list_batches", scope = "coupon:read",
      doc = "Staff: the batches of codes, the newest first",
      query = shape.object { limit = shape.optional(shape.integer { min = 1, max = 100 }),
        cursor = shape.optional(uuid) },
      replies = { [200] = shape.object { items = shape.list(batch), next_cursor = shape.nullable(shape.text {}) } } },

    { method = "GET", path = "/coupon-batches/{id}", handler = "show_batch", scope = "coupon:read",
      doc = "Staff: a batch of codes", params = { id = uuid }, replies = { [200] = batch } },

    { method = "PATCH", path = "/coupon-batches/{id}", handler = "change_batch", scope = "coupon:write",
      idempotency = "transaction", doc = "Staff: stops all codes of a batch, or lets them be used again",
      params = { id = uuid }, body = shape.object { blocked = shape.boolean }, replies = { [200] = batch } },

    { method = "GET", path = "/coupon-batches/{id}/codes", handler = "export_batch", scope = "coupon:read",
      doc = "Staff: a batch's codes and their uses as CSV; the header Link leads to the next page",
      params = { id = uuid },
      query = shape.object { limit = shape.optional(shape.integer { min = 1, max = 10000 }),
        cursor = shape.optional(shape.text { min = 1, max = 200 }) } },

    { method = "POST", path = "/carts/{id}/checkout", handler = "checkout", replay = "replay_checkout",
      scope = "public", idempotency = "required_saga",
      doc = "Buys the cart for expected_total. After 402 declined or 202 unknown the order stays open: check out again",
      timeout_ms = 15000, params = params, headers = { "If-Match" },
      body = shape.object {
        payment_method = shape.optional(shape.text { format = "uuid", doc = "its id; not for a total of 0" }),
        expected_total = shape.money { doc = "totals.total of the view that the shopper agreed to" },
        expected_due = shape.optional(shape.money { doc = "totals.due of it; required of a cart with gift cards" }),
        email = shape.optional(email), shipping_address = shape.optional(address.shape),
        shipping_method = shape.optional(method) },
      replies = { [201] = order_shapes.shape, [202] = order_shapes.shape, [402] = declined } },

    { internal = true, handler = "settle", scope = "cart:settle",
      doc = "Order's last word on a checkout: done, or open again",
      body = shape.object { cart = id, order = uuid, outcome = shape.enum { "done", "open" },
        attempt = shape.optional(uuid) },
      replies = { [200] = shape.object { state = shape.text {} } } },

    { internal = true, handler = "facts", scope = "cart:facts",
      doc = "The facts that a cart's price is decided from now: what `fastr rules explain` asks",
      body = shape.object { cart = id },
      replies = { [200] = shape.object { facts = shape.any, version = shape.integer {}, pack = shape.text {} } } },
  },
  produces = { cart = { doc = "A cart became an order", key = "order id", events = {
    ["cart.checked_out.v1"] = shape.object { order = uuid } } } },
  schedules = {
    { name = "heal", every_ms = 15000, job = "heal", one = true,
      doc = "Opens or ends carts whose checkout died before it could; their coupons come back" },
    { name = "expire", every_ms = 600000, job = "expire", one = true,
      doc = "Deletes anonymous and merged carts that nobody has touched for 30 days" },
  },
}
