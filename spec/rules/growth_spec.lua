-- What a price costs grows no worse than linearly, in the lines of a cart and in the promotions: CPU time, the least of
-- several tries, for each kind of work that could grow faster.

local LINES, PROMOTIONS = { 75, 600 }, { 6, 50 }
local SLACK = 2 -- of caches, and a sort; what grows with the square is eight times as much

local null, array = fastr.json.null, fastr.json.array

local function one_of_ten(i) return { categories_any = { "top/c" .. i % 10 } } end

local function item(i)
  return { actions = { { type = "item_percent", value = i % 5, filters = one_of_ten(i) } } }
end

local KINDS = {
  ["item and order promotions"] = function(i)
    return i % 2 == 0 and item(i) or { conditions = { min_items_total = i },
      actions = { { type = "order_percent", value = 1, filters = one_of_ten(i) } } }
  end,
  ["every third of the cheapest"] = function(i)
    return { actions = { { type = "buy_x_get_y", value = 2, buy_quantity = 2, get_quantity = 1, times = null,
      pick = i % 2 == 0 and "cheapest" or "dearest", filters = i % 3 == 0 and one_of_ten(i) or nil } } }
  end,
  ["exclusive rules of the catalogue"] = function(i)
    return { level = "catalog", exclusive = true,
      actions = { { type = "catalog_percent", value = 1, filters = { skus_any = { "S" .. i } } } } }
  end,
  ["shares that do not fit"] = function()
    return { actions = { { type = "order_fixed", value = 5000 } } }
  end,
  ["budgets that are spent"] = function(i)
    local made = item(i)
    made.budget = { type = "spend", limit = 100, used = 100 }
    return made
  end,
  ["codes"] = function(i)
    local made = item(i)
    made.coupon = "CODE" .. i % 5
    return made
  end,
}

-- Lines of one price, the worst for orders by price; each with a tier, a floor and a tax.
local function facts(kind, lines, promotions)
  local made = { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = {}, promotions = array {},
    coupons = { "CODE0", "CODE1", "CODE2" }, settings = { tax_rounding = "total" },
    tax_rates = { { category = "standard", percent = 20, included = true } } }
  for i = 1, lines do
    made.lines[i] = { sku = "S" .. i, quantity = 24, categories = { "top/c" .. i % 10 }, tax_category = "standard",
      floor_price = i % 90, prices = { { currency = "GBP", amount = 100 },
        { currency = "GBP", amount = 90, min_quantity = 50 } } }
  end
  for i = 1, promotions do made.promotions[i] = kind(i) end
  return made
end

-- Seconds of CPU of the fastest of `best` and seven more decisions.
local function least(pack, given, best)
  for _ = 1, 7 do
    local begun = os.clock()
    assert(pack:decide("price.cart", given, { explain = "applied" }))
    best = math.min(best, os.clock() - begun)
  end
  return best
end

describe("the cost of a price grows no worse than linearly", function()
  local pack

  setup(function() pack = assert(fastr.rules.open("scripts/rules")) end)

  -- Asserts that the second takes at most as much longer than the first as it is larger; whoever else is at work on the
  -- machine only ever adds, so a bad figure is looked at again.
  local function grows(first, second, times)
    local before, after = math.huge, math.huge
    for _ = 1, 5 do
      before, after = least(pack, first, before), least(pack, second, after)
      if after <= before * times * SLACK then return end
    end
    error(("%.3f ms, then %.3f ms"):format(before * 1e3, after * 1e3))
  end

  for name, kind in pairs(KINDS) do
    it("in the lines, with " .. name, function()
      grows(facts(kind, LINES[1], 5), facts(kind, LINES[2], 5), LINES[2] / LINES[1])
    end)

    it("in the promotions, with " .. name, function()
      grows(facts(kind, 100, PROMOTIONS[1]), facts(kind, 100, PROMOTIONS[2]), PROMOTIONS[2] / PROMOTIONS[1])
    end)
  end

  it("and half a million units, every third of them free, are within the time and the memory of a decision", function()
    for _, pick in ipairs { "dearest", "cheapest" } do
      local given = facts(function()
        return { actions = { { type = "buy_x_get_y", value = 100, buy_quantity = 2, get_quantity = 1, times = null,
          pick = pick } } }
      end, 50, 1)
      for _, line in ipairs(given.lines) do line.quantity, line.floor_price = 9999, nil end
      assert.equal(50 * 6666 * 90, assert(pack:decide("price.cart", given)).total)
    end
  end)

  it("and 600 lines with 50 promotions are within the time of a decision", function()
    for _, kind in pairs(KINDS) do assert(pack:decide("price.cart", facts(kind, 600, 50))) end
  end)
end)
