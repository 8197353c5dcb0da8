-- lib.money: whole minor units, in and out.

local money = require "lib.money"

describe("money", function()
  it("holds whole minor units of a currency, and nothing else", function()
    assert.same({ amount = -1099, currency = "GBP" }, money.new(-1099, "GBP"))
    for _, amount in ipairs { 1.5, 2 ^ 53, 0 / 0, "1" } do
      assert.has_error(function() money.new(amount, "GBP") end)
    end
    for _, currency in ipairs { "gbp", "XXX", "ABC" } do
      assert.has_error(function() money.new(1, currency) end)
    end
  end)

  it("makes many of one currency", function()
    local pounds = money.of("GBP")
    assert.same({ { amount = 5, currency = "GBP" }, { amount = -1, currency = "GBP" } }, { pounds(5), pounds(-1) })
  end)

  it("does not mix currencies", function()
    assert.equal(5, money.amount({ amount = 5, currency = "GBP" }, "GBP"))
    local amount, _, code = money.amount({ amount = 5, currency = "EUR" }, "GBP")
    assert.is_nil(amount)
    assert.equal("currency", code)
  end)

  it("writes each currency with its own digits", function()
    assert.equal("10.99 GBP", money.text(1099, "GBP"))
    assert.equal("-0.05 GBP", money.text(-5, "GBP"))
    assert.equal("500 JPY", money.text(500, "JPY"))
    assert.equal("1.234 KWD", money.text(1234, "KWD"))
    assert.equal("0.0001 CLF", money.text(1, "CLF"))
    assert.equal("9007199254740991", money.decimal(9007199254740991, "JPY"))
    assert.equal(0, money.exponent "UYI")
  end)
end)
