-- payment: saved cards, attempts at payment and their ledger, the provider.

local shape = require "lib.shape"

local uuid = shape.text { format = "uuid" }
local time = shape.text { format = "date-time" }

local method = shape.object({
  id = uuid, brand = shape.text {}, last4 = shape.text { doc = "the last four digits" },
  exp_month = shape.integer {}, exp_year = shape.integer {}, created_at = time,
  expires_at = shape.optional(time, { doc = "a guest's method works until then" }),
}, { name = "PaymentMethod" })

-- What is wrong with the values of a card is said by cards.lua, all of it at once and by field.
local card = shape.object {
  number = shape.text { max = 40, doc = "12 to 19 digits; single blanks or dashes between them are left out" },
  exp_month = shape.integer { doc = "1 to 12" }, exp_year = shape.integer { doc = "four digits" },
  cvc = shape.text { max = 10, doc = "3 digits, 4 for American Express; checked, never stored" },
}

local params = shape.object { id = uuid }

-- ---- payments -----------------------------------------------------------------------------------------------------

local STATUSES = { "unknown", "requires_action", "authorised", "captured", "declined", "voided", "refunded" }
local status = shape.enum(STATUSES)
local next_action = shape.nullable(shape.any { doc = "{type, url}: where the shopper goes on" })
local reason = shape.text { max = 200, doc = "kept with it" }

local payment = shape.object({
  id = uuid, order = uuid, status = status, amount = shape.money, captured = shape.money, refunded = shape.money,
  brand = shape.text {}, last4 = shape.text {}, reason = shape.nullable(shape.text {}), next_action = next_action,
  gift_cards = shape.list(shape.object { last4 = shape.text {}, amount = shape.money, given_back = shape.money },
    { doc = "what gift cards paid beside amount, in the order in which they did" }),
  operations = shape.list(shape.object { id = shape.text {},
    kind = shape.enum { "authorise", "capture", "refund", "void" }, amount = shape.money,
    status = shape.enum { "pending", "succeeded", "failed" }, reason = shape.optional(shape.text {}), at = time }),
  created_at = time,
}, { name = "Payment" })

-- A route of staff that moves money.
local function operation(route)
  route.method, route.idempotency, route.params, route.timeout_ms = "POST", "required_saga", params, 10000
  route.replay = "operation_again"
  route.replies = { [201] = payment, [202] = payment }
  return route
end

local part = shape.optional(shape.object {
  amount = shape.optional(shape.money { min = 1, doc = "all that is left, unless told" }),
  reason = shape.optional(reason) })

local attempt = shape.object { attempt = uuid }
local known = shape.object { status = status, payment = uuid, reason = shape.nullable(shape.text {}),
  next_action = next_action, expires_at = shape.nullable(time, { doc = "of what is authorised and not captured" }),
  look_at = shape.nullable(time, { doc = "somebody is to look at it then" }),
  on_expiry = shape.nullable(shape.enum { "renew", "cancel" }) }

-- ---- gift cards ---------------------------------------------------------------------------------------------------

local gift_code = shape.text { min = 1, max = 64, doc = "as printed; blanks, dashes and case do not matter" }
local last4 = shape.text { min = 4, max = 4, format = "token", doc = "the last four characters of the code" }
local bearer = { id = uuid, last4 = last4, status = shape.enum { "active", "blocked", "expired", "empty" },
  balance = shape.money, expires_at = shape.nullable(time, { doc = "null: never" }) }

-- The fields of a gift card as its bearer sees it, with those of `more`.
local function gift_card_fields(more)
  for name, field in pairs(bearer) do more[name] = more[name] or field end
  return more
end

local gift_card = shape.object(gift_card_fields {
  initial = shape.optional(shape.money), batch = shape.optional(uuid, { doc = "those that were issued together" }),
  created_at = shape.optional(time), code = shape.optional(shape.text { doc = "in the reply that issues it alone" }),
  entries = shape.optional(shape.list(shape.object {
    kind = shape.enum { "issue", "spend", "give_back", "adjust", "expire" }, amount = shape.money { doc = "signed" },
    payment = shape.nullable(uuid), actor = shape.text {}, reason = shape.text {}, at = time },
    { doc = "the balance is their sum" })),
}, { name = "GiftCard" })

local share = shape.object { id = uuid, amount = shape.integer { min = 1 } }
local expires_at = shape.optional(shape.nullable(time), { doc = "it can be used until then; null or absent: for ever" })

local told = shape.object { payment = uuid, order = uuid, customer = shape.nullable(uuid), status = status,
  changed = shape.money { doc = "by this event" }, amount = shape.money, captured = shape.money,
  refunded = shape.money, from_gift_cards = shape.optional(shape.money { doc = "what gift cards paid beside amount" }),
  brand = shape.text {}, last4 = shape.text {}, reason = shape.text {}, at = time }

local moved = shape.object { gift_card = uuid, last4 = last4,
  kind = shape.enum { "issue", "spend", "give_back", "adjust", "expire" }, changed = shape.money { doc = "signed" },
  balance = shape.money { doc = "after it" }, payment = shape.nullable(uuid), at = time }

local page = { since = time, after = shape.optional(uuid), limit = shape.integer { min = 1, max = 200 } }
local differences = shape.list(shape.object { code = shape.text {}, text = shape.text {}, payment = shape.text {},
  order = shape.optional(uuid), repaired = shape.optional(shape.text {}) })
local account = shape.object { payment = uuid, order = uuid, status = status, amount = shape.integer {},
  currency = shape.text {}, captured = shape.integer {}, refunded = shape.integer {},
  from_gift_cards = shape.integer { doc = "what they paid, if something came of it" },
  to_gift_cards = shape.integer { doc = "what refunds gave back to them" },
  set_aside = shape.integer { doc = "authorised, and neither captured nor let go of" },
  has_work = shape.boolean { doc = "something of it is under way" },
  operations = shape.list(shape.object { kind = shape.text {}, key = shape.text {}, amount = shape.integer {},
    state = shape.enum { "requested", "succeeded", "failed" } }) }

return {
  name = "payment",
  doc = "Saved cards, gift cards; payments, captures and refunds.",
  settings = { "services.provider" },
  routes = {
    { method = "POST", path = "/payment-methods", handler = "save_method", scope = "payment_method:write",
      idempotency = "transaction", sensitive = true, replay = "saved_method", fingerprint = "same_card",
      body_bytes = 4096,
      doc = "Saves a card, encrypted; 200 if it was saved before. A guest's is for the next hour, by its id",
      body = shape.object { card = card }, replies = { [201] = method, [200] = method } },

    { method = "POST", path = "/checkout/card", root = true, form = true, handler = "save_from_page",
      scope = "payment_method:write", idempotency = "transaction", sensitive = true, body_bytes = 4096,
      doc = "The form of a card, from the shop's own page to here alone; leads back to it",
      body = shape.object { key = shape.optional(shape.text { max = 64 }), number = shape.text { max = 40 },
        exp_month = shape.text { max = 4 }, exp_year = shape.text { max = 6 }, cvc = shape.text { max = 10 } } },

    { method = "GET", path = "/payment-methods", handler = "list_methods", scope = "payment_method:read",
      doc = "One's own saved cards, oldest first",
      replies = { [200] = shape.object { items = shape.list(method) } } },

    { method = "GET", path = "/payment-methods/{id}", handler = "show_method", scope = "payment_method:read",
      params = params, doc = "One saved card: one's own, or a guest's by its id", replies = { [200] = method } },

    { method = "DELETE", path = "/payment-methods/{id}", handler = "delete_method", scope = "payment_method:write",
      idempotency = "transaction", params = params,
      doc = "Forgets a card for good; repeating it is no error", replies = { [204] = shape.any {} } },

    { method = "GET", path = "/payments/{id}", handler = "show_payment", scope = "payment:own", params = params,
      doc = "One payment: its customer's, staff's, or whoever's that has its order's token (Fastr-Order)",
      headers = { "Fastr-Order" },
      replies = { [200] = payment } },

    operation { path = "/payments/{id}/captures", handler = "capture", scope = "payment:capture", body = part,
      doc = "Staff: takes what was authorised, or a part of it. 202: not known yet, it is asked for until it is" },

    operation { path = "/payments/{id}/refunds", handler = "refund_payment", scope = "payment:refund", body = part,
      doc = "Staff: gives back what was captured, or a part of it; what the card did not pay, to the gift cards. "
        .. "202: not known yet, it is asked for until it is" },

    operation { path = "/payments/{id}/voids", handler = "void_payment", scope = "payment:void",
      body = shape.optional(shape.object { reason = shape.optional(reason) }),
      doc = "Staff: lets go of what was authorised and not captured. 202: not known yet, it is asked for until it is" },

    { method = "POST", path = "/gift-cards", handler = "issue_gift_cards", scope = "gift_card:issue",
      idempotency = "required_saga", sensitive = true, replay = "issued_again", timeout_ms = 20000,
      doc = "Staff: issues gift cards. Their codes are in this reply alone; sent again with its key, it is the same",
      body = shape.object { amount = shape.money { min = 1, doc = "on each" },
        count = shape.optional(shape.integer { min = 1, max = 1000, doc = "1 unless told" }), expires_at = expires_at,
        reason = shape.optional(reason) },
      replies = { [201] = shape.object { batch = uuid, items = shape.list(gift_card) } } },

    { method = "GET", path = "/gift-cards", handler = "list_gift_cards", scope = "gift_card:read",
      doc = "Staff: the gift cards, newest first",
      query = shape.object { last4 = shape.optional(last4), batch = shape.optional(uuid),
        limit = shape.optional(shape.integer { min = 1, max = 100 }), cursor = shape.optional(uuid) },
      replies = { [200] = shape.object { items = shape.list(gift_card), next_cursor = shape.nullable(uuid) } } },

    { method = "POST", path = "/gift-cards/balance", handler = "gift_card_balance", scope = "public",
      doc = "What is on the card whose code one has", body = shape.object { code = gift_code },
      replies = { [200] = gift_card } },

    { method = "GET", path = "/gift-cards/{id}", handler = "show_gift_card", scope = "public", params = params,
      doc = "What is on a card, to who was told its id; to staff, with every entry", replies = { [200] = gift_card } },

    { method = "PATCH", path = "/gift-cards/{id}", handler = "change_gift_card", scope = "gift_card:write",
      idempotency = "transaction", params = params,
      doc = "Staff: blocks a card, lets it be used again, or changes until when it can be",
      body = shape.object { status = shape.optional(shape.enum { "active", "blocked" }), expires_at = expires_at },
      replies = { [200] = gift_card } },

    { method = "POST", path = "/gift-cards/{id}/adjustments", handler = "adjust_gift_card", scope = "gift_card:write",
      idempotency = "required_transaction", params = params,
      doc = "Staff: puts money on a card or takes it off, with a reason; never below nothing",
      body = shape.object { amount = shape.money { doc = "signed" }, reason = shape.text { min = 1, max = 200 } },
      replies = { [200] = gift_card } },

    { method = "POST", path = "/webhooks/test", handler = "test_webhook", scope = "public", credentials = false,
      doc = "News of the payment provider `test`, signed in Provider-Signature; 204 ends their delivery",
      replies = { [204] = shape.any {} } },

    { internal = true, handler = "authorise", scope = "payment:authorise", timeout_ms = 8000,
      doc = "One attempt at paying an order; asking again is asking once",
      body = shape.object { order = uuid, attempt = uuid,
        amount = shape.integer { min = 0, doc = "of the payment method; 0: gift cards pay all of it" },
        currency = shape.text { format = "currency" }, payment_method = shape.optional(shape.text { max = 64 }),
        gift_cards = shape.optional(shape.list(share, { max = 100, doc = "in the order in which they pay" })),
        verdict = shape.enum { "accept", "review", doc = "of the rules on the order" },
        renewals = shape.optional(shape.integer { min = 0, doc = "authorisations of the order that ran out before" }),
        customer = shape.optional(uuid) },
      replies = { [200] = known } },

    { internal = true, handler = "method_facts", scope = "payment:authorise",
      doc = "What rules may know of a saved card, before it is charged",
      body = shape.object { payment_method = uuid, customer = shape.optional(uuid) },
      replies = { [200] = shape.object { brand = shape.text {}, saved = shape.boolean,
        declined = shape.integer { doc = "attempts with it that were declined within a day" } } } },

    { internal = true, handler = "look_up", scope = "payment:authorise", body = attempt, replies = { [200] = known },
      doc = "How an attempt stands; what is not decided is asked about" },

    { internal = true, handler = "take", scope = "payment:authorise", body = attempt, replies = { [200] = known },
      doc = "Captures what an attempt has set aside; asking again is asking once" },

    { internal = true, handler = "accounts", scope = "payment:authorise", doc = "What orders' payments come to",
      body = shape.object { orders = shape.list(uuid, { max = 200 }) },
      replies = { [200] = shape.object { items = shape.list(account) } } },

    { internal = true, handler = "compare", scope = "payment:authorise", timeout_ms = 60000,
      doc = "Payments beside the provider's book, a page of them; repair takes in what only the provider knows",
      body = shape.object { since = page.since, after = page.after, limit = page.limit,
        now = shape.optional(shape.boolean { doc = "also what has just changed" }),
        repair = shape.optional(shape.boolean) },
      replies = { [200] = shape.object { differences = differences, accounts = shape.list(account),
        next = shape.optional(uuid) } } },

    { internal = true, handler = "strangers", scope = "payment:authorise", timeout_ms = 60000,
      doc = "Charges of the provider that no payment stands for, a page of its book", body = shape.object(page),
      replies = { [200] = shape.object { differences = differences, next = shape.optional(uuid) } } },

    { internal = true, handler = "void", scope = "payment:authorise", body = attempt, replies = { [200] = known },
      doc = "Keeps nothing of an attempt, also if it only comes later; done when it is voided, refunded or declined" },

    { internal = true, handler = "refund", scope = "payment:refund",
      doc = "Gives back a part of a payment, once for each key",
      body = shape.object { payment = uuid, key = shape.text { min = 1, max = 100, format = "token" },
        amount = shape.integer { min = 1 }, reason = shape.optional(reason) },
      replies = { [200] = shape.object { status = shape.enum { "succeeded", "pending" },
        amount = shape.integer {} } } },
  },
  produces = { payment = { doc = "What became of attempts at payment, of their money, and of that on gift cards",
    key = "payment id, or gift card id", events = { ["payment.gift_card_moved.v1"] = moved,
    ["payment.authorised.v1"] = told, ["payment.captured.v1"] = told, ["payment.declined.v1"] = told,
    ["payment.voided.v1"] = told, ["payment.refunded.v1"] = told } } },
  schedules = {
    { name = "resolve", every_ms = 1000, job = "resolve", one = true,
      doc = "Finds out what is unknown, and finishes what was asked for and not answered" },
    { name = "shred_guests", every_ms = 60000, job = "shred_guests", one = true,
      doc = "Forgets guests' cards whose hour is over" },
  },
}
