-- What of a decision carts and orders show: lines with their units, shipments, taxes by rate, totals, coupons; proved
-- on random carts, whose seed a failure names.
local money = require "lib.money"
local returns = require "services.order.returns"
local shapes = require "lib.order"

local CARTS = 300
local NOW = "2026-11-23T10:00:00Z"
local RATES = { { category = "standard", percent = 20, included = true }, { category = "reduced", percent = "5.5" },
  { category = "zero", percent = 0, included = true }, { category = "high", percent = 23 },
  { category = "odd", percent = "7.875", included = true } }
local CATEGORIES = { "standard", "reduced", "zero", "high", "odd", "untaxed" }
local array = fastr.json.array

local function price(facts)
  facts.currency, facts.now, facts.promotions = "GBP", NOW, facts.promotions or array {}
  local decision, message = fastr.rules.decide("price.cart", facts, { explain = "applied" })
  assert.truthy(decision, message)
  return decision
end

-- ---- random carts -------------------------------------------------------------------------------------------------

local KINDS = {
  function(n) return { type = "item_percent", value = n(90), max_quantity = n(4) } end,
  function(n) return { type = "item_fixed", value = n(150) } end,
  function(n) return { type = "line_fixed", value = n(500) } end,
  function(n) return { type = "order_percent", value = n(60) } end,
  function(n) return { type = "order_fixed", value = n(4000) } end,
  function(n) return { type = "catalog_percent", value = n(40) } end,
  function(n) return { type = "buy_x_get_y", value = 100, buy_quantity = n(2), get_quantity = 1, times = n(3) } end,
  function(n) return { type = "shipping_percent", value = n(100) } end,
}

-- A generator of its own, so that a seed gives the same cart everywhere.
local function dice(seed)
  return function(n)
    seed = (seed * 48271) % 2147483647
    return seed % n + 1
  end
end

local function random_cart(n)
  local facts = { lines = array {}, promotions = array {}, tax_rates = RATES,
    shipping = array { { method = "post", fee = n(900), tax_category = CATEGORIES[n(6)] } },
    settings = { tax_rounding = ({ "line", "unit", "total" })[n(3)] } }
  for i = 1, n(5) do
    facts.lines[i] = { sku = "S" .. i, quantity = n(12), unit_price = n(3000), tax_category = CATEGORIES[n(6)] }
    if n(4) == 1 then
      facts.lines[i].prices = array { { currency = "GBP", amount = n(3000), rules = { zone = "GB" } } }
      facts.zone = "GB"
    end
  end
  for i = 1, n(4) - 1 do facts.promotions[i] = { id = "p" .. i, actions = array { KINDS[n(#KINDS)](n) } } end
  return facts
end

-- Calls prove(decision, n, facts) for many carts.
local function each_cart(prove)
  for seed = 1, CARTS do
    local n = dice(seed * 7919)
    local facts = random_cart(n)
    local good, message = pcall(prove, price(facts), n, facts)
    if not good then error(("seed %d, %s: %s"):format(seed, fastr.json.encode(facts), tostring(message)), 0) end
  end
end

local m = money.of "GBP"

local function sum(list, value)
  local total = 0
  for _, each in ipairs(list) do total = total + value(each) end
  return total
end

-- What those of `given` (lines or shipments of the facts) that are of the category cost without the tax.
local function net(category, given, decided)
  local base = 0
  for i, one in ipairs(given) do
    if one.tax_category == category then base = base + decided[i].total - decided[i].tax_included end
  end
  return base
end

-- ---- promises -----------------------------------------------------------------------------------------------------

describe("the units of a line", function()
  it("add up to it: list price, discounts, total and taxes", function()
    each_cart(function(decision)
      for _, decided in ipairs(decision.lines) do
        local line = shapes.line_of(decided, "A thing", m)
        local function all(name) return sum(line.units, function(u) return u.quantity * u[name].amount end) end
        assert.equal(decided.quantity, sum(line.units, function(u) return u.quantity end))
        assert.equal(decided.total, all "total")
        assert.equal(decided.tax, all "tax")
        assert.equal(decided.tax_included, all "tax_included")
        assert.equal(line.list_price.amount * decided.quantity, all "total" + all "discount")
        assert.equal(line.discount.amount, line.item_discount.amount + line.order_discount.amount)
        for _, unit in ipairs(line.units) do
          assert.is_true(unit.total.amount >= 0 and unit.tax.amount >= 0 and unit.discount.amount >= 0)
          assert.is_true(unit.tax_included.amount >= 0 and unit.tax_included.amount <= unit.total.amount)
        end
      end
    end)
  end)

  it("carry of an added tax what they cost of the line: a free unit carries none", function()
    local decision = price { lines = { { sku = "A", quantity = 3, unit_price = 99, tax_category = "s" } },
      tax_rates = { { category = "s", percent = 20 } }, promotions = { { actions = { { type = "buy_x_get_y",
        value = 100, buy_quantity = 2, get_quantity = 1 } } } } }
    local units = shapes.line_of(decision.lines[1], "A", m).units
    assert.same({ { 2, 99, 20 }, { 1, 0, 0 } }, { { units[1].quantity, units[1].total.amount, units[1].tax.amount },
      { units[2].quantity, units[2].total.amount, units[2].tax.amount } })
  end)

  it("began at the price list's price where one holds", function()
    local line = shapes.line_of(price { lines = { { sku = "A", quantity = 2, unit_price = 500,
      prices = { { currency = "GBP", amount = 400 } } } } }.lines[1], "A", m)
    assert.same({ 400, 400, 0 }, { line.list_price.amount, line.unit_price.amount, line.units[1].discount.amount })
  end)
end)

describe("returns of a line", function()
  -- All units of the line in random parts: the list of what each part gives back.
  local function in_parts(line, n)
    local parts, back = {}, 0
    while back < line.quantity do
      local count = math.min(n(4), line.quantity - back)
      parts[#parts + 1] = returns.worth(line, back, count)
      back = back + count
    end
    return parts
  end

  it("give back what was paid for it, in whichever parts it comes", function()
    each_cart(function(decision, n)
      for _, decided in ipairs(decision.lines) do
        local line = shapes.line_of(decided, "A thing", m)
        local old = { quantity = line.quantity, total = line.total, tax = line.tax, tax_included = line.tax_included,
          unit_discounts = decided.unit_discounts, list_price = m(0) } -- as orders of before kept it
        for _, frozen in ipairs { line, line, old } do
          local parts = in_parts(frozen, n)
          assert.equal(decided.total + decided.tax, sum(parts, function(part) return part.refund end))
          assert.equal(decided.tax, sum(parts, function(part) return part.tax end))
          assert.equal(decided.tax_included, sum(parts, function(part) return part.tax_included end))
          for _, part in ipairs(parts) do assert.is_true(part.refund >= 0) end
        end
      end
    end)
  end)

  it("give back the same for the same unit, whatever came with it", function()
    each_cart(function(decision)
      for _, decided in ipairs(decision.lines) do
        local line = shapes.line_of(decided, "A thing", m)
        local alone = 0
        for unit = 1, line.quantity do
          alone = alone + returns.worth(line, unit - 1, 1).refund
          assert.equal(alone, returns.worth(line, 0, unit).refund)
        end
      end
    end)
  end)
end)

describe("totals and taxes", function()
  it("are the sums of what is shown", function()
    each_cart(function(decision, _, facts)
      local totals, lines = shapes.totals_of(decision), {}
      for i, decided in ipairs(decision.lines) do lines[i] = shapes.line_of(decided, "A thing", m) end
      local function all(name) return sum(lines, function(line) return line[name].amount end) end
      local taxes, shipping = shapes.taxes_of(decision.taxes, m), shapes.shipping_of(decision.shipping, m)
      local function taxed(included, name)
        return sum(taxes, function(t) return t.included == included and t[name].amount or 0 end)
      end
      assert.equal(totals.items.amount, all "subtotal")
      assert.equal(totals.item_discount.amount, all "item_discount")
      assert.equal(totals.order_discount.amount, all "order_discount")
      assert.equal(totals.discount.amount, totals.item_discount.amount + totals.order_discount.amount)
      assert.equal(totals.list.amount, sum(lines, function(l) return l.list_price.amount * l.quantity end))
      assert.equal(totals.tax.amount, taxed(false, "tax"))
      assert.equal(totals.tax_included.amount, taxed(true, "tax"))
      assert.equal(totals.total.amount, all "total" + all "tax" + shipping[1].total.amount + shipping[1].tax.amount)
      for _, each in ipairs(taxes) do
        assert.equal(each.base.amount, net(each.category, facts.lines, decision.lines)
          + net(each.category, facts.shipping, decision.shipping))
      end
    end)
  end)

  it("show each rate, with its zone where it has one", function()
    local decision = price { zone = "GB", lines = { { sku = "A", quantity = 1, unit_price = 120, tax_category = "s" } },
      tax_rates = { { category = "s", percent = "17.5", included = true, zone = "GB" } } }
    assert.same({ { category = "s", percent = 17.5, included = true, zone = "GB", base = m(102), tax = m(18) } },
      { unpack(shapes.taxes_of(decision.taxes, m)) })
  end)
end)

describe("a coupon", function()
  it("is shown with what became of it, in words where it was refused", function()
    local shown = shapes.coupons_of { { code = "TEN", accepted = true }, { code = "x", accepted = false,
      reason = "unknown" }, { code = "OLD", accepted = false, reason = "expired" }, { code = "V", accepted = false,
      reason = "something_new" } }
    assert.is_nil(shown[1].detail)
    assert.same({ "There is no coupon x; upper and lower case differ", "The coupon OLD is no longer valid",
      "The coupon V is not for this cart or customer" }, { shown[2].detail, shown[3].detail, shown[4].detail })
  end)
end)
