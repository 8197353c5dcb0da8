-- order.transition: the one table of an order's life: from which status it may become which, and by whom.

local shape = require "engine.shape"

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
  return { allow = true }
end

return {
  doc = "May an order's status change so? allow, or a reason.", file = "order/transition",
  facts = shape.object { from = shape.text(), to = shape.text(), who = shape.text(),
    order = shape.optional(shape.any()) },
  answer = shape.object { allow = shape.boolean(), reason = shape.optional(shape.text()) },
  decide = decide,
  examples = {
    { "payment", facts = { from = "placed", to = "paid", who = "service" }, answer = { allow = true } },
    { "a customer changes his mind", facts = { from = "paid", to = "cancelled", who = "customer" },
      answer = { allow = true } },
    { "too late", facts = { from = "shipped", to = "cancelled", who = "customer" }, answer = { allow = false } },
    { "not by oneself", facts = { from = "paid", to = "shipped", who = "customer" }, answer = { allow = false } },
  },
}
