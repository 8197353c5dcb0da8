-- Definitions of the pack: what could not be used is refused when the pack is loaded, by file, path and reason.

local shop

setup(function() shop = assert(fastr.rules.open("scripts/rules")) end)

local function with(name, list)
  return shop:with("definitions/" .. name .. ".lua", "return { " .. list .. " }")
end

-- The pack with this list is refused with exactly this message.
local function refused(name, list, message)
  local pack, wrong = with(name, list)
  assert.is_nil(pack, list)
  assert.equal(("definitions/%s.lua:1: %s"):format(name, message), wrong)
end

describe("a promotion", function()
  local function promotion(more)
    return "{ id = 'a', actions = { { type = 'order_percent', value = 10 } }, " .. more .. " }"
  end
  local function action(text) return "{ id = 'a', actions = { " .. text .. " } }" end

  it("with an unknown field is refused", function()
    refused("promotions", promotion "cupon = 'X'", "[1].cupon: unknown field (did you mean 'coupon'?)")
    refused("promotions", promotion "conditions = { min_item_total = 5 }",
      "[1].conditions.min_item_total: unknown field (did you mean 'min_items_total'?)")
  end)

  it("of an unknown type is refused", function()
    refused("promotions", action "{ type = 'order_percentage', value = 10 }",
      "[1].actions[1].type: there is no action type 'order_percentage' (did you mean 'order_percent'?)")
    refused("promotions", promotion "level = 'basket'", "[1].level: 'basket' is not one of cart, catalog")
  end)

  it("of more than 100 percent, of less than none, or of five places is refused", function()
    for _, percent in ipairs { "100.1", "-1", "'3.14159'", "'ten'", "true" } do
      refused("promotions", action("{ type = 'item_percent', value = " .. percent .. " }"),
        "[1].actions[1].value: a percentage from 0 to 100 with up to 4 places is expected")
    end
    assert(with("promotions", action "{ type = 'item_percent', value = '33.3333' }"))
  end)

  it("that ends before it starts, or at no time, is refused", function()
    refused("promotions", promotion "starts_at = '2026-12-01T00:00:00Z', ends_at = '2026-11-01T00:00:00Z'",
      "[1].ends_at: ends before it starts")
    local pack, wrong = with("promotions", promotion "starts_at = 'monday'")
    assert.is_nil(pack)
    assert.equal("definitions/promotions.lua:1: [1].starts_at:", wrong:match("^.-starts_at:"))
  end)

  it("in a currency whose minor units nobody knows is refused", function()
    refused("promotions", promotion "currency = 'ZZZ'",
      "[1].currency: 'ZZZ' is no currency whose minor units are known")
  end)

  it("of another's id is refused, also where the other is a file", function()
    refused("promotions", promotion "" .. ", " .. promotion "", "[2].id: there is another promotion 'a'")
    local pack, wrong = with("promotions", (promotion ""):gsub("'a'", "'three_for_two_candles'"))
    assert.is_nil(pack)
    assert.equal("promotions/three_for_two_candles.lua:1: there is another promotion 'three_for_two_candles'", wrong)
  end)

  it("that is no table, in a file that is no list, is refused", function()
    refused("promotions", "7", "[1]: an object is expected, not a number")
    refused("promotions", "id = 'a'", "the whole: a list is expected, not an object")
    local pack, wrong = shop:with("definitions/promotions.lua", "return 7")
    assert.is_nil(pack)
    assert.equal("definitions/promotions.lua:1: the whole: a list is expected, not a number", wrong)
    pack, wrong = shop:with("definitions/promotions.lua", "return {\n  { id = 'a' ]\n}")
    assert.is_nil(pack)
    assert.equal("definitions/promotions.lua:2:", wrong:match("^[^:]+:%d+:"))
  end)
end)

describe("an offer", function()
  local OFFER = [[{ id = 'a',
    actions = { { type = 'buy_x_get_y', value = 100, buy_quantity = 2, get_quantity = 1%s } } }]]

  local function taken_off_nine(more)
    local pack = assert(with("promotions", OFFER:format(more)))
    return assert(pack:decide("price.cart", { currency = "GBP", now = "2026-11-23T12:00:00Z", zone = "GB",
      lines = { { sku = "A", quantity = 9, unit_price = 100 } } })).discount_total
  end

  it("is given once, so many times, or, with `unlimited`, as often as it fits", function()
    assert.equal(100, taken_off_nine "")
    assert.equal(200, taken_off_nine ", times = 2")
    assert.equal(300, taken_off_nine ", times = unlimited")
  end)

  it("of no times at all, or of a word that nobody knows, is refused", function()
    refused("promotions", OFFER:format ", times = 0", "[1].actions[1].times: at least 1 is expected, not 0")
    refused("promotions", OFFER:format ", times = 'unlimited'",
      "[1].actions[1].times: an integer is expected, not a string")
    local _, wrong = with("promotions", OFFER:format ", times = unlimted")
    assert.equal("definitions/promotions.lua:2: unknown name 'unlimted' (did you mean 'unlimited'?)", wrong)
  end)
end)

describe("the state of a promotion", function()
  local NOW = "2026-11-23T12:00:00Z"
  local LIMITED = [[{ id = "few", actions = { { type = "order_fixed", value = 100 } },
    usage = { limit = 5, limit_per_customer = 1 } },
    { id = "fund", coupon = "FUND", actions = { { type = "order_percent", value = 50 } }, budget = { limit = 1000 } },
    { id = "open", actions = { { type = "order_fixed", value = 1 } } }]]

  local function taken_off(pack, usage)
    local decision = assert(pack:decide("price.cart", { currency = "GBP", now = NOW, zone = "GB", coupons = { "FUND" },
      lines = { { sku = "A", quantity = 1, unit_price = 901 } }, usage = usage }, { explain = "full" }))
    return decision.discount_total, decision
  end

  it("comes with the facts, by its id", function()
    local pack = assert(with("promotions", LIMITED))
    assert.equal(100 + 401 + 1, taken_off(pack))
    assert.equal(100 + 401 + 1, taken_off(pack, { few = { used = 4, used_by_customer = 0 }, fund = { spent = 599 } }))
    assert.equal(451 + 1, (taken_off(pack, { few = { used = 5 }, open = { used = 100 } })))
    assert.equal(451 + 1, (taken_off(pack, { few = { used_by_customer = 1 } })))
    local off, decision = taken_off(pack, { fund = { spent = 600 } })
    assert.equal(101, off)
    assert.same({ code = "FUND", accepted = false, reason = "budget_spent" }, decision.coupons[1])
    pack:close()
  end)

  it("is no part of a definition", function()
    local limits = "{ id = 'a', actions = { { type = 'order_fixed', value = 1 } }, %s }"
    refused("promotions", limits:format "usage = { limit = 1, used = 1 }",
      "[1].usage.used: unknown field")
    refused("promotions", limits:format "budget = { limit = 1, used = 1 }", "[1].budget.used: unknown field")
    refused("promotions", "{ actions = { { type = 'order_fixed', value = 1 } } }", "[1].id: is missing")
  end)

  it("is counted by who asks for its limits: of all that have some, or of those that are named", function()
    local pack = assert(with("promotions", LIMITED))
    local function limits(facts) return assert(pack:decide("price.limits", facts)).limits end
    local few = { promotion = "few", limit = 5, limit_per_customer = 1 }
    local fund = { promotion = "fund", coupon = "FUND", budget = { type = "spend", limit = 1000 } }
    assert.same({ few, fund }, limits(fastr.json.decode "{}"))
    assert.same({ fund }, limits { promotions = { "open", "fund", "nonsense" } })
    pack:close()
  end)
end)

describe("a code that was issued", function()
  local FUND = [[{ id = "fund", coupon = "FUND", actions = { { type = "order_fixed", value = 100 } },
    usage = { give_back = false } }]]

  local function coupons_of(codes, issued)
    local pack = assert(with("promotions", FUND))
    local decision = assert(pack:decide("price.cart", { currency = "GBP", now = "2026-11-23T12:00:00Z", zone = "GB",
      coupons = codes, issued = issued, lines = { { sku = "A", quantity = 1, unit_price = 900 } } }))
    pack:close()
    return decision.discount_total, decision.coupons
  end

  it("stands for its promotion's, and is answered under its own name; of two the first counts", function()
    local issued = { ["FUND-7KQM"] = "FUND", ["FUND-2XZR"] = "FUND", ["FUND-9WGE"] = "NONE" }
    local off, answers = coupons_of({ "FUND-9WGE", "FUND-7KQM", "FUND-2XZR", "FUND-7KQM" }, issued)
    assert.same({ 100, { { code = "FUND-9WGE", accepted = false, reason = "unknown" },
      { code = "FUND-7KQM", accepted = true },
      { code = "FUND-2XZR", accepted = false, reason = "already_applied" } } }, { off, answers })
    assert.same({ 0, { { code = "FUND-7KQM", accepted = false, reason = "unknown" } } },
      { coupons_of { "FUND-7KQM" } })
  end)

  it("stays used after a cancellation where its promotion says so, which who counts is told", function()
    local pack = assert(with("promotions", FUND))
    assert.same({ { promotion = "fund", coupon = "FUND", give_back = false } },
      assert(pack:decide("price.limits", fastr.json.decode "{}")).limits)
    pack:close()
  end)
end)

describe("a promotion that is a file", function()
  it("in a currency whose minor units nobody knows is refused", function()
    local file = "promotions/three_for_two_candles.lua"
    local text = shop:files()[file]:gsub("stage =", 'currency = "ZZZ", stage =', 1)
    local pack, wrong = shop:with(file, text)
    assert.is_nil(pack)
    assert.equal(file .. ":1: a rule.currency: 'ZZZ' is no currency whose minor units are known", wrong)
  end)
end)

describe("what is switched off", function()
  it("is a promotion that there is", function()
    refused("off", "{ rule = 'welcom' }", "[1].rule: there is no promotion 'welcom' (did you mean 'welcome'?)")
    refused("off", "{ rul = 'welcome' }", "[1].rul: unknown field (did you mean 'rule'?)")
    refused("off", "{ reason = 'for no reason' }", "[1].rule: is missing")
    refused("off", "7", "[1]: an object is expected, not a number")
    assert(with("off", "{ rule = 'welcome', reason = 'too dear' }"))
  end)
end)

describe("a tax rate", function()
  it("that could not be used is refused", function()
    refused("tax_rates", "{ category = 'standard', percent = 120 }",
      "[1].percent: a percentage from 0 to 100 with up to 4 places is expected")
    refused("tax_rates", "{ category = 'standard', percent = '17.50001' }",
      "[1].percent: a percentage from 0 to 100 with up to 4 places is expected")
    refused("tax_rates", "{ category = 'standard', percnt = 20 }",
      "[1].percnt: unknown field (did you mean 'percent'?)")
    refused("tax_rates", "{ category = 'standard', percent = 20, from = '2027-01-01T00:00:00Z', "
      .. "to = '2026-01-01T00:00:00Z' }", "[1].to: ends before it starts")
  end)

  it("that would be told from another by chance is refused", function()
    local twice = "{ category = 'standard', percent = %d, zone = 'GB' }"
    refused("tax_rates", twice:format(20) .. ", " .. twice:format(17),
      "[2].category: 'standard in GB from the beginning' is also that of definitions/tax_rates.lua:1: [1]")
    local later = "{ category = 'standard', percent = 17, zone = 'GB', from = '2027-01-01T00:00:00Z' }"
    assert.is_nil(select(2, with("tax_rates", twice:format(20) .. ", " .. later)))
  end)
end)

local CART = { currency = "GBP", now = "2026-11-23T12:00:00Z", zone = "GB", promotions = fastr.json.array {} }

local function cart(lines, more)
  local facts = { lines = lines }
  for _, from in ipairs { CART, more or {} } do
    for name, value in pairs(from) do facts[name] = value end
  end
  return facts
end

describe("a shipping method", function()
  local function fees(pack, total, zone)
    local facts = cart({ { sku = "A", quantity = 1, unit_price = total } }, { zone = zone })
    local list = {}
    local decision = assert(pack:decide("shipping.options", facts))
    for _, option in ipairs(decision.options) do list[option.method] = option.fee end
    return list
  end

  it("is flat, by total, by zone, and free from an amount", function()
    local pack = assert(with("shipping", [[
      { method = "van", name = "Van", zones = { "GB" }, currency = "GBP",
        fees = { { from = 0, fee = 895 }, { from = 2500, fee = 495 } }, free_from = 10000 },
      { method = "van", name = "Van", zones = { "IE", "FR" }, currency = "GBP", fee = 1500 },
      { method = "boat", name = "Boat", currency = "GBP", fee = 3000 } ]]))
    assert.same({ van = 895 }, fees(pack, 2499, "GB"))
    assert.same({ van = 495 }, fees(pack, 2500, "GB"))
    assert.same({ van = 0 }, fees(pack, 10000, "GB"))
    assert.same({ van = 1500 }, fees(pack, 10000, "IE"))
    assert.same({ boat = 3000 }, fees(pack, 10000, "NZ"))
  end)

  it("that could not be used is refused", function()
    local good = "method = 'van', name = 'Van', currency = 'GBP'"
    refused("shipping", "{ " .. good .. " }", "[1]: either fee or fees is needed")
    refused("shipping", "{ " .. good .. ", fee = -1 }", "[1].fee: at least 0 is expected, not -1")
    refused("shipping", "{ " .. good .. ", fee = 3.95 }", "[1].fee: an integer is expected, not 3.9500000000000002")
    refused("shipping", "{ " .. good .. ", fees = { { from = 100, fee = 1 } } }",
      "[1].fees[1].from: the first is from 0, each next one from more")
    refused("shipping", "{ " .. good .. ", fees = { { from = 0, fee = 1 }, { from = 0, fee = 2 } } }",
      "[1].fees[2].from: the first is from 0, each next one from more")
    refused("shipping", "{ " .. good .. ", fee = 1, free_form = 100 }",
      "[1].free_form: unknown field (did you mean 'free_from'?)")
    refused("shipping", "{ " .. good .. ", fee = 1, tax_category = 'standart' }",
      "[1].tax_category: there is no 'standart' (did you mean 'standard'?)")
    refused("shipping", "{ method = 'van', name = 'Van', currency = 'XYZ', fee = 1 }",
      "[1].currency: 'XYZ' is no currency whose minor units are known")
    refused("shipping", ("{ " .. good .. ", fee = 1, zones = { 'GB' } }, "):rep(2),
      "[2].method: 'van in GB for GBP' is also that of definitions/shipping.lua:1: [1]")
  end)
end)

describe("a limit", function()
  local function problems(pack, lines, more)
    local decision = assert(pack:decide("cart.accept", cart(lines, more)))
    assert.equal(#decision.problems == 0, decision.accept)
    return decision.problems
  end

  it("keeps a line, or all of a kind together, within it, and says so in its words", function()
    local pack = assert(with("limits", [[
      { id = "mugs", doc = "At most 6 of a mug", most = 6, skus = { "MUG" } },
      { id = "candles", doc = "At most 10 candles", most = 10, per = "cart", categories = { "lighting/candles" } } ]]))
    assert.same({}, problems(pack, { { sku = "MUG", quantity = 6 }, { sku = "CUP", quantity = 60 } }))
    assert.same({ { sku = "MUG", code = "limit", detail = "At most 6 of a mug" } },
      problems(pack, { { sku = "MUG", quantity = 7 } }))
    local candles = { { sku = "A", quantity = 6, categories = { "lighting/candles/votive" } },
      { sku = "B", quantity = 5, categories = { "lighting/candles" } },
      { sku = "C", quantity = 50, categories = { "lighting/candlesticks" } } }
    local adds = { change = { kind = "add", lines = { { sku = "B", quantity = 1 } } } }
    assert.same({ { sku = "B", code = "limit", detail = "At most 10 candles" } }, problems(pack, candles, adds))
    candles[2].quantity = 4
    assert.same({}, problems(pack, candles, adds))
  end)

  it("is for the customers, zones and times that it names", function()
    local pack = assert(with("limits", [[ { id = "retail", doc = "At most 2 to a household", most = 2,
      customer_groups = { "none", "retail" }, zones = { "GB" }, starts_at = "2026-11-01T00:00:00Z",
      ends_at = "2026-12-01T00:00:00Z" } ]]))
    local lines = { { sku = "A", quantity = 3 } }
    assert.equal(1, #problems(pack, lines))
    assert.equal(1, #problems(pack, lines, { customer = { id = "c", group = "retail" } }))
    assert.equal(0, #problems(pack, lines, { customer = { id = "c", group = "wholesale" } }))
    assert.equal(0, #problems(pack, lines, { zone = "IE" }))
    assert.equal(0, #problems(pack, lines, { now = "2026-12-02T00:00:00Z" }))
  end)

  it("that could not be used is refused", function()
    refused("limits", "{ id = 'a', doc = 'A', most = 0 }", "[1].most: at least 1 is expected, not 0")
    refused("limits", "{ id = 'a', doc = 'A', most = 1, per = 'order' }", "[1].per: 'order' is not one of line, cart")
    refused("limits", "{ id = 'a', doc = 'A', most = 1 }, { id = 'a', doc = 'B', most = 2 }",
      "[2].id: 'a' is also that of definitions/limits.lua:1: [1]")
    refused("limits", "{ id = 'a', most = 1 }", "[1].doc: is missing")
  end)
end)
