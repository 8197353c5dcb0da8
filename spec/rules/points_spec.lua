-- The decision points: what is asked and answered has the declared shape, or is refused by name; never acted on.

local shop

setup(function() shop = assert(fastr.rules.open("scripts/rules")) end)

-- Smallest facts of each point whose answer is a table of the pack; that of price.cart is the ledger's, made in C.
local FACTS = {
  ["price.limits"] = { promotions = fastr.json.array {} }, ["price.taxed"] = { category = "standard" },
  ["cart.accept"] = { currency = "GBP", lines = fastr.json.array {} },
  ["shipping.options"] = { currency = "GBP", now = "2026-11-23T12:00:00Z", lines = fastr.json.array {} },
  ["order.accept"] = { currency = "GBP", total = 1 },
  ["order.transition"] = { from = "placed", to = "paid", who = "service" },
  ["payment.route"] = { currency = "GBP", amount = 1 },
  ["notify.select"] = { event = "order.placed.v1" },
}

local FILES = { ["price.limits"] = "price/limits", ["price.taxed"] = "price/taxed", ["cart.accept"] = "cart/accept",
  ["shipping.options"] = "shipping/options",
  ["order.accept"] = "order/accept", ["order.transition"] = "order/transition", ["payment.route"] = "payment/route",
  ["notify.select"] = "notification/select" }

local ROUTE = "{ provider = 'test', capture = '%s', retry = { attempts = %s, wait_ms = 1 }, "
  .. "expiry = { action = 'cancel', notice_s = 1 } }"

-- What each must not answer, and where it says so.
local NONSENSE = {
  ["price.limits"] = { ["limits[1].promotion"] = "{ limits = { { limit = 1 } } }" },
  ["price.taxed"] = { ["known"] = "{ categories = array {} }" },
  ["cart.accept"] = { ["accept"] = "{ problems = array {} }", ["problems[1].code"] =
    "{ accept = false, problems = { { sku = 'A', detail = 'x' } } }" },
  ["shipping.options"] = { ["options[1].fee"] =
    "{ options = { { method = 'a', name = 'A', fee = -1 } } }", ["options"] = "{ options = {}, option = 1 }" },
  ["order.accept"] = { ["verdict"] = "{ verdict = 'perhaps', hold_s = 900, open_s = 900 }" },
  ["order.transition"] = { ["allow"] = "{ allow = 'yes' }" },
  ["payment.route"] = { ["capture"] = ROUTE:format("never", "1"), ["retry.attempts"] = ROUTE:format("now", "0 / 0") },
  ["notify.select"] = { ["channel"] = "{ send = true, channel = 'pigeon' }" },
}

local function answering(point, answer)
  local file = FILES[point] .. ".lua"
  local text = assert(shop:files()[file])
  return assert(shop:with(file, (text:gsub("decide = decide", "decide = function() return " .. answer .. " end"))))
end

describe("an answer of another shape", function()
  for point, list in pairs(NONSENSE) do
    it("of " .. point .. " is refused by file, point and place", function()
      for place, answer in pairs(list) do
        local pack = answering(point, answer)
        local decision, message, code = pack:decide(point, FACTS[point])
        assert.same({ nil, "rules_error" }, { decision, code }, message)
        local begins = ("%s.lua:1: %s: answer."):format(FILES[point], point)
        assert.equal(begins, message:sub(1, #begins))
        assert.truthy(message:find(place:match("^[%w_]+"), #begins, true), message)
        pack:close()
      end
    end)
  end

  it("is refused whatever it is: no table, a list, one that a metatable would show", function()
    for _, answer in ipairs { "nil", "true", "'accept'", "{ { verdict = 'accept' } }",
      "setmetatable({}, { __index = { verdict = 'accept' } })" } do
      local pack = answering("order.accept", answer)
      local decision, _, code = pack:decide("order.accept", FACTS["order.accept"])
      assert.same({ nil, "rules_error" }, { decision, code }, answer)
      pack:close()
    end
  end)

  it("in an example keeps the pack from going live, with its file", function()
    local pack = answering("order.accept", "{ verdict = 'perhaps', hold_s = 900, open_s = 900 }")
    local count, message = pack:prove()
    assert.is_nil(count)
    local begins = "order/accept.lua:1: example 1 (usual): order/accept.lua:1: order.accept: answer.verdict"
    assert.equal(begins, message:sub(1, #begins))
  end)
end)

describe("facts of another shape", function()
  it("are refused with their path, in an example too", function()
    local decision, message, code = shop:decide("order.accept", { currency = "GBP", totl = 1 })
    assert.same({ nil, "facts_invalid" }, { decision, code })
    assert.equal("totl: unknown field (did you mean 'total'?)", message)
    local text = shop:files()["order/accept.lua"]
    local pack = assert(shop:with("order/accept.lua", (text:gsub("total = total }", "totl = total }"))))
    local _, wrong = pack:prove()
    assert.truthy(wrong:find("order/accept.lua:1: example 1 (usual): facts.totl: unknown field", 1, true), wrong)
  end)
end)

describe("an answer", function()
  it("of its shape goes out as the rule made it", function()
    for point, facts in pairs(FACTS) do assert(shop:decide(point, facts)) end
    local decision = assert(shop:decide("notify.select", { event = "stock.changed.v1" }))
    decision.pack = nil
    assert.same({ send = false }, decision)
  end)
end)
