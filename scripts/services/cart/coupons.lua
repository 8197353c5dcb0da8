-- coupons: issued codes, and how often codes and limited promotions were used. What they give and how far, the rules
-- know (the limits of an issued code are its own); here is counted. A use is claimed when a checkout starts, in the
-- transaction that closes the cart, so that nobody pays for a use that is not there; it is given back when the cart
-- opens again or, unless the promotion says otherwise, the order is cancelled.

local problem = require "lib.problem"
local session = require "platform.session"
local store = require "services.cart.store"

local M = {}

-- The names that the shopper goes by, for limits per customer. The e-mail is not kept as such.
function M.customers(cart)
  local names = {}
  if cart.customer then names[1] = "account:" .. cart.customer end
  if cart.email then names[#names + 1] = "email:" .. fastr.crypto.hmac(session.secret("cart"), cart.email:lower()) end
  table.sort(names)
  return names
end

-- What is known of codes: {[code] = {coupon, reason}}, see store.known_codes. Waits.
function M.known(db, cart, codes)
  if #codes == 0 then return {} end
  return store.known_codes(db, codes, cart.id, M.customers(cart))
end

-- Of the codes entered those that the rules are asked with: list, and {[code] = the code of the rules that it stands
-- for} (nil: none does for another).
function M.usable(entered, known)
  local codes, issued = {}, nil
  for _, code in ipairs(entered) do
    local of = known[code] or {}
    if not of.reason then
      codes[#codes + 1] = code
      if of.coupon then
        issued = issued or {}
        issued[code] = of.coupon
      end
    end
  end
  return fastr.json.array(codes), issued
end

-- ---- promotions with limits ---------------------------------------------------------------------------------------

-- The limits of a promotion as a whole, as the counts know them: uses, and money spent; nil: none.
function M.limits_of(entry)
  local limit, budget = entry.limit, entry.budget
  if not budget then return limit, nil end
  if budget.type == "spend" then return limit, budget.limit end
  return math.min(limit or budget.limit, budget.limit), nil
end

-- What the rules must know of the promotions that `limits` (limits.of) names: the fact `usage`; nil where nothing was
-- used. One with a code is asked about where a code for it is among those entered. Waits.
function M.usage(db, cart, codes, known, limits)
  local usable, issued = M.usable(codes, known)
  local entered, promotions, counted = {}, {}, {}
  for _, code in ipairs(usable) do entered[issued and issued[code] or code] = true end
  for _, entry in ipairs(limits) do
    if not entry.coupon or entered[entry.coupon] then
      local limit, money = M.limits_of(entry)
      promotions[#promotions + 1] = entry.promotion
      if limit or money then counted[#counted + 1] = entry.promotion end
    end
  end
  if #promotions == 0 then return nil end
  return store.usage(db, promotions, counted, cart.id, M.customers(cart))
end

-- What each promotion took off: {[id] = amount}.
local function amounts(trace)
  local given = {}
  for _, entry in ipairs(trace) do given[entry.rule] = (given[entry.rule] or 0) + entry.amount end
  return given
end

-- The codes that were accepted, sorted, and the codes of the rules for which they stand as a set.
local function accepted(priced)
  local codes, stand_for, issued = {}, {}, priced.facts.issued or {}
  for _, coupon in ipairs(priced.coupons) do
    if coupon.accepted then
      codes[#codes + 1] = coupon.code
      stand_for[issued[coupon.code] or coupon.code] = true
    end
  end
  table.sort(codes) -- everybody locks them in this order
  return codes, stand_for
end

-- The uses of limited promotions that a price is made with, in the order of their ids: one with a code is used where
-- the code was accepted, any other where it took something off.
local function uses(priced, stand_for)
  local given, list = amounts(priced.trace), {}
  for _, entry in ipairs(priced.limits) do
    local amount, limit, budget = given[entry.promotion] or 0, M.limits_of(entry)
    local is_limited = limit or budget or entry.limit_per_customer
    if is_limited and (entry.coupon and stand_for[entry.coupon] or amount > 0) then
      list[#list + 1] = { promotion = entry.promotion, amount = amount, limit = limit, budget = budget,
        limit_per_customer = entry.limit_per_customer, gives_back = entry.give_back ~= false }
    end
  end
  table.sort(list, function(a, b) return a.promotion < b.promotion end)
  return list
end

-- ---- claims -------------------------------------------------------------------------------------------------------

-- `kept`: the codes of the rules whose uses do not come back.
local function claim_codes(tx, cart, codes, issued, kept)
  local customers, now = M.customers(cart), fastr.time.now()
  for _, code in ipairs(codes) do
    local gives_back = not kept[issued[code] or code]
    local ok, reason = store.claim_coupon(tx, code, cart.id, customers, gives_back, now)
    if not ok then
      return nil, problem.new("coupon_used_up", { coupon = code, reason = reason,
        detail = ("The coupon %s cannot be used any more; take it out of the cart"):format(code) })
    end
  end
  return true
end

-- The codes of the rules whose uses do not come back when the order is cancelled.
local function kept_when_cancelled(limits)
  local kept = {}
  for _, entry in ipairs(limits) do
    if entry.coupon and entry.give_back == false then kept[entry.coupon] = true end
  end
  return kept
end

local function claim_promotions(tx, cart, list)
  local customers, now = M.customers(cart), fastr.time.now()
  store.release_promotions(tx, cart.id)
  for _, use in ipairs(list) do
    if not store.claim_promotion(tx, use, cart.id, customers, now) then
      return nil, problem.new("price_changed", { reasons = fastr.json.array { { code = "rule_changed",
        rule = use.promotion, detail = use.promotion .. " has been used up" } } })
    end
  end
  return true
end

-- Makes the cart's claims exactly those that its price was made with: true, or nil and the problem: coupon_used_up (a
-- code of the cart is), or price_changed: a promotion without a code is, so there is another price now.
function M.claim(tx, cart, priced)
  local codes, stand_for = accepted(priced)
  store.release_coupons(tx, cart.id, codes)
  local ok, failed = claim_codes(tx, cart, codes, priced.facts.issued or {}, kept_when_cancelled(priced.limits))
  if not ok then return nil, failed end
  return claim_promotions(tx, cart, uses(priced, stand_for))
end

-- Gives back what the cart has claimed; `cancelled`: its order was, and the rules may say that uses do not come back.
function M.release(tx, cart, cancelled)
  store.release_coupons(tx, cart.id, nil, cancelled)
  store.release_promotions(tx, cart.id, cancelled)
end

-- ---- new codes ----------------------------------------------------------------------------------------------------

-- No two of them look alike: without 0 and O, 1, I and L, and without U, which looks like V. Sixteen of thirty are 78
-- random bits: whoever has ten thousand codes is no nearer to another.
local ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
local CHARACTERS, PAGE_BYTES = 16, 65536
local SYMBOL = {}
for byte = 0, 8 * #ALPHABET - 1 do
  local at = byte % #ALPHABET + 1
  SYMBOL[string.char(byte)] = ALPHABET:sub(at, at)
end

-- A text of at least `count` random characters of the alphabet, each as likely as any other: bytes that would make the
-- first ones likelier are left out.
local function random_text(count)
  local parts, length = {}, 0
  while length < count do
    local bytes = fastr.crypto.random(math.min(PAGE_BYTES, 2 * count)):gsub("[\240-\255]", "")
    local text = bytes:gsub(".", SYMBOL)
    parts[#parts + 1], length = text, length + #text
  end
  return table.concat(parts)
end

-- `count` codes that nobody can guess, as "SPRING-7KQM-2XZR-H4TB-9WGE" with the prefix "SPRING" (nil: none).
function M.new_codes(count, prefix)
  local text, codes, begin = random_text(count * CHARACTERS), {}, prefix and prefix .. "-" or ""
  for i = 1, count do
    local at = (i - 1) * CHARACTERS
    codes[i] = begin .. text:sub(at + 1, at + CHARACTERS):gsub("....", "%0-", CHARACTERS / 4 - 1)
  end
  return codes
end

return M
