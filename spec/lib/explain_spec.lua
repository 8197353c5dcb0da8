-- What a trace is called: to a customer, and to who supports him.
local explain = require "lib.explain"

local function missing(unit, actual, wanted, of, says)
  return { rule = "mugs", outcome = "not_applied", condition = "at_least", unit = unit, actual = actual,
    wanted = wanted, of = of, says = says or "A tenth off mugs" }
end

describe("a customer", function()
  it("reads what each promotion saved him, once for each, whatever its stages", function()
    local said = explain.discounts({ { rule = "ten", outcome = "applied", amount = 470, says = "10 % off" },
      missing("units", 1, 2), { rule = "old", outcome = "applied", amount = 5 },
      { rule = "ten", outcome = "applied", amount = 9, says = "10 % off" } }, "GBP")
    assert.equal(2, #said)
    assert.same({ promotion = "ten", amount = { amount = 479, currency = "GBP" }, says = "10 % off",
      detail = "You saved 4.79: 10 % off" }, said[1])
    assert.equal("You saved 0.05: old", said[2].detail)
    assert.equal("You saved 5: old", explain.discounts({ { rule = "old", outcome = "applied", amount = 5 } },
      "JPY")[1].detail)
  end)

  it("reads apart what is in the catalogue's prices already", function()
    local said = explain.discounts({ { rule = "sale", outcome = "applied", stage = "catalog", amount = 30 },
      { rule = "sale", outcome = "applied", stage = "item", amount = 5 },
      { rule = "sale", outcome = "applied", stage = "order", amount = 2 } }, "GBP")
    assert.same({ { "catalog", 30 }, { "item", 7 } }, { { said[1].stage, said[1].amount.amount },
      { said[2].stage, said[2].amount.amount } })
  end)

  it("reads how much more would give him something, by amount and by quantity", function()
    local said = explain.thresholds({ missing("money", 14680, 15000, "the cart"),
      missing("money", 100, 500, "kitchen"), missing("units", 3, 4, "kitchen/mugs") }, "GBP")
    assert.same({ "Add 3.20: A tenth off mugs", "Add 4.00 of kitchen: A tenth off mugs",
      "1 more of kitchen/mugs: A tenth off mugs" }, { said[1].detail, said[2].detail, said[3].detail })
    assert.same({ 320, 1 }, { said[1].missing, said[3].missing_units })
  end)

  it("is not told of what nothing in his cart counts for, nor of what more would not help", function()
    local barred = missing("units", 3, 4)
    barred.says = nil
    assert.same({}, explain.thresholds({ missing("units", 0, 4), missing("money", 0, 500), barred,
      { rule = "x", outcome = "lost", to = "y" }, { outcome = "truncated", count = 3 } }, "GBP"))
  end)

  it("reads what free delivery takes", function()
    local options = { { method = "express" }, { method = "standard", name = "Standard", missing_for_free = 320 } }
    assert.equal("Add 3.20 for free delivery (Standard)", explain.free_delivery(explain.free_option(options), "GBP"))
    assert.is_nil(explain.free_option(options, "express"))
  end)
end)

describe("who supports him", function()
  it("reads the condition that failed, with both operands", function()
    for text, entry in pairs { ["not applied: at_least: has 1.00, needs 5.00"] = missing("money", 100, 500),
        ["not applied: at_least: has 1, needs 5"] = missing("units", 1, 5),
        ["applied -4.70"] = { outcome = "applied", amount = 470 }, ["lost to vip, which is exclusive"] = {
          outcome = "lost", to = "vip" }, ["switched off"] = { outcome = "not_applied", condition = "enabled",
          actual = "false", wanted = "true" }, ["3 more rules were looked at"] = {
          outcome = "truncated", count = 3 } } do
      assert.equal(text, explain.entry(entry, "GBP"))
    end
    assert.equal("takes no part", explain.entry(nil, "GBP"))
  end)
end)
