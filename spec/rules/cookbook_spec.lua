-- The promotions of docs/cookbook/: each holds with the shop's own, and is found in its table of contents.

local FOLDER = "docs/cookbook"

local shop = assert(fastr.rules.open("scripts/rules"))

local function read(path) return assert(fastr.files.read(path)) end

local function names()
  local list = {}
  for _, file in ipairs(assert(fastr.files.list(FOLDER))) do list[#list + 1] = file:match("^(.*)%.lua$") end
  return list
end

-- A cart that many promotions are about, in the middle of a happy hour.
local facts = { currency = "GBP", now = "2026-11-24T17:30:00Z", zone = "GB", coupons = { "STAFF25" },
  customer = { group = "staff", orders_placed = 9 }, shipping = { { method = "standard", fee = 395 } }, lines = {
    { sku = "M", quantity = 60, unit_price = 250, categories = { "kitchen/mugs-and-cups" } },
    { sku = "F", quantity = 4, unit_price = 450, categories = { "home/frames" } },
    { sku = "TEAPOT", quantity = 2, unit_price = 1999, categories = { "kitchen/tea-and-coffee" }, floor_price = 1500 },
    { sku = "G", quantity = 1, unit_price = 2000, categories = { "gifts/vouchers" } } } }

local before = assert(shop:prove())

describe("the cookbook", function()
  for _, name in ipairs(names()) do
    it("has " .. name .. ", which holds with the shop's promotions and takes off what it says", function()
      local pack = assert(shop:with("promotions/" .. name .. ".lua", read(("%s/%s.lua"):format(FOLDER, name))))
      local examples = assert(pack:prove())
      assert.is_true(examples - before >= 3, name .. " has fewer than three examples")
      local decision, info = pack:decide("price.cart", facts, { explain = "full" })
      assert.truthy(decision, info)
      local seen, given = false, 0
      for _, entry in ipairs(decision.trace) do
        seen = seen or entry.rule == name
        given = given + (entry.amount or 0)
      end
      assert.is_true(seen)
      assert.equal(decision.items_total + decision.shipping_total - given, decision.total)
      pack:close()
    end)
  end

  it("has twenty promotions or more, is listed whole in its page, and none is of the live pack", function()
    local page, list = read(FOLDER .. "/README.md"), names()
    assert.is_true(#list >= 20)
    for _, name in ipairs(list) do
      assert.truthy(page:find(("(%s.lua)"):format(name), 1, true), name .. " is not in the page")
      assert.is_nil(shop:files()["promotions/" .. name .. ".lua"], name .. " is live")
    end
    for name in page:gmatch("%(([%w_]+)%.lua%)") do read(("%s/%s.lua"):format(FOLDER, name)) end
  end)

  it("works as a whole: all of them together price a cart, and say of each what became of it", function()
    local pack = shop
    for _, name in ipairs(names()) do
      pack = assert(pack:with("promotions/" .. name .. ".lua", read(("%s/%s.lua"):format(FOLDER, name))))
    end
    local decision = assert(pack:decide("price.cart", facts, { explain = "full" }))
    local seen = {}
    for _, entry in ipairs(decision.trace) do seen[entry.rule] = entry.outcome end
    for _, name in ipairs(names()) do assert.truthy(seen[name], name .. " is not in the trace") end
    assert.equal("lost", seen.buy_two_get_one)
    assert.equal("applied", seen.staff_coupon)
  end)
end)
