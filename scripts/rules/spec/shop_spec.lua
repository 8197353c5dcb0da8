-- What the shop's promotions give beside each other; what each does alone is said by its examples. Values are asked for
-- and not written down: a percentage or a threshold that is edited is no mistake.

local CANDLES = "lighting/candles"

local function entry(cart, rule, more) return rules.entry(rules.price(cart, more), rule) end

describe("ten off over 150", function()
  local function given(cart) return entry(cart, "ten_off_over_150").amount end

  local function from() return entry({ LAMP = { 2, 1 } }, "ten_off_over_150").wanted end

  it("begins with its amount, of what is left after the free candles", function()
    local half = math.ceil(from() / 2)
    assert.is_nil(given { LAMP = { 2, half - 1 } })
    assert.is_true(given { LAMP = { 2, half } } > 0)
    assert.is_nil(given { CANDLE = { 3, 1000, CANDLES }, LAMP = { 2, half - 1001 } })
    assert.is_true(given { CANDLE = { 3, 1000, CANDLES }, LAMP = { 2, half - 1000 } } > 0)
  end)

  it("says how much is missing, in a customer's words", function()
    local said = entry({ LAMP = { 2, math.ceil(from() / 2) - 100 } }, "ten_off_over_150")
    assert.same({ "not_applied", "money" }, { said.outcome, said.unit })
    assert.is_true(said.wanted - said.actual <= 200 and #said.says > 0)
  end)
end)

describe("welcome", function()
  local function first_order(coupons, customer)
    return entry({ MUG = { 2, 1000 } }, "welcome", { coupons = coupons, customer = customer }).amount
  end

  it("is for the first order of a known customer, and for who enters the code", function()
    assert.is_true(first_order({ "WELCOME" }, { orders_placed = 0 }) > 0)
    assert.is_nil(first_order({ "WELCOME" }, { orders_placed = 1 }))
    assert.is_nil(first_order({ "welcome" }, { orders_placed = 0 }))
    assert.is_nil(first_order({ "WELCOME" }))
  end)
end)

describe("delivery", function()
  local function first(price, zone)
    local answer = rules.decide("shipping.options", { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = zone,
      lines = { { sku = "MUG", quantity = 2, unit_price = price } } })
    return answer.options[1]
  end

  it("is free in the country for who spends what is missing, and dearer abroad", function()
    local small = first(100, "GB")
    assert.is_true(small.fee > 0 and small.missing_for_free > 0)
    assert.equal(0, first(100 + small.missing_for_free, "GB").fee)
    assert.is_true(first(100, "FR").fee > small.fee)
  end)
end)
