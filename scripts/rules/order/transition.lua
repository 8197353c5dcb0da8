-- order.transition: the one table of an order's life: from which status it may become which, by whom, until when, and
-- what lies between.

local shape = require "engine.shape"
local window = require "engine.window"

local DAY_MS = 86400 * 1000
local RETURN_DAYS = 365 -- from when it was placed
local REFUNDS_SHIPPING = false -- with the last of the goods

local ANYONE = { service = true, staff = true, customer = true, guest = true }
local STAFF = { service = true, staff = true }

local TABLE = {
  placing = { placed = STAFF, paid = STAFF, cancelled = ANYONE, failed = STAFF },
  placed = { paid = STAFF, cancelled = ANYONE },
  paid = { fulfilling = STAFF, shipped = STAFF, cancelled = ANYONE },
  fulfilling = { shipped = STAFF, cancelled = STAFF },
  shipped = { delivered = STAFF, returned = STAFF },
  delivered = { returned = STAFF },
  returned = {},
  cancelled = {},
  failed = {},
}

-- Leaving takes packing for granted.
local VIA = { paid = { shipped = { "fulfilling" } } }

local function is_too_late(facts)
  local placed_at = facts.order and facts.order.placed_at
  if facts.to ~= "returned" or not placed_at or not facts.now then return false end
  return window.time(facts.now, "now") - window.time(placed_at, "order.placed_at") > RETURN_DAYS * DAY_MS
end

local function decide(facts)
  local from = rawget(TABLE, facts.from)
  if not from then return { allow = false, reason = ("There is no status '%s'"):format(facts.from) } end
  local who = rawget(from, facts.to)
  if not who then
    return { allow = false, reason = ("An order that is %s cannot become %s"):format(facts.from, facts.to) }
  end
  if not rawget(who, facts.who) then
    return { allow = false, reason = ("A %s may not make a %s order %s"):format(facts.who, facts.from, facts.to) }
  end
  if is_too_late(facts) then
    return { allow = false, reason = ("Goods are taken back for %d days"):format(RETURN_DAYS) }
  end
  local via = rawget(VIA, facts.from)
  return { allow = true, via = via and rawget(via, facts.to),
    refund_shipping = facts.to == "returned" and facts.all_back and REFUNDS_SHIPPING or nil }
end

return {
  doc = "May an order's status change so? allow, or a reason.", file = "order/transition",
  facts = shape.object { from = shape.text(), to = shape.text(), who = shape.text(),
    now = shape.optional(shape.time), all_back = shape.optional(shape.boolean()),
    order = shape.optional(shape.object { total = shape.count(), currency = shape.text(),
      placed_at = shape.optional(shape.time), review = shape.optional(shape.boolean()) }) },
  breach = { allow = false, reason = "The rules could not decide in time" },
  answer = shape.object { allow = shape.boolean(), reason = shape.optional(shape.text()),
    via = shape.optional(shape.list(shape.text(), { max = 5 })), refund_shipping = shape.optional(shape.boolean()) },
  decide = decide,
  examples = {
    { "payment", facts = { from = "placed", to = "paid", who = "service" }, answer = { allow = true } },
    { "a customer changes his mind", facts = { from = "paid", to = "cancelled", who = "customer" },
      answer = { allow = true } },
    { "leaving takes packing for granted", facts = { from = "paid", to = "shipped", who = "staff" },
      answer = { allow = true, via = { "fulfilling" } } },
    { "goods that come back", facts = { from = "delivered", to = "returned", who = "staff",
        now = "2027-11-01T00:00:00Z",
        order = { total = 100, currency = "GBP", placed_at = "2026-11-23T12:00:00Z" } }, answer = { allow = true } },
    { "after more than a year", facts = { from = "delivered", to = "returned", who = "staff",
        now = "2027-11-24T12:00:00Z", order = { total = 100, currency = "GBP", placed_at = "2026-11-23T12:00:00Z" } },
      answer = { allow = false, reason = "Goods are taken back for 365 days" } },
    { "too late", facts = { from = "shipped", to = "cancelled", who = "customer" }, answer = { allow = false } },
    { "not by oneself", facts = { from = "paid", to = "shipped", who = "customer" }, answer = { allow = false } },
  },
}
