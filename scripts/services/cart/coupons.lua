-- coupons: issued codes and their limits. What a code gives, the rules know; here is counted how often it was used. A
-- use is claimed when a checkout starts, in the transaction that closes the cart, so that nobody pays for a use that is
-- not there; it is given back when the cart opens again or the order is cancelled.

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

-- Why codes of the cart (and `more`) cannot be used any more: {[code] = reason}. Waits.
function M.exhausted(db, cart, more)
  local codes = {}
  for _, list in ipairs { cart.coupons, more or {} } do
    for _, code in ipairs(list) do codes[#codes + 1] = code end
  end
  if #codes == 0 then return {} end
  return store.exhausted(db, codes, cart.id, M.customers(cart))
end

-- Makes the cart's claims exactly those of the codes that its price was made with: true, or nil and the problem.
function M.claim(tx, cart, priced)
  local codes = {}
  for _, coupon in ipairs(priced.coupons) do
    if coupon.accepted then codes[#codes + 1] = coupon.code end
  end
  table.sort(codes) -- everybody locks them in this order
  store.release_coupons(tx, cart.id, codes)
  local customers, now = M.customers(cart), fastr.time.now()
  for _, code in ipairs(codes) do
    local ok, reason = store.claim_coupon(tx, code, cart.id, customers, now)
    if not ok then
      return nil, problem.new("coupon_used_up", { coupon = code, reason = reason,
        detail = ("The last use of the coupon %s is gone; take it out of the cart"):format(code) })
    end
  end
  return true
end

return M
