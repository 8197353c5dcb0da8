-- merge: at sign-in a shopper's carts become one. Their units are added, as far as the rules take it; what they do not
-- take stays out and is told, so that nobody is kept from his cart by a product that is nearly sold out.

local gift_cards = require "services.cart.gift_cards"
local pricing = require "services.cart.pricing"
local store = require "services.cart.store"

local M = {}

local array = fastr.json.array

-- What the other carts bring: list of {sku, quantity, facts}, one per sku.
local function brought(others)
  local list, known = {}, {}
  for _, cart in ipairs(others) do
    for _, line in ipairs(cart.lines) do
      local each = known[line.sku]
      if not each then
        each = { sku = line.sku, quantity = 0, facts = line.facts }
        known[line.sku], list[#list + 1] = each, each
      end
      each.quantity = each.quantity + line.quantity
    end
  end
  return list
end

-- The cart's lines with what is brought; nothing is changed yet. Returns them, and those that are new or have more.
local function added(cart, extra)
  local lines, by_sku, touched, position = {}, {}, {}, cart.last_position
  for i, line in ipairs(cart.lines) do
    lines[i] = { sku = line.sku, position = line.position, quantity = line.quantity, facts = line.facts }
    by_sku[line.sku] = lines[i]
  end
  for i, each in ipairs(extra) do
    local line = by_sku[each.sku]
    if not line then
      position = position + 1
      line = { sku = each.sku, position = position, quantity = 0, facts = each.facts }
      lines[#lines + 1] = line
    end
    line.quantity, touched[i] = line.quantity + each.quantity, line
  end
  return lines, touched, position
end

-- Asks the rules whether the cart may be so: touched lines, or nil and the problem.
local function try(cart, extra, gathered)
  local before = cart.lines
  local lines, touched, position = added(cart, extra)
  local change = { kind = "merge", lines = {} }
  for i, each in ipairs(extra) do change.lines[i] = { sku = each.sku, quantity = each.quantity } end
  cart.lines, change.lines = lines, array(change.lines)
  local ok, failed = pricing.accept(cart, change, gathered)
  if ok then
    cart.last_position = position
    return touched
  end
  cart.lines = before
  return nil, failed
end

-- Splits what is brought by the rules' problem: what may still come, and what is told of the rest.
local function without_refused(extra, failed)
  local why, left, refused = {}, {}, {}
  for _, each in ipairs(failed.errors) do why[each.path] = each.problem end
  for _, each in ipairs(extra) do
    if why[each.sku] then
      refused[#refused + 1] = { code = "not_merged", sku = each.sku, quantity = each.quantity,
        detail = ("%d of %s from another cart of yours stayed out: %s"):format(each.quantity, each.sku, why[each.sku]) }
    else
      left[#left + 1] = each
    end
  end
  return left, refused
end

-- Where the cart says nothing, the others do; coupons are all of them, each once.
local function take_over(cart, other)
  for _, field in ipairs { "email", "shipping_address", "shipping_method" } do
    if cart[field] == nil then cart[field] = other[field] end
  end
  local known = {}
  for _, code in ipairs(cart.coupons) do known[code] = true end
  for _, code in ipairs(other.coupons) do
    if not known[code] then cart.coupons[#cart.coupons + 1] = code end
  end
  gift_cards.merge(cart, other)
end

-- Puts the locked carts `others` into the locked `cart`, which the caller saves. Returns the list of what stayed out
-- ({code, sku, quantity, detail}), or nil and a problem: then nothing has changed.
function M.into(tx, cart, others, gathered)
  local extra, refused = brought(others), {}
  local touched, failed = try(cart, extra, gathered)
  if not touched then
    extra, refused = without_refused(extra, failed)
    if #refused > 0 then touched, failed = try(cart, extra, gathered) end
  end
  if not touched then return nil, failed end
  if #touched > 0 then store.put_lines(tx, cart.id, touched) end
  for _, other in ipairs(others) do
    take_over(cart, other)
    store.merge(tx, other.id, cart.id, fastr.time.now())
  end
  return refused
end

return M
