-- Carts whose totals established shops publish as their own acceptance tests, priced by price.cart: their figures, in
-- minor units, where they follow the conventions of the pricing rules. The table is acceptance_cases.lua.
local shell = require "spec.support.shell"
local shops = require "spec.rules.acceptance_cases"

local NOW = "2026-11-23T10:00:00Z"

-- What a case may expect besides the decision's totals: a column of one of its lists.
local COLUMNS = { line_totals = { "lines", "total" }, unit_prices = { "lines", "unit_price" },
  unit_discounts = { "lines", "unit_discounts" }, item_discounts = { "lines", "item_discount" },
  order_discounts = { "lines", "order_discount" }, taxes = { "lines", "tax" },
  taxes_included = { "lines", "tax_included" }, shipment_totals = { "shipping", "total" },
  shipment_taxes = { "shipping", "tax" }, shipment_taxes_included = { "shipping", "tax_included" },
  accepted = { "coupons", "accepted" }, reasons = { "coupons", "reason" } }

-- A line of the table, { price, quantity, more facts of it }: SKUs are A, B, C by their place.
local function line(given, i)
  local made = { sku = string.char(64 + i), unit_price = given[1], quantity = given[2] or 1 }
  for name, value in pairs(given[3] or {}) do made[name] = value end
  return made
end

local function facts_of(case)
  local facts = { currency = "USD", now = NOW, lines = {}, promotions = case.promotions, tax_rates = {} }
  for i, given in ipairs(case.lines) do facts.lines[i] = line(given, i) end
  for name, value in pairs(case.more or {}) do facts[name] = value end
  return facts
end

local function found(decision, name)
  local column = COLUMNS[name]
  if not column then return decision[name] end
  local values = {}
  for i, row in ipairs(decision[column[1]]) do
    local value = row[column[2]]
    values[i] = type(value) == "table" and { unpack(value) } or value
  end
  return values
end

describe("price.cart gives what established shops expect of their own:", function()
  for _, shop in ipairs(shops) do
    for _, case in ipairs(shop) do
      it(shop.name .. ", " .. case.name, function()
        local decision, message = fastr.rules.decide("price.cart", facts_of(case))
        assert.truthy(decision, message)
        for name, value in pairs(case.gives) do assert.same({ [name] = value }, { [name] = found(decision, name) }) end
      end)
    end
  end

  it("and so does the oracle", function()
    local path, lines = os.tmpname(), {}
    finally(function() os.remove(path) end)
    for _, shop in ipairs(shops) do
      for _, case in ipairs(shop) do lines[#lines + 1] = fastr.json.encode(facts_of(case)) .. "\n" end
    end
    shell.write(path, table.concat(lines))
    assert.equal(#lines .. " carts agree", shell.must("python3 spec/oracle/compare.py " .. path))
  end)
end)

describe("money.allocate shares amounts as established libraries of money do:", function()
  for _, each in ipairs(shops.allocations) do
    local amount, weights, shares = each[1], each[2], each[3]
    it(("%d by %s"):format(amount, table.concat(weights, ":")), function()
      assert.same(shares, { unpack(fastr.money.allocate(amount, weights)) })
    end)
  end
end)
