-- view: an order as the API and its events show it, and what of a decision is frozen in it.

local explain = require "lib.explain"
local money = require "lib.money"
local shapes = require "lib.order"

local M = {}

local array, null = fastr.json.array, fastr.json.null

-- What each gift card pays: list of {id, last4, amount}.
local function freeze_gift_cards(decision, body)
  local last4, shares = {}, shapes.gift_card_shares(body.facts.gift_cards, decision)
  for _, card in ipairs(body.gift_cards or {}) do last4[card.id] = card.last4 end
  for _, share in ipairs(shares) do share.last4 = last4[share.id] end
  return array(shares)
end

-- What an order keeps of a decision: {lines, totals, total, due, shipping, gift_cards}. `body` as of the operation
-- `place`: names, facts, gift_cards.
function M.freeze(decision, body)
  local m, named, lines = money.of(decision.currency), {}, {}
  for _, each in ipairs(body.names) do named[each.sku] = each.name end
  for i, decided in ipairs(decision.lines) do lines[i] = shapes.line_of(decided, named[decided.sku], m) end
  return {
    lines = array(lines), total = decision.total, due = decision.due,
    shipping = decision.shipping, totals = shapes.totals_of(decision),
    gift_cards = freeze_gift_cards(decision, body),
  }
end

-- Lines as shown; in events without their units, which would make them twice as long. Of orders of before the discounts
-- of each unit stay inside.
local function show_lines(lines, without_units)
  local shown = {}
  for i, line in ipairs(lines) do
    shown[i] = {}
    for key, value in pairs(line) do shown[i][key] = value end
    shown[i].unit_discounts = nil
    if without_units then shown[i].units = nil end
  end
  return array(shown)
end

local function present(value)
  if value == nil or value == null then return nil end
  return value
end

local function show_payments(attempts)
  local shown = {}
  for i, a in ipairs(attempts) do
    shown[i] = { id = present(a.payment) or null, attempt = a.id, status = a.status, reason = present(a.reason),
      amount = { amount = a.amount, currency = a.currency }, next_action = present(a.next_action) or null,
      expires_at = a.status == "authorised" and present(a.expires_at) or nil }
  end
  return array(shown)
end

local function show_gift_cards(shares, m)
  local shown = {}
  for i, share in ipairs(shares) do shown[i] = { last4 = share.last4, amount = m(share.amount) } end
  return array(shown)
end

local function show_history(entries)
  local shown = {}
  for i, entry in ipairs(entries) do
    shown[i] = { sequence = entry.sequence, status = entry.status, at = entry.at,
      reason = entry.reason ~= "" and entry.reason or nil }
  end
  return array(shown)
end

local function show_shipments(shipments)
  local shown = {}
  for i, s in ipairs(shipments) do
    shown[i] = { carrier = s.carrier, tracking = s.tracking, shipped_at = present(s.shipped_at) or null,
      delivered_at = present(s.delivered_at) or null }
  end
  return array(shown)
end

-- A return is refunded when the money is on its way; refused: staff must look at it.
local function return_status(r)
  if r.refund == "refused" or r.restock == "refused" then return "refused" end
  return (r.refund == "due" or r.restock == "due") and "open" or "done"
end

local function show_returns(returns, m)
  local shown = {}
  for i, r in ipairs(returns) do
    local lines = {}
    for k, line in ipairs(r.lines) do
      lines[k] = { sku = line.sku, quantity = line.quantity, restock = line.restock, refund = m(line.refund),
        tax = line.tax and m(line.tax), tax_included = line.tax_included and m(line.tax_included) }
    end
    shown[i] = { id = r.id, kind = r.kind, status = return_status(r), lines = array(lines), refund = m(r.amount),
      at = r.at, reason = r.reason ~= "" and r.reason or nil, shipping = r.shipping > 0 and m(r.shipping) or nil,
      short = r.short > 0 and m(r.short) or nil }
  end
  return array(shown)
end

-- Adds to `shown` what of a decision stands beside lines and totals, `priced` of store.priced. Orders of before have
-- no taxes or coupons of theirs.
local function show_priced(shown, priced, currency)
  local m, taxes, coupons = money.of(currency), present(priced.taxes), present(priced.coupons)
  shown.shipping = array(shapes.shipping_of(priced.shipping, m))
  shown.taxes = taxes and array(shapes.taxes_of(taxes, m))
  shown.coupons = coupons and array(shapes.coupons_of(coupons))
  shown.discounts = array(explain.discounts(priced.trace, currency))
  return shown
end

-- An order of store.load as GET /orders/{id} shows it.
function M.order(o)
  return show_priced({
    id = o.id, number = o.number or null, status = o.status, currency = o.currency, email = o.email,
    customer = o.customer or null, lines = show_lines(o.lines), totals = o.totals,
    shipping_address = o.shipping_address, shipping_method = o.shipping_method,
    gift_cards = show_gift_cards(o.gift_cards, money.of(o.currency)),
    rules = { pack = o.pack, abi = o.abi, trace = o.trace }, payments = show_payments(o.attempts),
    history = show_history(o.history), shipments = show_shipments(o.shipments),
    returns = show_returns(o.returns, money.of(o.currency)), created_at = o.created_at, placed_at = o.placed_at or null,
  }, o, o.currency)
end

-- A row of store.list.
function M.summary(o)
  return { id = o.id, number = o.number or null, status = o.status, created_at = o.created_at,
    placed_at = o.placed_at or null, total = { amount = o.total, currency = o.currency } }
end

-- What a stream tells of one entry of the history.
function M.stream_event(entry)
  local reason = entry.reason ~= "" and entry.reason or nil
  return { id = tostring(entry.sequence), event = entry.status,
    data = fastr.json.encode({ status = entry.status, at = entry.at, reason = reason }) }
end

-- The data of an event: what its consumers need, so that none of them has to ask back. Lines and address travel only
-- while it is placed, what else its price is made of (`o.priced`) with the event that it was.
function M.event(o, change, extra)
  local data = { order = o.id, number = o.number or null, status = change.to, from = change.from, at = change.at,
    reason = change.reason, email = o.email, customer = o.customer or null, currency = o.currency, totals = o.totals }
  if change.to == "placed" then
    data.lines, data.shipping_address = show_lines(o.lines, true), o.shipping_address
    data.shipping_method = o.shipping_method
    if o.priced then show_priced(data, o.priced, o.currency) end
  end
  for key, value in pairs(extra or {}) do data[key] = value end
  return data
end

return M
