-- fastr rules explain: why an order, or a cart's facts, cost what they do: every rule, applied or not, and why not.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules explain ORDER_NUMBER|FACTS.json [--with DIR|sha256:HASH] [--orders FILE]",
  "    why it costs what it does, rule by rule; an order by the rules that decided it, or by others (--with)",
}

-- { facts, source of the pack, title }, or nil and why not.
local function subject_of(given)
  local text = not given.what:match("^%d+$") and options.text(given.what)
  if text then
    local facts, message = fastr.json.decode(text)
    if type(facts) ~= "table" then return nil, given.what .. ": " .. (message or "facts are an object") end
    return { facts = facts, source = given.with, title = given.what }
  end
  local order, message = recorded.find(given.what, given.orders)
  if not order then return nil, message end
  return { facts = order.facts, source = given.with or order.pack,
    title = ("order %s, placed %s"):format(order.number, order.placed_at) }
end

local function show_lines(facts, decision)
  for i, line in ipairs(decision.lines) do
    local list = facts.lines[i]
    local off = line.subtotal - line.total
    local currency = decision.currency
    print(("  %-12s %5d x %8s  %10s%s"):format(line.sku, line.quantity, words.amount(line.unit_price, currency),
      words.amount(line.total, currency), off > 0 and ("   %s off"):format(words.amount(off, currency)) or ""))
    if list.unit_price and list.unit_price ~= line.unit_price then
      print(("  %-12s list price %s"):format("", words.amount(list.unit_price, currency)))
    end
  end
end

-- What each line got of an applied rule: "84077 -18.20, 85123A -2.55".
local function shares(entry, decision)
  local parts = {}
  for i, number in ipairs(entry.lines or {}) do
    parts[#parts + 1] = ("%s %s"):format(decision.lines[number].sku,
      words.amount(-entry.amounts[i], decision.currency))
  end
  if #parts > 4 then return ("%d lines"):format(#parts) end
  return table.concat(parts, ", ")
end

local function show_trace(decision)
  for _, entry in ipairs(decision.trace) do
    local applied = entry.outcome == "applied" and entry.lines
    print(("  %-32s %s%s"):format(entry.rule, words.entry(entry, decision.currency),
      applied and "   " .. shares(entry, decision) or ""))
  end
end

local function show(subject, decision, pack)
  local currency = decision.currency
  print(("%s: %s %s by rules %s"):format(subject.title, words.amount(decision.total, currency), currency,
    words.hash(pack:hash())))
  show_lines(subject.facts, decision)
  show_trace(decision)
  for _, coupon in ipairs(decision.coupons) do
    print(("  coupon %-25s %s"):format(coupon.code, coupon.accepted and "accepted" or "refused: " .. coupon.reason))
  end
  for _, shipment in ipairs(decision.shipping) do
    print(("  shipping %-23s %s"):format(shipment.method, words.amount(shipment.total, currency)))
  end
  print(("  tax included %s, added %s"):format(words.amount(decision.tax_included_total, currency),
    words.amount(decision.tax_total, currency)))
end

function M.main(arguments)
  local given, message = options.read(arguments, { "what" }, { with = true, orders = true })
  if not given then return nil, message end
  if not given.what then return nil, "an order's number or a file of facts is needed" end
  local subject, pack, decision
  subject, message = subject_of(given)
  if not subject then return false, message end
  pack, message = packs.open(subject.source)
  if not pack then return false, message end
  decision, message = pack:decide("price.cart", subject.facts, { explain = "full" })
  if not decision then return false, message end
  show(subject, decision, pack)
  return true
end

return M
