-- offers: the cart as `apply` and a rule's own conditions see it: what can be read of it, and what can be given. A rule
-- takes something off, it never sets a price; outside of `apply` the ledger refuses to give.

local bundle = require "price.bundle"
local buy_x_get_y = require "price.actions.buy_x_get_y"
local near = require "lib.near"
local words = require "price.words"

local M = { takes = {}, methods = {} }

local offers = M.methods
local face = { __index = offers, __metatable = false } -- what a rule could reach, it could change
local give = {} -- name -> function(cart, how), called when `how` has been checked

-- What a cart may lack; any other name that it has not is a mistake.
local ABSENT = { customer = true, zone = true }

setmetatable(offers, { __index = function(_, name)
  if not rawget(ABSENT, name) then
    error(("a cart has no '%s'%s"):format(tostring(name), near(name, offers)), 2)
  end
end })

-- What an offer is told: name -> whether it is needed.
local takes = M.takes

local ITEMS = { of = false, max_quantity = false }

local function with(more, base)
  for name, needed in pairs(base or {}) do more[name] = needed end
  return more
end

-- ---- reading -------------------------------------------------------------------------------------------------------

-- What is named (the whole cart without it) costs now, as far as rules before this one left it.
function offers:total(of) return self.ledger:total(words.select(self, words.lines_meant("total", of))) end

-- Units of what is named.
function offers:quantity(of)
  return (self.ledger:quantity(words.select(self, words.lines_meant("quantity", of))))
end

local function within(category, wanted)
  return category == wanted or text.starts_with(category, wanted .. "/")
end

local function meant(line, of)
  if not of then return true end
  if of.but then return meant(line, of.of) and not meant(line, of.but) end
  if of.full_price then return line.total == line.list_price * line.quantity and meant(line, of.of) end
  for _, sku in ipairs(of.skus_any or {}) do
    if line.sku == sku then return true end
  end
  for _, wanted in ipairs(of.categories_any or {}) do
    for _, category in ipairs(line.categories) do
      if within(category, wanted) then return true end
    end
  end
  return false
end

-- The lines of what is named as they stand, as copies: { number, sku, quantity, list_price, unit_price, total,
-- categories }.
function offers:lines(of)
  local list = {}
  words.lines_meant("lines", of)
  for i = 1, self.count do
    local line = self.ledger:line(i)
    if meant(line, of) then list[#list + 1] = line end
  end
  return list
end

-- ---- items ---------------------------------------------------------------------------------------------------------

takes.percent_off = with({ percent = true }, ITEMS)
function give:percent_off(how) self.ledger:item_percent(words.select(self, how.of), how.percent, how.max_quantity) end

takes.amount_off_each = with({ amount = true }, ITEMS)
function give:amount_off_each(how) self.ledger:item_fixed(words.select(self, how.of), how.amount, how.max_quantity) end

-- What each unit costs above the price.
takes.price_each = { price = true, of = false }
function give:price_each(how)
  for _, line in ipairs(self:lines(how.of)) do
    self:line_off(line, money.multiply(math.max(0, line.unit_price - how.price), line.quantity))
  end
end

-- Of every `every` units the cheapest one is free (or `percent` off), as often as it fits.
takes.cheapest_free = { every = true, of = false, percent = false }
function give:cheapest_free(how)
  local lines = words.select(self, how.of)
  self.ledger:take(lines, how.every - 1, lines, 1, "cheapest")
  self.ledger:give_percent(how.percent or 100)
end

-- For every `buy` units of what is named, `get` units of `get_of` free (or `percent` off), at most `times`.
takes.buy_get = { buy = true, of = false, get = true, get_of = false, percent = false, times = false, pick = false }
function give:buy_get(how)
  local cart = { ledger = self.ledger, lines_for = function(of) return words.select(self, of) end }
  buy_x_get_y.apply(cart, { buy_quantity = how.buy, buy_filters = how.of, get_quantity = how.get,
    value = how.percent or 100, times = how.times or 0, pick = how.pick }, words.select(self, how.get_of or how.of))
end

-- Units that cost less together: `parts` is a list of { units, what }, and they cost `price`, or `amount` or `percent`
-- less than apart. Dearest first, as often as it fits, at most `times`.
takes.bundle = { parts = true, price = false, amount = false, percent = false, times = false }
function give:bundle(how) bundle(self, how) end

-- ---- order ---------------------------------------------------------------------------------------------------------

takes.order_percent_off = { percent = true, of = false, at_most = false }
function give:order_percent_off(how)
  local lines = words.select(self, how.of)
  local amount = money.percent(self.ledger:total(lines), how.percent)
  self.ledger:order(lines, how.at_most and math.min(amount, how.at_most) or amount)
end

takes.order_amount_off = { amount = true, of = false }
function give:order_amount_off(how)
  local lines = words.select(self, how.of)
  self.ledger:order(lines, math.min(how.amount, self.ledger:total(lines)))
end

-- ---- shipping ------------------------------------------------------------------------------------------------------

-- Takes off each shipment (of the method) what `reduction` says of the fee that is left.
local function fees_off(cart, method, reduction)
  for i, shipment in ipairs(cart.shipping) do
    if not method or shipment.method == method then
      cart.ledger:fee_off(i, reduction(cart.ledger:fee_left(i)))
    end
  end
end

takes.free_shipping = { method = false }
function give:free_shipping(how) fees_off(self, how.method, function(left) return left end) end

takes.shipping_percent_off = { percent = true, method = false }
function give:shipping_percent_off(how)
  fees_off(self, how.method, function(left) return money.percent(left, how.percent) end)
end

takes.shipping_amount_off = { amount = true, method = false }
function give:shipping_amount_off(how)
  fees_off(self, how.method, function() return how.amount end)
end

-- ---- all of them, checked ------------------------------------------------------------------------------------------

-- What each argument is; a percentage is a number or a text.
local KINDS = { every = "number", amount = "number", price = "number", buy = "number", get = "number",
  times = "number", max_quantity = "number", at_most = "number", parts = "table", method = "string", pick = "string" }

local function refuse_of(key) error(("'%s' is what category, sku, except or full_price give"):format(key), 0) end

local function check_how(name, how, known, needed)
  if type(how) ~= "table" then error(("is told by name: %s { ... }"):format(name), 0) end
  for key, value in pairs(how) do
    if rawget(known, key) == nil then error(("takes no '%s'%s"):format(tostring(key), near(key, known)), 0) end
    local kind = rawget(KINDS, key)
    if kind and type(value) ~= kind then error(("'%s' is a %s, not a %s"):format(key, kind, type(value)), 0) end
  end
  for i = 1, #needed do
    if how[needed[i]] == nil then error(("needs '%s'"):format(needed[i]), 0) end
  end
  if how.of and type(how.of) ~= "table" then refuse_of "of" end
  if how.get_of and type(how.get_of) ~= "table" then refuse_of "get_of" end
end

local NOTHING = {}

-- The offer as rules call it: function(cart, how).
local function checked(name, run)
  local known, needed = takes[name], {}
  for key, is_needed in pairs(known) do
    if is_needed then needed[#needed + 1] = key end
  end
  return function(cart, how)
    if type(cart) ~= "table" or not rawget(cart, "ledger") then
      error(("is called with a colon: cart:%s { ... }"):format(name), 0)
    end
    how = how or NOTHING
    check_how(name, how, known, needed)
    run(cart, how)
  end
end

-- What went wrong within an offer, without the place in this file, which is not where it is to be mended.
local function complaint(message)
  if type(message) ~= "string" then return "error" end
  local parts = text.split(message, ": ")
  if not text.starts_with(message, "price/") or #parts < 2 then return message end
  return text.split(table.concat(parts, ": ", 2), " (argument ")[1]
end

-- Errors name the offer and the line of the rule.
local function guarded(name, run)
  return function(cart, what, more)
    local good, message = pcall(run, cart, what, more)
    if not good then error(("%s: %s"):format(name, complaint(message)), 2) end
  end
end

for name, run in pairs(give) do offers[name] = guarded(name, checked(name, run)) end

-- Takes an amount off one of the lines of cart:lines().
offers.line_off = guarded("line_off", function(cart, line, amount)
  if type(line) ~= "table" or not line.number then error("takes one of cart:lines(), and an amount", 0) end
  cart.ledger:line_off(line.number, amount)
end)

-- The cart as a rule sees it; made once for each cart.
function M.face(cart)
  if not cart.face then
    cart.face = setmetatable({ ledger = cart.ledger, lines_for = cart.lines_for, customer = cart.customer,
      zone = cart.zone, now = cart.now, shipping = cart.shipping, count = cart.count }, face)
  end
  return cart.face
end

return M
