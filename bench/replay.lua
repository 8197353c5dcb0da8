-- replay: a past of ten-line orders to measure `fastr rules replay` with: products of the retailer, priced by the
-- shop's own rules. Run by bin/bench:
--
--   fastr run bench.replay make FILE ORDERS   -> writes so many orders, a line each; stores the pack that priced them
--   fastr run bench.replay decide FILE        -> microseconds of a decision alone, from facts table to decision table

local carts = require "services.rules.carts"
local catalogue = require "services.rules.catalogue"

local M = {}

local LINES = 10
local array = fastr.json.array

local function line_of(product, quantity)
  return { sku = product.sku, quantity = quantity, unit_price = product.price, categories = array(product.categories),
    tax_category = "standard" }
end

-- One order in three has a coupon; most stay within the reach of what is taken off large orders.
local function facts_of(next_number, products)
  local facts = { currency = "GBP", now = ("2026-11-%02dT12:00:00Z"):format(next_number(28)), zone = "GB",
    lines = array {}, coupons = next_number(3) == 1 and array { "WELCOME" } or nil,
    customer = { orders_placed = next_number(3) - 1 },
    shipping = array { { method = "standard", fee = 395, tax_category = "standard" } } }
  local seen = {}
  while #facts.lines < LINES do
    local product = products[next_number(#products)]
    if not seen[product.sku] then
      seen[product.sku] = true
      facts.lines[#facts.lines + 1] = line_of(product, next_number(12))
    end
  end
  return fastr.json.canonical(facts)
end

local function order_of(pack, number, facts)
  local text, info = pack:decide_text("price.cart", facts)
  if not text then error(info) end
  local decision = fastr.json.decode(text)
  return { number = tostring(number), placed_at = "2026-11-23T12:00:00.000Z", currency = "GBP", total = decision.total,
    due = decision.due, pack = info.pack, abi = info.abi, facts = facts, decision = text,
    proof = fastr.crypto.sha256(facts .. "\n" .. text) }
end

local function make(path, count)
  local pack = assert(fastr.rules.open("scripts/rules"))
  assert(pack:store())
  local file, next_number, products = assert(io.open(path, "w")), carts.sequence(20261123), catalogue.all()
  for i = 1, count do
    file:write(fastr.json.encode(order_of(pack, 100000 + i, facts_of(next_number, products))), "\n")
  end
  file:close()
end

local SAMPLE = 500

local function decide(path)
  local pack, list = assert(fastr.rules.open("scripts/rules")), {}
  for line in io.lines(path) do
    list[#list + 1] = fastr.json.decode(fastr.json.decode(line).facts)
    if #list == SAMPLE then break end
  end
  local least = math.huge
  for _ = 1, 10 do
    local began = os.clock()
    for _, facts in ipairs(list) do pack:decide("price.cart", facts) end
    least = math.min(least, os.clock() - began)
  end
  print(("%.2f"):format(least / #list * 1e6))
end

function M.main(arguments)
  local what, path = arguments[1], arguments[2]
  if what == "make" then make(path, tonumber(arguments[3])) else decide(path) end
end

return M
