-- shopper: people who buy, for specs: products of the spec's own, tokens, carts, checkouts with the test provider's
-- cards. The services run in the spec's process; their databases, Redis and the provider are the running ones.

local keys = require "services.auth.keys"
local program = require "spec.support.program"
local session = require "platform.session"

local M = {}

local uuid7 = fastr.crypto.uuid7
local made = 0

M.ADDRESS = { name = "Ann", line1 = "1 High St", city = "Leeds", postcode = "LS1 1AA", country = "GB" }

local call = program.of { "user", "product", "cart", "order", "payment" }
local position -- in the database's log, of what was written last

-- Sends a request as one session, which sees what it wrote: status, body, headers.
function M.send(method, target, options)
  local all = { body = options and options.body, headers = M.with({ ["Fastr-Session"] = position },
    options and options.headers) }
  local status, body, headers = call(method, target, all)
  position = session.later(position, headers["Fastr-Session"])
  return status, body, headers
end

-- Headers of somebody signed in with these roles (a customer unless told).
function M.signed_in(id, roles)
  return { Authorization = "Bearer " .. keys.sign({ aud = session.audience, sub = id or uuid7(),
    roles = fastr.json.array(roles or { "customer" }) }, 600) }
end

M.STAFF = M.signed_in(nil, { "catalogue", "support" })

-- The headers with others added.
function M.with(headers, more)
  local all = {}
  for _, from in ipairs { headers or {}, more or {} } do
    for name, value in pairs(from) do all[name] = value end
  end
  return all
end

function M.key()
  return { ["Idempotency-Key"] = uuid7() }
end

-- Runs `fn` until it returns something true, which is returned; fails after `seconds` (5 unless told).
function M.eventually(what, fn, seconds)
  local deadline = fastr.time.unix_ms() + (seconds or 5) * 1000
  while true do
    local value = fn()
    if value then return value end
    assert(fastr.time.unix_ms() < deadline, what .. " within " .. (seconds or 5) .. " s")
    fastr.time.sleep(10)
  end
end

-- A product with `units` to sell at `amount`; its SKU. `more`: fields of the product.
function M.product(amount, units, more)
  made = made + 1
  local sku = ("SPEC-%s-%03d"):format(uuid7():sub(-12):upper(), made)
  local body = M.with({ name = "SPEC " .. sku, categories = { "spec" }, tax_category = "zero",
    price = { amount = amount, currency = "GBP" } }, more)
  assert(201 == M.send("PUT", "/api/v1/products/" .. sku, { headers = M.STAFF, body = body }))
  M.send("POST", "/api/v1/products/" .. sku .. "/stock", { headers = M.STAFF, body = { delta = units,
    reason = "spec" } })
  return sku
end

-- Units of a product on the shelf and not promised, from the primary.
function M.available(sku)
  local store = require "services.product.store"
  return store.facts(require("platform.db").open("product"), { sku }, "GBP", fastr.time.now(), true)[1].available
end

-- Saves a card of the test provider; its id.
function M.card(number, headers)
  local status, method = M.send("POST", "/api/v1/payment-methods", { headers = headers, body = { card = {
    number = number or "4242424242424242", exp_month = 12, exp_year = 2032, cvc = "123" } } })
  assert(status == 201 or status == 200, "card: " .. tostring(status))
  return method.id
end

-- A cart ready for checkout with lines {[sku] = quantity}; the cart as it is then. `more`: fields to set.
function M.cart(lines, headers, more)
  local _, cart = M.send("POST", "/api/v1/carts", { headers = headers })
  local list = fastr.json.array {}
  for sku, quantity in pairs(lines) do list[#list + 1] = { sku = sku, quantity = quantity } end
  local path, status = "/api/v1/carts/" .. cart.id
  status, cart = M.send("POST", path .. "/lines", { headers = headers, body = list })
  assert(status == 200, "lines: " .. fastr.json.encode(cart))
  status, cart = M.send("PATCH", path, { headers = headers, body = M.with({ email = "spec@shop.example",
    shipping_address = M.ADDRESS, shipping_method = "standard" }, more) })
  assert(status == 200, "patch: " .. fastr.json.encode(cart))
  return cart
end

-- A gift card with `amount` on it: {id, code, last4, ...}. `more`: fields to issue it with.
function M.gift_card(amount, more)
  local status, batch = M.send("POST", "/api/v1/gift-cards", { headers = M.with(M.STAFF, M.key()),
    body = M.with({ amount = { amount = amount, currency = "GBP" } }, more) })
  assert(status == 201, "gift card: " .. fastr.json.encode(batch))
  return batch.items[1]
end

-- What is on a gift card.
function M.on_card(card)
  return select(2, M.send("GET", "/api/v1/gift-cards/" .. card.id)).balance.amount
end

-- Enters gift cards into a cart; the cart as it is then.
function M.pay_with(cart, cards, headers)
  for _, card in ipairs(cards) do
    local status, changed = M.send("POST", "/api/v1/carts/" .. cart.id .. "/gift-cards", { headers = headers,
      body = { code = card.code } })
    assert(status == 200, "gift card: " .. fastr.json.encode(changed))
    cart = changed
  end
  return cart
end

-- POST checkout of a cart for the total it shows: status, body, headers of the reply.
function M.checkout(cart, card, headers)
  return M.send("POST", "/api/v1/carts/" .. cart.id .. "/checkout", { headers = M.with(M.key(), headers),
    body = { payment_method = card, expected_total = cart.totals.total,
      expected_due = cart.gift_cards and cart.gift_cards[1] and cart.totals.due } })
end

-- Buys the lines; the order, which is paid, and the headers that open it.
function M.buy(lines, headers, more)
  local cart = M.cart(lines, headers, more)
  local status, order, reply = M.checkout(cart, M.card(nil, headers), headers)
  assert(status == 201, "checkout: " .. fastr.json.encode(order))
  return order, M.with(headers, { ["Fastr-Order"] = reply["Fastr-Order"] })
end

-- The order as its owner sees it now.
function M.order(id, headers)
  return (select(2, M.send("GET", "/api/v1/orders/" .. id, { headers = headers })))
end

return M
