-- checkout: wrk's script for whole checkouts. Every thread has one connection and is one shopper, who does one step
-- after the other: a cart, three lines, an address and a method, a card, the checkout. A step that is not answered as
-- it should be ends the run with what was said. The number of orders that reached `paid` is printed at the end.

local json = { ["Content-Type"] = "application/json" }
local address = '{"email":"ann@shop.example","shipping_method":"standard","shipping_address":{"name":"Ann Lee",'
  .. '"line1":"1 High Street","city":"Leeds","postcode":"LS1 1AA","country":"GB"}}'
local card = '{"card":{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123"}}'

local skus, api = {}, "/api/v1"
local step, cart, method, total

paid, trouble = 0, "" -- read by done() of the main state

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function init()
  math.randomseed(tonumber(tostring({}):match("0x(%x+)"), 16))
  for sku in assert(io.lines(os.getenv("SKUS"))) do skus[#skus + 1] = sku end
  step = 1
end

local function lines()
  local list, at = {}, math.random(#skus)
  for i = 1, 3 do
    list[i] = ('{"sku":"%s","quantity":%d}'):format(skus[(at + i * 7) % #skus + 1], math.random(3))
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function keyed()
  return { ["Content-Type"] = "application/json", ["Idempotency-Key"] = cart }
end

-- What each step sends, the status that it must get, and what it keeps of the reply.
local STEPS = {
  { 201, function() return wrk.format("POST", api .. "/carts", json, "{}") end,
    function(body) cart = body:match('"id":"([^"]+)"') end },
  { 200, function() return wrk.format("POST", api .. "/carts/" .. cart .. "/lines", json, lines()) end },
  { 200, function() return wrk.format("PATCH", api .. "/carts/" .. cart, json, address) end,
    function(body)
      local totals = assert(body:match('"totals":(%b{})'), body)
      total = assert(totals:match('"total":(%b{})'), totals)
    end },
  { 201, function() return wrk.format("POST", api .. "/payment-methods", json, card) end,
    function(body) method = body:match('"id":"([^"]+)"') end },
  { 201, function()
    local body = ('{"payment_method":"%s","expected_total":%s}'):format(method, total)
    return wrk.format("POST", api .. "/carts/" .. cart .. "/checkout", keyed(), body)
  end, function(body)
    if body:find('"status":"paid"', 1, true) then paid = paid + 1 else trouble = body end
  end },
}

function request()
  return STEPS[step][2]()
end

function response(status, _, body)
  local wanted, _, keep = unpack(STEPS[step])
  if status ~= wanted then
    trouble = ("step %d: %d %s"):format(step, status, body)
    wrk.thread:stop()
    return
  end
  if keep then keep(body) end
  step = step % #STEPS + 1
end

function done(summary)
  local sum = 0
  for _, thread in ipairs(threads) do
    sum = sum + thread:get("paid")
    if thread:get("trouble") ~= "" then print("trouble: " .. thread:get("trouble")) end
  end
  print(("paid: %d in %.3f s"):format(sum, summary.duration / 1e6))
end
