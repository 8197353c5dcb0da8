-- fastr.money: exact to the penny, or a raise that says where.
local money = fastr.money

-- The currencies in use, by the decimals of their minor units.
local ISO_4217 = {
  [0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  [2] = [[AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
    CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
    MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG
    YER ZAR ZMW ZWG]],
  [3] = "BHD IQD JOD KWD LYD OMR TND",
  [4] = "CLF UYW",
}

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

  it("knows every currency of ISO 4217 that has a minor unit, and none that has not", function()
    for places, list in pairs(ISO_4217) do
      for code in list:gmatch "%u+" do assert.equal(places, money.exponent(code), code) end
    end
    for code in ("XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX"):gmatch "%u+" do
      assert.has_error(function() money.exponent(code) end)
    end
    for _, code in ipairs { "", "GB", "GBPX", "gbp", " GB", "GB ", "AED AFN" } do
      assert.has_error(function() money.exponent(code) end)
    end
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

  it("parses what it formats, in every currency, and nothing that is no decimal", function()
    for _, code in ipairs { "JPY", "GBP", "KWD", "CLF" } do
      for _, amount in ipairs { 0, 1, -1, 9, 10, 999, -12345, money.max, -money.max } do
        assert.equal(amount, money.parse(money.format(amount, code), code))
      end
    end
    assert.equal(0, money.parse("-0.004", "GBP"))
    assert.equal(-1, money.parse("-0.005", "GBP"))
    assert.equal(1235, money.parse("1.23450000000000000000000000000001", "KWD"))
    assert.equal(1234, money.parse("1.23449999999999999999999999999999", "KWD"))
    for _, text in ipairs { "", "-", ".5", "5.", "1e3", "+1", " 1", "1 ", "1,5", "0x10", "1.2.3", "--1", "12\0", "nan" }
    do
      local amount, message, code = money.parse(text, "GBP")
      assert.same({ "nil", "string", "invalid" }, { type(amount), type(message), code }, text)
    end
    assert.is_nil((money.parse("90071992547409.92", "GBP")))
    assert.equal(money.max, money.parse("90071992547409.91", "GBP"))
  end)

  it("has the places of the currency: none of yen, three of dinars", function()
    assert.same({ "1000", "-7", "0" }, { money.format(1000, "JPY"), money.format(-7, "JPY"), money.format(0, "JPY") })
    assert.same({ "0.005", "-1.000", "12.345" },
      { money.format(5, "KWD"), money.format(-1000, "KWD"), money.format(12345, "KWD") })
    assert.same({ 1000, 1000, 1001, -1001 }, { money.parse("1000", "JPY"), money.parse("1000.49", "JPY"),
      money.parse("1000.5", "JPY"), money.parse("-1000.5", "JPY") })
    assert.same({ 1000, 1500, 1235, 1 }, { money.parse("1", "KWD"), money.parse("1.5", "KWD"),
      money.parse("1.2345", "KWD"), money.parse("0.0005", "KWD") })
  end)

  it("raises with the place for a float, an overflow and a mixed currency", function()
    local pound, euro = money.of(1, "GBP"), money.of(1, "EUR")
    local wrong = {
      ["is an integer in minor units"] = function() return (money.add(1, 0.5)) end,
      ["not a string"] = function() return (money.add("1", 1)) end,
      ["goes past 2^53 - 1"] = function() return (money.multiply(money.max, 2)) end,
      ["GBP does not mix with EUR"] = function() return pound + euro end,
      ["money goes with money"] = function() return pound - 1 end,
      ["up to 4 places"] = function() return (money.percent(1, 0.00001)) end,
      ["is negative"] = function() return (money.allocate(1, { 1, -1 })) end,
      ["1 to 1,000,000 weights"] = function() return (money.allocate(1, {})) end,
      ["not a currency of ISO 4217"] = function() return (money.of(1, "XXX")) end,
      ["'XAU' is not a currency"] = function() return (money.format(1, "XAU")) end,
      ["EUR does not mix with GBP"] = function() return euro < pound end,
      ["within 2^53 - 1"] = function() return (money.of(2 ^ 53, "GBP")) end,
      ["the amount goes past 2^53 - 1"] = function() return money.of(money.max, "GBP") + pound end,
      ["minor units, not 1.5"] = function() return pound * 1.5 end,
      ["not a nil"] = function() return (money.split(nil, 3)) end,
      ["into 1 to 1,000,000 parts"] = function() return (money.split(1, 0)) end,
      ["is from 0 to 100 here"] = function() return (money.less_percent(1, 101)) end,
      ["up to 4 places, not '10.12345'"] = function() return (money.percent(1, "10.12345")) end,
      ["the weights go past 2^63"] = function()
        local weights = {}
        for i = 1, 1025 do weights[i] = money.max end
        return (money.allocate(1, weights))
      end,
    }
    for reason, run in pairs(wrong) do
      local good, message = pcall(run)
      assert.is_false(good)
      assert.truthy(message:find(reason, 1, true), message)
      assert.truthy(message:find("money_spec.lua:%d+:"), message)
    end
  end)

  it("is divided by nothing but its allocation", function()
    local good, message = pcall(function() return money.of(100, "GBP") / 3 end)
    assert.is_false(good)
    assert.truthy(message:find("money_spec.lua:%d+: an amount is divided by :allocate"), message)
    assert.same({ 34, 33, 33 }, money.split(100, 3))
    assert.same({ money.max, 0 }, money.allocate(money.max, { money.max, 0 }))
    assert.same({ 3002399751580331, 3002399751580330, 3002399751580330 }, money.split(money.max, 3))
  end)

  it("allocates a value into values of the same currency", function()
    local parts = money.of(-100, "KWD"):allocate { 1, 1, 1 }
    assert.same({ "-0.034 KWD", "-0.033 KWD", "-0.033 KWD" },
      { tostring(parts[1]), tostring(parts[2]), tostring(parts[3]) })
    assert.equal("0.013 KWD", tostring(money.of(125, "KWD"):percent(10)))
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
