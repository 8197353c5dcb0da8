-- fastr rules explain: why an order, a cart or facts cost what they do: every rule, applied or not, and why not; as who
-- supports the customer reads it, as the customer does, or as JSON.

local explain = require "lib.explain"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules explain CART|ORDER|FACTS.json [--for support|customer] [--json] [--with DIR|sha256:HASH]",
  "                    [--orders FILE]",
  "    why it costs what it does. An order by the rules that decided it, a cart by the live ones, a file of facts by",
  "    those on disk, or any by others (--with). --for customer: what he saved, and what more would save him",
}

local array = fastr.json.array
local CART_ID = 22 -- characters: 128 bits in base64url

-- ---- what is explained --------------------------------------------------------------------------------------------

local function of_file(path, text)
  local facts, message = fastr.json.decode(text)
  if type(facts) ~= "table" then return nil, path .. ": " .. (message or "facts are an object") end
  return { kind = "facts", id = path, facts = facts, title = path }
end

local function of_cart(id)
  local reply, message = recorded.cart(id)
  if not reply then return nil, message end
  return { kind = "cart", id = id, facts = reply.facts, source = reply.pack,
    title = ("cart %s..., version %d"):format(id:sub(1, 6), reply.version) }
end

local function of_order(number, path)
  local order, message = recorded.find(number, path)
  if not order then return nil, message end
  return { kind = "order", id = order.number, facts = order.facts, source = order.pack,
    title = ("order %s, placed %s"):format(order.number, order.placed_at) }
end

-- { kind, id, facts, source = of the pack or nil, title }, or nil and why not.
local function subject_of(given)
  if given.what:find("^%d+$") then return of_order(given.what, given.orders) end
  local text, message = options.text(given.what)
  if text then return of_file(given.what, text) end
  if #given.what == CART_ID and given.what:find("^[%w_-]+$") then return of_cart(given.what) end
  return nil, ("'%s' is no order's number, no cart's id and no file (%s)"):format(given.what, message)
end

-- ---- the explanation ----------------------------------------------------------------------------------------------

-- What spending more would give: free delivery, then promotions. Nothing of an order: it is placed.
local function thresholds(subject, pack, decision)
  if subject.kind == "order" then return array {} end
  local facts = subject.facts
  local list, chosen = array {}, facts.shipping and facts.shipping[1]
  local answer = pack:decide("shipping.options", facts)
  local option = answer and explain.free_option(answer.options, chosen and chosen.method)
  if option then
    list[1] = { kind = "free_shipping", method = option.method, missing = option.missing_for_free,
      detail = explain.free_delivery(option, facts.currency) }
  end
  for _, each in ipairs(explain.thresholds(decision.trace, facts.currency)) do list[#list + 1] = each end
  return list
end

-- Everything there is to say: { kind, id, pack, now, currency, total, lines, shipping, coupons, discounts, thresholds,
-- rules = the trace, each with its `text` }; or nil and why the pack cannot decide it.
local function explained(subject, pack)
  local decision, message = pack:decide("price.cart", subject.facts, { explain = "full" })
  if not decision then return nil, message end
  local rules = array {}
  for i, entry in ipairs(decision.trace) do
    rules[i] = entry
    entry.text = explain.entry(entry, decision.currency)
  end
  return { kind = subject.kind, id = subject.id, pack = pack:hash(), now = subject.facts.now,
    currency = decision.currency, total = decision.total, tax_total = decision.tax_total,
    tax_included_total = decision.tax_included_total, lines = array(decision.lines),
    shipping = array(decision.shipping), coupons = array(decision.coupons),
    discounts = array(explain.discounts(decision.trace, decision.currency)),
    thresholds = thresholds(subject, pack, decision), rules = rules }
end

-- ---- in words -----------------------------------------------------------------------------------------------------

local function show_lines(facts, said)
  for i, line in ipairs(said.lines) do
    local list, off, currency = facts.lines[i], line.subtotal - line.total, said.currency
    print(("  %-12s %5d x %8s  %10s%s"):format(line.sku, line.quantity, words.amount(line.unit_price, currency),
      words.amount(line.total, currency), off > 0 and ("   %s off"):format(words.amount(off, currency)) or ""))
    if list.unit_price and list.unit_price ~= line.unit_price then
      print(("  %-12s list price %s"):format("", words.amount(list.unit_price, currency)))
    end
  end
end

-- What each line got of an applied rule: "84077 -18.20, 85123A -2.55".
local function shares(entry, said)
  local parts = {}
  for i, number in ipairs(entry.lines or {}) do
    parts[#parts + 1] = ("%s %s"):format(said.lines[number].sku, words.amount(-entry.amounts[i], said.currency))
  end
  if #parts > 4 then return ("%d lines"):format(#parts) end
  return table.concat(parts, ", ")
end

local function show_rules(said)
  for _, entry in ipairs(said.rules) do
    local applied = entry.outcome == "applied" and entry.lines
    print(("  %-32s %s%s"):format(entry.rule or "", entry.text, applied and "   " .. shares(entry, said) or ""))
  end
end

local audience = {}

function audience.support(subject, said)
  local currency = said.currency
  print(("%s: %s %s by rules %s, decided with the facts of %s"):format(subject.title,
    words.amount(said.total, currency), currency, words.hash(said.pack), said.now))
  show_lines(subject.facts, said)
  show_rules(said)
  for _, coupon in ipairs(said.coupons) do
    print(("  coupon %-25s %s"):format(coupon.code, coupon.accepted and "accepted" or "refused: " .. coupon.reason))
  end
  for _, shipment in ipairs(said.shipping) do
    print(("  shipping %-23s %s"):format(shipment.method, words.amount(shipment.total, currency)))
  end
  print(("  tax included %s, added %s"):format(words.amount(said.tax_included_total, currency),
    words.amount(said.tax_total, currency)))
end

function audience.customer(_, said)
  for _, list in ipairs { said.discounts, said.thresholds } do
    for _, each in ipairs(list) do print(each.detail) end
  end
  print(("Total %s %s"):format(words.amount(said.total, said.currency), said.currency))
end

-- ---- the command --------------------------------------------------------------------------------------------------

local FLAGS = { with = true, orders = true, json = false, ["for"] = true }

function M.main(arguments)
  local given, message = options.read(arguments, { "what" }, FLAGS)
  if not given then return nil, message end
  if not given.what then return nil, "an order's number, a cart's id or a file of facts is needed" end
  local show = audience[given["for"] or "support"]
  if not show then return nil, "--for: support or customer, not '" .. given["for"] .. "'" end
  local subject, pack, said
  subject, message = subject_of(given)
  if not subject then return false, message end
  pack, message = packs.open(given.with or subject.source)
  if not pack then return false, message end
  said, message = explained(subject, pack)
  if not said then return false, message end
  if given.json then print(fastr.json.encode(said)) else show(subject, said) end
  return true
end

return M
