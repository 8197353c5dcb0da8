-- What the shop's promotions give beside each other; what each does alone is said by its examples. They are asked for
-- by name, so that a promotion that is added does not change what is said of the others.

local CANDLES = "lighting/candles"

local function entry(cart, rule, more) return rules.entry(rules.price(cart, more), rule) end

describe("ten off over 150", function()
  local function given(cart) return entry(cart, "ten_off_over_150").amount end

  it("takes a tenth off from 150.00, after the free candles", function()
    assert.is_nil(given { LAMP = { 2, 7499 } })
    assert.equal(1500, given { LAMP = { 2, 7500 } })
    assert.is_nil(given { CANDLE = { 3, 1000, CANDLES }, LAMP = { 2, 6499 } })
    assert.equal(1500, given { CANDLE = { 3, 1000, CANDLES }, LAMP = { 2, 6500 } })
  end)

  it("says how much is missing", function()
    local said = entry({ LAMP = { 2, 7340 } }, "ten_off_over_150")
    assert.same({ "not_applied", 14680, 15000 }, { said.outcome, said.actual, said.wanted })
    assert.equal("10 % off orders of 150.00 or more", said.says)
  end)
end)

describe("welcome", function()
  local function first_order(coupons, customer)
    return entry({ MUG = { 2, 1000 } }, "welcome", { coupons = coupons, customer = customer }).amount
  end

  it("is for the first order of a known customer, and for who enters the code", function()
    assert.equal(100, first_order({ "WELCOME" }, { orders_placed = 0 }))
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

  it("is free from 50.00 in the country, and says what is missing to it", function()
    assert.same({ "standard", 395 }, { first(2000, "GB").method, first(2000, "GB").fee })
    assert.is_true(first(2000, "GB").missing_for_free >= 1000)
    assert.same({ "standard", 0 }, { first(4000, "GB").method, first(4000, "GB").fee })
    assert.same({ "international", 1295 }, { first(4000, "FR").method, first(4000, "FR").fee })
  end)
end)
