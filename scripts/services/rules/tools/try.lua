-- fastr rules try: what a cart would cost by the rules on disk, beside what is live, and why.

local catalogue = require "services.rules.catalogue"
local golden = require "services.rules.golden"
local near = require "lib.near"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules try SKU[*QUANTITY] ... [--at TIME] [--as GROUP] [--orders N] [--coupon CODE] [--zone ZONE]",
  "                [--ship METHOD] [--with DIR] [--save NAME]",
  "    prices a cart of the catalogue by the draft (DIR, default the rules on disk) beside what is live, rule by rule;",
  "    --save keeps it as a golden cart, which fastr rules check holds every later edit against",
  "fastr rules try --order NUMBER ...",
  "    the same for what a placed order was decided from, with these options' values instead of its own",
}

local FLAGS = { at = true, as = true, orders = true, coupon = true, zone = true, ship = true, with = true, save = true,
  order = true }

local array = fastr.json.array

-- ---- the cart -----------------------------------------------------------------------------------------------------

local function line_of(word)
  local sku, quantity = word:match("^(.-)%*(%d+)$")
  local product = catalogue.find(sku or word)
  if not product then
    local meant = near((sku or word):upper(), catalogue.skus())
    return nil, ("there is no product '%s' in the catalogue%s"):format(sku or word, meant)
  end
  return { sku = product.sku, quantity = tonumber(quantity or 1), unit_price = product.price,
    categories = array(product.categories), tax_category = "standard" }
end

-- Facts of price.cart for what was typed; nil and what is wrong.
local function facts_of_words(given)
  local facts = { currency = "GBP", now = fastr.time.now(), zone = "GB", lines = array {} }
  for i, word in ipairs(given.rest) do
    local message
    facts.lines[i], message = line_of(word)
    if not facts.lines[i] then return nil, message end
  end
  return facts
end

-- Those of a placed order, without whom it was for.
local function facts_of_order(given)
  local order, message = recorded.find(given.order)
  if not order then return nil, message end
  if order.facts.customer then order.facts.customer.id = nil end
  return order.facts
end

-- Puts in what the options say.
local function change(facts, given, now)
  facts.now, facts.zone = now or facts.now, given.zone or facts.zone
  if given.as or given.orders then
    facts.customer = facts.customer or {}
    facts.customer.group = given.as or facts.customer.group
    facts.customer.orders_placed = tonumber(given.orders) or facts.customer.orders_placed
  end
  if given.coupon then facts.coupons = array { given.coupon } end
end

-- Facts of price.cart; nil and what is wrong with the words.
local function facts_of(given)
  local now, message = options.time(given.at, "--at")
  if message then return nil, message end
  if given.orders and not given.orders:find("^%d+$") then return nil, "--orders: a number is expected" end
  local facts
  facts, message = (given.order and facts_of_order or facts_of_words)(given)
  if not facts then return nil, message end
  change(facts, given, now)
  return facts
end

-- ---- its price ----------------------------------------------------------------------------------------------------

local function copy_with(facts, shipping)
  local all = {}
  for key, value in pairs(facts) do all[key] = value end
  all.shipping = shipping
  return all
end

-- The facts with the fee of the method as this pack has it; as they are where nothing can be sent and nobody asked.
local function with_shipping(pack, facts, given)
  if given.order and not (given.ship or given.zone) then return facts end
  local answer, message = pack:decide("shipping.options", copy_with(facts, nil))
  if not answer then return nil, message end
  for _, option in ipairs(answer.options) do
    if not given.ship or option.method == given.ship then
      return copy_with(facts, array { { method = option.method, fee = option.fee,
        tax_category = option.tax_category } })
    end
  end
  local methods = {}
  for i, option in ipairs(answer.options) do methods[i] = option.method end
  if given.ship then
    return nil, ("no shipping method '%s' for this cart%s"):format(given.ship, near(given.ship, methods))
  end
  return copy_with(facts, nil)
end

-- The decision, and the facts that it was made from; or nil and why not.
local function price(pack, facts, given)
  local all, message = with_shipping(pack, facts, given)
  if not all then return nil, message end
  local decision
  decision, message = pack:decide("price.cart", all, { explain = "full" })
  return decision, decision and all or message
end

-- ---- showing ------------------------------------------------------------------------------------------------------

-- What is shown: row(label, draft, live) adds to it, each text under the others of its side.
local function sheet()
  local rows, width = {}, 0
  local function row(label, draft, live)
    rows[#rows + 1] = { label, draft, live }
    width = math.max(width, #draft)
  end
  local function show()
    for i, each in ipairs(rows) do
      local label, draft, live = unpack(each, 1, 3)
      local differ = i > 1 and live and draft ~= live
      print((("%-44.44s  %-" .. width .. "s  %s%s"):format(label, draft, live or "", differ and "   <-" or "")
        :gsub(" +$", "")))
    end
  end
  return row, show
end

-- Entries by rule and stage, in the order of the first trace, then what only the second has.
local function aligned(draft, live)
  local list, at = {}, {}
  local function add(trace, side)
    for _, entry in ipairs(trace) do
      local name = entry.rule or "(more)"
      local key = name .. " " .. (entry.stage or "")
      if not at[key] then
        at[key] = { label = name }
        list[#list + 1] = at[key]
      end
      at[key][side] = entry
    end
  end
  add(draft.trace, "draft")
  add(live and live.trace or {}, "live")
  return list
end

local function coupon_words(decision, i)
  local coupon = decision.coupons[i]
  return coupon.accepted and "accepted" or "refused: " .. tostring(coupon.reason)
end

local function fill(row, facts, draft, live)
  local currency = facts.currency
  local function amount(decision, field) return decision and words.amount(decision[field], currency) end
  for i, line in ipairs(facts.lines) do
    local product = catalogue.find(line.sku)
    row(("%s  %d x %s  %s"):format(line.sku, line.quantity, words.amount(line.unit_price, currency),
      product and product.name or ""),
      words.amount(draft.lines[i].total, currency), live and words.amount(live.lines[i].total, currency))
  end
  for _, each in ipairs(aligned(draft, live)) do
    row("  " .. each.label, words.entry(each.draft, currency), live and words.entry(each.live, currency))
  end
  for i, coupon in ipairs(draft.coupons) do
    row("coupon " .. coupon.code, coupon_words(draft, i), live and coupon_words(live, i))
  end
  row("shipping" .. (draft.shipping[1] and " " .. draft.shipping[1].method or ""), amount(draft, "shipping_total"),
    amount(live, "shipping_total"))
  if draft.tax_total > 0 then row("tax", amount(draft, "tax_total"), amount(live, "tax_total")) end
  row("tax included", amount(draft, "tax_included_total"), amount(live, "tax_included_total"))
  row("total " .. currency, amount(draft, "total"), amount(live, "total"))
end

-- ---- the words ----------------------------------------------------------------------------------------------------

-- What is live on this host makes of it: { pack, decision }, either absent; the third says why not.
local function beside(draft, facts, given)
  local pack = packs.open_live()
  if not pack then return {} end
  if pack:hash() == draft:hash() then return { note = "draft and live are the same" } end
  local decision, message = price(pack, facts, given)
  if decision then return { pack = pack, decision = decision } end
  return { note = "live " .. words.hash(pack:hash()) .. " cannot price it: " .. message }
end

local function save(given, facts, draft)
  local path, message = golden.save(given.save, facts, draft)
  if not path then return nil, message end
  print("kept as " .. path)
  return true
end

-- What the words ask for, or nil and what is wrong with them.
local function read(arguments)
  local given, message = options.read(arguments, { rest = true }, FLAGS)
  if not given then return nil, message end
  if (given.rest == nil) == (given.order == nil) then return nil, "SKUs are needed, or an order's number" end
  local well = true
  if given.save then well, message = golden.can_be_called(given.save) end
  return well and given, message
end

local function show(facts, decision, draft, live)
  local row, print_all = sheet()
  row("", "draft " .. words.hash(draft:hash()), live.decision and "live " .. words.hash(live.pack:hash()))
  fill(row, facts, decision, live.decision)
  print_all()
  if live.note then print(live.note) end
end

function M.main(arguments)
  local given, message = read(arguments)
  if not given then return nil, message end
  local facts, draft, decision, priced
  facts, message = facts_of(given)
  if not facts then return false, message end
  draft, message = packs.open(given.with)
  if not draft then return false, message end
  decision, priced = price(draft, facts, given)
  if not decision then return false, priced end
  show(facts, decision, draft, beside(draft, facts, given))
  if given.save then return save(given, priced, draft) end
  return true
end

return M
