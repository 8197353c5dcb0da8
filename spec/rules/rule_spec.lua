-- What a rule file can say: each word and each offer, over the shop's own pack, and what a wrong one is told.

local shop = assert(fastr.rules.open("scripts/rules"))

-- The pack with a promotion of this text: pack, or nil and the message.
local function pack_with(text) return shop:with("promotions/mine.lua", text) end

local function rule(fields)
  return ([[return rule { doc = "Mine.", examples = { { "nothing", cart = {}, total = 0 } }, %s }]]):format(fields)
end

local function line(sku, quantity, price, category, more)
  local made = { sku = sku, quantity = quantity, unit_price = price, categories = { category } }
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

-- The decision on lines by a promotion with these fields, and the promotion's entry of the trace.
local function price(fields, lines, more)
  local pack = assert(pack_with(rule(fields)))
  local facts = { currency = "GBP", now = "2026-10-01T10:00:00Z", lines = lines }
  for name, value in pairs(more or {}) do facts[name] = value end
  local decision = assert(pack:decide("price.cart", facts, { explain = "full" }))
  pack:close()
  for _, entry in ipairs(decision.trace) do
    if entry.rule == "mine" then return decision, entry end
  end
end

local function totals(decision)
  local list = {}
  for i, each in ipairs(decision.lines) do list[i] = each.total end
  return list
end

local function refused(text, expected)
  local pack, message = pack_with(text)
  local good
  if pack then good, message = pack:prove() end
  assert.is_nil(good)
  assert.truthy(message:find(expected, 1, true), message)
end

local HALF = "apply = function(cart) cart:percent_off { percent = 50, of = %s } end"
local function half(of) return 'stage = "item", ' .. HALF:format(of) end

describe("what a rule is about", function()
  local lines = { line("A", 1, 100, "home/vases"), line("B", 1, 100, "toys"), line("C", 1, 100, "homeware") }

  it("is a category and those below it, one of several, SKUs, or all but some", function()
    assert.same({ 50, 100, 100 }, totals(price(half 'category "home"', lines)))
    assert.same({ 50, 50, 100 }, totals(price(half 'category("home", "toys")', lines)))
    assert.same({ 100, 50, 50 }, totals(price(half 'sku("B", "C")', lines)))
    assert.same({ 100, 50, 50 }, totals(price(half 'except(category "home")', lines)))
    assert.same({ 50, 100, 100 }, totals(price(half 'except(sku "B", category("home", "toys"))', lines)))
  end)

  it("is what nothing has been taken off yet", function()
    local earlier = assert(shop:with("promotions/earlier.lua", [[return rule { doc = "Earlier.", stage = "item",
      priority = 1, apply = function(cart) cart:amount_off_each { amount = 1, of = sku "A" } end,
      examples = { { "nothing", cart = {}, total = 0 } } }]]))
    local pack = assert(earlier:with("promotions/mine.lua", rule(half 'full_price()')))
    local decision = assert(pack:decide("price.cart", { currency = "GBP", now = "2026-10-01T10:00:00Z",
      lines = lines }))
    assert.same({ 99, 50, 50 }, totals(decision))
  end)

  it("chooses the same lines in cart:lines as in an offer", function()
    local by_hand = 'stage = "item", apply = function(cart) for _, line in ipairs(cart:lines(%s)) do '
      .. "cart:line_off(line, line.total / 2) end end"
    for _, of in ipairs { 'category "home"', 'sku("A", "C")', 'except(category "toys")', "nil",
        'except(sku "A", category("home", "toys"))', 'full_price(category "home")' } do
      assert.same(totals(price(half(of), lines)), totals(price(by_hand:format(of), lines)), of)
    end
  end)
end)

describe("the limits of a rule", function()
  it("hold as those of a promotion that is data, and are told to who counts", function()
    local limits = 'usage = { limit = 2, give_back = false }, budget = { limit = 100 }, ' .. half "nil"
    local lines = { line("A", 1, 100, "home") }
    local function total(usage)
      return (price(limits, lines, { usage = usage and { mine = usage } })).total
    end
    assert.same({ 50, 50, 100, 100 }, { total(), total { used = 1, spent = 50 }, total { used = 2 },
      total { spent = 51 } })
    local pack = assert(pack_with(rule(limits)))
    assert.same({ { promotion = "mine", limit = 2, give_back = false, budget = { type = "spend", limit = 100 } } },
      assert(pack:decide("price.limits", { promotions = { "mine" } })).limits)
    pack:close()
  end)
end)

describe("a condition", function()
  local one = { line("A", 1, 1000, "home") }

  local function holds(condition, more)
    local _, entry = price(("when = { %s }, "):format(condition) .. half "nil", one, more)
    return entry.outcome == "applied", entry
  end

  it("on the customer's group, orders or zone says what is and what is wanted", function()
    assert.is_true(holds('customer_in("trade", "staff")', { customer = { group = "staff" } }))
    local held, entry = holds('customer_in("trade", "staff")', { customer = { group = "family" } })
    assert.same({ false, "family", "trade or staff" }, { held, entry.actual, entry.wanted })
    assert.is_true(holds("orders_at_least(3)", { customer = { orders_placed = 3 } }))
    assert.is_false(holds("orders_at_least(3)", { customer = { orders_placed = 2 } }))
    assert.is_false((holds "orders_at_least(0)"))
    assert.is_true(holds('in_zone("DE", "FR")', { zone = "FR" }))
    assert.is_false(holds('in_zone("DE", "FR")', { zone = "GB" }))
    assert.is_true((holds 'in_zone("GB")'))
  end)

  it("on the hours of a week takes the first minute and not the last, by clocks of the zone", function()
    local happy = 'during { days = { "friday" }, from = "17:00", to = "19:00", offset = "+01:00" }'
    for now, expected in pairs { ["2026-10-02T16:00:00Z"] = true, ["2026-10-02T15:59:59Z"] = false,
        ["2026-10-02T17:59:59Z"] = true, ["2026-10-02T18:00:00Z"] = false, ["2026-10-01T16:30:00Z"] = false,
        ["2026-10-02T18:30:00+02:00"] = true } do
      local held, entry = holds(happy, { now = now })
      assert.equal(expected, held, now)
      if now == "2026-10-01T16:30:00Z" then
        assert.same({ "thursday 17:30", "friday 17:00-19:00" }, { entry.actual, entry.wanted })
      end
    end
  end)

  it("on hours may go past midnight, and be of every day", function()
    local night = 'during { from = "22:00", to = "02:00" }'
    assert.is_true(holds(night, { now = "2026-10-02T23:00:00Z" }))
    assert.is_true(holds(night, { now = "2026-10-02T01:59:00Z" }))
    assert.is_false(holds(night, { now = "2026-10-02T02:00:00Z" }))
    assert.is_true(holds('during { days = { "sunday" } }', { now = "2026-10-04T00:00:00Z" }))
  end)

  it("that more in the cart would meet says so, with what a customer reads, if it is all that is missing", function()
    local _, entry = price('says = "Half", when = { at_least(3, sku "A"), spend_at_least(1000) }, ' .. half "nil", one)
    assert.same({ "units", "A", 1, 3, "Half" }, { entry.unit, entry.of, entry.actual, entry.wanted, entry.says })
    _, entry = price('says = "Half", when = { spend_at_least(5000), at_least(3, sku "A") }, ' .. half "nil", one)
    assert.same({ "units" }, { entry.unit, entry.says })
    _, entry = price('when = { spend_at_least(5000, category "home") }, ' .. half "nil", one)
    assert.same({ "money", "home", "Mine" }, { entry.unit, entry.of, entry.says })
    _, entry = price('says = "Half", ' .. half "nil", one)
    assert.same({ "applied", "Half" }, { entry.outcome, entry.says })
  end)

  it("of one's own sees the cart as apply does, and cannot give", function()
    local odd = '{ "an odd number", function(cart) return cart:quantity() % 2 == 1, cart:quantity(), "odd" end }'
    assert.is_true((holds(odd)))
    local pack = assert(pack_with(rule('when = { { "gives", function(cart) cart:order_amount_off { amount = 1 } '
      .. "return true end } }, " .. half "nil")))
    local decision, message = pack:decide("price.cart", { currency = "GBP", now = "2026-10-01T10:00:00Z", lines = one })
    assert.is_nil(decision)
    assert.truthy(message:find("none is open", 1, true), message)
  end)
end)

describe("an offer", function()
  local function given(stage, call, lines, more)
    return price(('stage = "%s", apply = function(cart) %s end'):format(stage, call), lines, more)
  end

  it("cannot be exchanged for another", function()
    local pack = assert(pack_with(rule('stage = "item", apply = function(cart) '
      .. "getmetatable(cart).__index = {} end")))
    local decision, message = pack:decide("price.cart", { currency = "GBP", now = "2026-10-01T10:00:00Z",
      lines = { line("A", 1, 100) } })
    assert.is_nil(decision)
    assert.truthy(message:find("promotions/mine.lua:1: attempt to index a boolean", 1, true), message)
  end)

  it("price_each takes off what is above the price", function()
    assert.same({ 1500, 400 }, totals(given("item", "cart:price_each { price = 500 }",
      { line("A", 3, 700), line("B", 1, 400) })))
  end)

  it("buy_get gives units of other goods, as often as they were bought", function()
    local call = 'cart:buy_get { buy = 1, of = sku "A", get = 1, get_of = sku "B", percent = 50 }'
    assert.same({ 2000, 200 }, totals(given("item", call, { line("A", 2, 1000), line("B", 3, 100) })))
    assert.same({ 2000, 250 }, totals(given("item", call:gsub("percent", "times = 1, percent"),
      { line("A", 2, 1000), line("B", 3, 100) })))
  end)

  it("order_percent_off stops at its most", function()
    assert.equal(700, given("order", "cart:order_percent_off { percent = 50, at_most = 300 }",
      { line("A", 1, 1000) }).total)
  end)

  it("on shipping may be of one method", function()
    local shipping = { { method = "standard", fee = 400 }, { method = "express", fee = 800 } }
    local function fees(call)
      local decision, list = given("shipping", call, {}, { shipping = shipping }), {}
      for i, each in ipairs(decision.shipping) do list[i] = each.total end
      return list
    end
    assert.same({ 0, 0 }, fees "cart:free_shipping()")
    assert.same({ 0, 800 }, fees 'cart:free_shipping { method = "standard" }')
    assert.same({ 400, 600 }, fees 'cart:shipping_percent_off { percent = 25, method = "express" }')
    assert.same({ 100, 500 }, fees "cart:shipping_amount_off { amount = 300 }")
  end)

  it("tier is what stands beside the highest step reached", function()
    local call = "local p = tier(cart:total(), { { 1000, 5 }, { 5000, 10 } }) "
      .. "if p then cart:order_percent_off { percent = p } end"
    assert.equal(999, given("order", call, { line("A", 1, 999) }).total)
    assert.equal(950, given("order", call, { line("A", 1, 1000) }).total)
    assert.equal(4500, given("order", call, { line("A", 1, 5000) }).total)
  end)
end)

describe("a bundle", function()
  local function of(how, lines)
    return price(('stage = "item", apply = function(cart) cart:bundle { %s } end'):format(how), lines)
  end

  it("of N for a price takes the dearest, as often as it fits, and is never dearer than apart", function()
    local three = "parts = { { 3 } }, price = 1000"
    assert.equal(1000 + 300, of(three, { line("A", 2, 500), line("B", 2, 300) }).total)
    assert.equal(3000, of(three, { line("A", 9, 500) }).total)
    assert.equal(900, of(three, { line("A", 3, 300) }).total)
    assert.equal(2500, of(three .. ", times = 1", { line("A", 6, 500) }).total)
  end)

  it("of several parts needs all of them, and one unit is not in two", function()
    local meal = 'parts = { { 1, category "main" }, { 2, category "side" } }, amount = 100'
    assert.equal(700, of(meal, { line("M", 1, 500, "main"), line("S", 1, 200, "side") }).total)
    assert.equal(800, of(meal, { line("M", 1, 500, "main"), line("S", 2, 200, "side") }).total)
    local same_twice = "parts = { { 1 }, { 1 } }, percent = 50"
    assert.equal(100, of(same_twice, { line("A", 1, 100) }).total)
    assert.equal(100, of(same_twice, { line("A", 2, 100) }).total)
  end)

  -- One unit after the other, as somebody at a till would do it.
  local function at_the_till(lines, count, bundle_price)
    local units, total = {}, 0
    for _, each in ipairs(lines) do
      for _ = 1, each.quantity do units[#units + 1] = each.unit_price end
      total = total + each.quantity * each.unit_price
    end
    table.sort(units, function(a, b) return a > b end)
    for first = 1, #units - count + 1, count do
      local sum = 0
      for i = first, first + count - 1 do sum = sum + units[i] end
      total = total - math.max(0, sum - bundle_price)
    end
    return total
  end

  it("costs what it costs unit by unit, on 300 carts", function()
    local pack = assert(pack_with(rule('stage = "item", apply = function(cart) '
      .. "cart:bundle { parts = { { 3 } }, price = 900 } end")))
    local seed = 7
    local function random(most)
      seed = (seed * 16807) % 2147483647
      return seed % most + 1
    end
    for _ = 1, 300 do
      local lines = {}
      for i = 1, random(6) do lines[i] = line("S" .. i, random(9), random(5) * 100 + random(3)) end
      local decision = assert(pack:decide("price.cart", { currency = "GBP", now = "2026-10-01T10:00:00Z",
        lines = lines }))
      assert.equal(at_the_till(lines, 3, 900), decision.total, fastr.json.encode(lines))
    end
  end)
end)

describe("a rule file that is wrong is told what and where:", function()
  it("fields, examples and conditions", function()
    local at = "promotions/mine.lua:1: "
    refused(rule('stage = "item", aply = 1'), at .. "unknown field 'aply' of a rule (did you mean 'apply'?)")
    refused(rule('stage = "later", apply = function() end'), at .. "'later' is no stage: item, order or shipping")
    refused("return 3", "promotions/mine.lua:1: a rule file returns rule { ... }")
    refused(rule('stage = "item", usage = { limt = 1 }, apply = function() end'),
      at .. "a rule's usage.limt: unknown field (did you mean 'limit'?)")
    refused(rule('stage = "item", usage = { used = 1 }, apply = function() end'), at .. "a rule's usage.used: unknown")
    refused(rule('stage = "item", budget = { limit = -1 }, apply = function() end'), at .. "a rule's budget.limit: ")
    refused(rule('stage = "item", when = { 3 }, apply = function() end'), "when[1] is not a condition")
    refused('return rule { doc = "x", stage = "item", apply = function() end, examples = { { "x", card = {}, '
      .. "total = 0 } } }", "unknown field 'card' of example 1 (x)")
    refused('return rule { doc = "x", stage = "item", apply = function() end, examples = { { "x", cart = {} } } }',
      "example 1 (x) needs 'total'")
  end)

  it("words", function()
    local function with(condition)
      return rule(('stage = "item", when = { %s }, apply = function() end'):format(condition))
    end
    refused(with 'at_least("3")', "promotions/mine.lua:1: at_least needs a number, not a string")
    refused(with "at_least(3, category(7))", "category takes texts, not a number")
    refused(with "customer_in()", "customer_in needs at least one name")
    refused(with 'during { from = "5pm" }', "'5pm' is not a time of day such as 17:30")
    refused(with 'during { days = { "fri" } }', "'fri' is not a day such as monday")
    refused(with 'during { offset = "1" }', "promotions/mine.lua:1: during: an offset is such as +01:00")
    refused(with 'during { offset = "+1" }', "promotions/mine.lua:1: during: '1' is not a time of day")
    refused(with 'at_least(1, categry "x")', "unknown name 'categry' (did you mean 'category'?)")
  end)

  it("offers", function()
    local function with(call)
      return ([[return rule { doc = "x", stage = "item",
        apply = function(cart) %s end,
        examples = { { "one", cart = { A = { 1, 100 } }, total = 100 } } }]]):format(call)
    end
    local at = "promotions/mine.lua:2: "
    refused(with "cart:percent_off { precent = 10 }", at .. "percent_off: takes no 'precent' (did you mean 'percent'?)")
    refused(with "cart:percent_off()", at .. "percent_off: needs 'percent'")
    refused(with "cart:percent_off(10)", at .. "percent_off: is told by name: percent_off { ... }")
    refused(with "cart.percent_off { percent = 1 }", at .. "percent_off: is called with a colon: cart:percent_off ")
    refused(with "cart:percent_of { percent = 1 }", at .. "a cart has no 'percent_of' (did you mean 'percent_off'?)")
    refused(with "cart:percent_off { percent = 101 }", at .. "percent_off: a percentage is from 0 to 100 here")
    refused(with "cart:order_amount_off { amount = 0.5 }", at .. "order_amount_off: an amount is an integer")
    refused(with "cart:line_off(cart:lines()[1], -1)", at .. "line_off: a reduction is not negative")
    refused(with 'cart:percent_off { percent = 10, of = "home" }', at .. "percent_off: 'of' is what category, sku, ")
    refused(with "cart:bundle { parts = { { 1 } } }", at .. "bundle: needs one of 'price', 'amount' and 'percent'")
    refused(with "cart:bundle { parts = { 3 }, price = 1 }", at .. "bundle: a part is { units, what }")
    refused(with "while true do end", at .. "budget of ")
  end)

  it("examples", function()
    local function with(examples)
      return ('return rule { doc = "x", stage = "item", apply = function() end, examples = { %s } }'):format(examples)
    end
    refused(with "", "promotions/mine.lua:1: 'examples' has none")
    refused(with '{ "x", cart = { A = { 1 } }, total = 0 }', "example 1 (x): 'A' is { quantity, unit price in ")
    refused(with '{ "x", cart = { A = { 1, 2.5 } }, total = 2 }', "example 1 (x): 'A' is { quantity, unit price in ")
  end)

  it("times", function()
    refused(rule 'stage = "item", from = "2026-11-1", apply = function() end',
      "promotions/mine.lua:1: a rule.from: '2026-11-1' is not a date-time")
  end)

  it("a name that another promotion has", function()
    local _, message = shop:with("promotions/welcome.lua", rule 'stage = "item", apply = function() end')
    assert.truthy(message:find("promotions/welcome.lua:1: there is another promotion 'welcome'", 1, true), message)
  end)
end)
