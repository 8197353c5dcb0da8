-- fastr rules try: what a cart would cost by the rules on disk, beside what is live, and why.

local catalogue = require "services.rules.catalogue"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules try SKU[*QUANTITY] ... [--at TIME] [--as GROUP] [--orders N] [--coupon CODE] [--zone ZONE]",
  "                [--ship METHOD] [--with DIR]",
  "    prices a cart of the catalogue by the draft (DIR, default the rules on disk) beside what is live, rule by rule",
}

local array = fastr.json.array

local function line_of(word)
  local sku, quantity = word:match("^(.-)%*(%d+)$")
  local product = catalogue.find(sku or word)
  if not product then return nil, "there is no product '" .. (sku or word) .. "' in the catalogue" end
  return { sku = product.sku, quantity = tonumber(quantity or 1), unit_price = product.price,
    categories = array(product.categories), tax_category = "standard" }, product.name
end

-- "2026-11-27T12:00Z" is taken as it is meant.
local function time_of(text)
  if not text then return fastr.time.now() end
  text = text:gsub("^(%d+-%d+-%d+)$", "%1T00:00Z"):gsub("T(%d%d:%d%d)(Z)$", "T%1:00%2")
  if not fastr.time.parse(text) then return nil, "--at: a time as 2026-11-27T12:00Z is expected" end
  return text
end

-- Facts of price.cart, and the products' names; nil and what is wrong.
local function facts_of(given)
  local now, message = time_of(given.at)
  if not now then return nil, message end
  local facts, names = { currency = "GBP", now = now, zone = given.zone or "GB", lines = array {} }, {}
  for i, word in ipairs(given.rest) do
    facts.lines[i], names[i] = line_of(word)
    if not facts.lines[i] then return nil, names[i] end
  end
  if given.as or given.orders then facts.customer = { group = given.as, orders_placed = tonumber(given.orders) } end
  if given.coupon then facts.coupons = array { given.coupon } end
  return facts, names
end

-- The facts with the fee of the method as this pack has it.
local function with_shipping(pack, facts, method)
  local answer, message = pack:decide("shipping.options", facts)
  if not answer then return nil, message end
  local all = {}
  for key, value in pairs(facts) do all[key] = value end
  for _, option in ipairs(answer.options) do
    if not method or option.method == method then
      all.shipping = array { { method = option.method, fee = option.fee, tax_category = option.tax_category } }
      return all
    end
  end
  return nil, "no shipping method '" .. tostring(method) .. "' for this cart"
end

local function price(pack, facts, method)
  local all, message = with_shipping(pack, facts, method)
  if not all then return nil, message end
  return pack:decide("price.cart", all, { explain = "full" })
end

-- ---- showing ------------------------------------------------------------------------------------------------------

local function row(label, draft, live)
  if not live then return print(("%-44.44s  %s"):format(label, draft)) end
  print(("%-44.44s  %-38s  %s%s"):format(label, draft, live, draft ~= live and "   <-" or ""))
end

-- Entries by rule and stage, in the order of the first trace, then what only the second has.
local function aligned(draft, live)
  local list, at = {}, {}
  local function add(trace, side)
    for _, entry in ipairs(trace) do
      local key = entry.rule .. " " .. (entry.stage or "")
      if not at[key] then
        at[key] = { label = entry.rule }
        list[#list + 1] = at[key]
      end
      at[key][side] = entry
    end
  end
  add(draft.trace, "draft")
  add(live and live.trace or {}, "live")
  return list
end

local function show(facts, names, draft, live)
  local currency = facts.currency
  local function amount(decision, field) return decision and words.amount(decision[field], currency) end
  for i, line in ipairs(facts.lines) do
    row(("%s  %d x %s  %s"):format(line.sku, line.quantity, words.amount(line.unit_price, currency), names[i]),
      words.amount(draft.lines[i].total, currency), live and words.amount(live.lines[i].total, currency))
  end
  for _, each in ipairs(aligned(draft, live)) do
    row("  " .. each.label, words.entry(each.draft, currency), live and words.entry(each.live, currency))
  end
  row("shipping" .. (draft.shipping[1] and " " .. draft.shipping[1].method or ""), amount(draft, "shipping_total"),
    amount(live, "shipping_total"))
  if draft.tax_total > 0 then row("tax", amount(draft, "tax_total"), amount(live, "tax_total")) end
  row("tax included", amount(draft, "tax_included_total"), amount(live, "tax_included_total"))
  row("total " .. currency, amount(draft, "total"), amount(live, "total"))
end

function M.main(arguments)
  local given, message = options.read(arguments, { rest = true }, { at = true, as = true, orders = true, coupon = true,
    zone = true, ship = true, with = true })
  if not given then return nil, message end
  if not given.rest then return nil, "at least one SKU is needed" end
  local facts, names = facts_of(given)
  if not facts then return false, names end
  local draft, live
  draft, message = packs.open(given.with)
  if not draft then
    io.stderr:write(message, "\n")
    return false
  end
  local old = packs.open_live()
  if old and old:hash() ~= draft:hash() then live = price(old, facts, given.ship) end
  local decision
  decision, message = price(draft, facts, given.ship)
  if not decision then return false, message end
  row("", "draft " .. words.hash(draft:hash()), live and "live " .. words.hash(old:hash()))
  show(facts, names, decision, live)
  return true
end

return M
