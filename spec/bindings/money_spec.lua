-- fastr.money: exact to the penny, or a raise that says where.
local money = fastr.money

describe("fastr.money", function()
  it("rounds half up, away from zero", function()
    assert.equal(3, money.percent(5, 50))
    assert.equal(-3, money.percent(-5, 50))
    assert.equal(90, money.less_percent(100, 10))
    assert.equal(895, money.less_percent(1000, "10.5"))
    assert.equal(1000, money.net(1200, 20))
  end)

  it("keeps products exact up to 2^53 - 1 and refuses beyond", function()
    assert.equal(money.max, money.percent(money.max, 100))
    assert.equal(900719925474099, money.percent(money.max, 10))
    assert.has_error(function() money.add(money.max, 1) end)
    assert.has_error(function() money.multiply(money.max, 2) end)
  end)

  it("says of any value whether it is an amount or a percentage", function()
    for _, good in ipairs { 0, -5, money.max, -money.max } do assert.is_true(money.is_amount(good)) end
    for _, bad in ipairs { 1.5, 0 / 0, 1 / 0, money.max + 1, "100", true, {} } do
      assert.is_false(money.is_amount(bad), tostring(bad))
    end
    for _, good in ipairs { 0, 100, 10.5, "10.5", "0.0001" } do assert.is_true(money.is_percent(good), good) end
    for _, bad in ipairs { -1, 100.0001, 0 / 0, 1 / 0, "1.23456", "", "ten", false, {} } do
      assert.is_false(money.is_percent(bad), tostring(bad))
    end
    assert.is_false(money.is_amount(nil) or money.is_percent(nil))
  end)

  it("refuses floats, NaN, text and percentages with 5 places, naming the place", function()
    for _, bad in ipairs { 1.5, 0 / 0, 1 / 0, "100", 2 ^ 53 } do
      assert.has_error(function() money.check(bad) end)
    end
    assert.has_error(function() money.percent(100, 10.12345) end)
    local _, message = pcall(function() money.add(1.5, 1) end)
    assert.truthy(message:find("money_spec.lua:%d+:"))
  end)

  it("allocates by largest remainder, earlier first on ties, and mirrors negative amounts", function()
    assert.same({ 34, 33, 33 }, money.allocate(100, { 1, 1, 1 }))
    assert.same({ -34, -33, -33 }, money.allocate(-100, { 1, 1, 1 }))
    assert.same({ 0, 100 }, money.allocate(100, { 0, 5 }))
    assert.same({ 1, 1, 0 }, money.allocate(2, { 0, 0, 0 }))
    assert.same({ 4, 3, 3 }, money.split(10, 3))
  end)

  it("knows the decimals of currencies", function()
    assert.equal(0, money.exponent "JPY")
    assert.equal(2, money.exponent "GBP")
    assert.equal(3, money.exponent "KWD")
    assert.has_error(function() money.exponent "XXX" end)
  end)

  it("parses and formats, rounding too many places half up", function()
    assert.equal(1001, money.parse("1000.50", "JPY"))
    assert.equal(1000, money.parse("9.999", "USD"))
    assert.equal(-5, money.parse("-0.05", "GBP"))
    assert.equal("-0.05", money.format(-5, "GBP"))
    assert.equal("12.345", money.format(12345, "KWD"))
    local amount, _, code = money.parse("1,000", "GBP")
    assert.is_nil(amount)
    assert.equal("invalid", code)
  end)

  it("does not mix currencies", function()
    local pound, euro = money.of(100, "GBP"), money.of(100, "EUR")
    assert.equal("2.00 GBP", tostring(pound + pound))
    assert.equal(300, (pound * 3).amount)
    assert.has_error(function() return pound + euro end)
    assert.has_error(function() return pound < euro end)
    assert.is_false(pound == euro)
  end)
end)
