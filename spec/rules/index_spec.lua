-- A pack of many promotions: the index changes no price, and a cart pays for the promotions that it could meet alone.
package.path = "spec/support/?.lua;" .. package.path
local carts = require "services.rules.carts"
local catalogue = require "services.rules.catalogue"

local array = fastr.json.array

local CONDITIONS = {
  function(_, product) return ("{ contains_skus_any = { %q } }"):format(product.sku) end,
  function(_, product) return ("{ contains_categories_any = { %q } }"):format(product.categories[1]) end,
  function(n, product) return ("{ sku_quantity = { skus = { %q }, min = %d } }"):format(product.sku, n(3) - 1) end,
  function(n, product)
    local top = product.categories[1]:match("^[^/]+")
    return ("{ category_quantity = { category = %q, min = %d } }"):format(top, n(4) - 1)
  end,
  function(n)
    local group = n(2) == 1 and "wholesale" or "vip"
    return ("{ customer_group = { %q }, min_items_total = %d }"):format(group, n(9000))
  end,
  function(n) return ("{ min_items_total = %d }"):format(n(60000)) end,
}

-- Text of definitions/promotions.lua with `count` promotions; with `only`, each needs an article of its own.
local function definitions(count, only)
  local n, products, out = carts.sequence(7), catalogue.all(), { "return {" }
  for i = 1, count do
    local product = only and products[i] or products[n(60)]
    local condition = only and CONDITIONS[1](n, product) or CONDITIONS[n(#CONDITIONS)](n, product)
    out[#out + 1] = ("  { id = 'p%d', priority = %d, exclusive = %s, coupon = %s, conditions = %s,"):format(i, n(5),
      not only and n(40) == 1, not only and n(10) == 1 and ("'CODE%d'"):format(n(5)) or "nil", condition)
    out[#out + 1] = ("    actions = { { type = 'item_percent', value = %d, filters = { skus_any = { %q } } } } },")
      :format(n(9), product.sku)
  end
  out[#out + 1] = "}\n"
  return table.concat(out, "\n")
end

local function pack_of(text)
  local pack = assert(fastr.rules.open("scripts/rules"))
  pack = assert(pack:with("promotions/three_for_two_candles.lua", [[return rule { doc = "x", stage = "item",
    when = { at_least(3, category "lighting/candles") }, examples = { { "nothing", cart = {}, total = 0 } },
    apply = function(cart) cart:cheapest_free { every = 3, of = category "lighting/candles" } end }]]))
  return assert(pack:with("definitions/promotions.lua", text))
end

local function cart_of(n, count)
  local lines, seen, products = array {}, {}, catalogue.all()
  for _ = 1, count do
    local product = products[n(60)]
    if not seen[product.sku] then
      seen[product.sku] = true
      lines[#lines + 1] = { sku = product.sku, quantity = n(8), unit_price = product.price,
        categories = array(product.categories) }
    end
  end
  return { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = lines, tax_rates = array {},
    customer = { group = ({ "wholesale", "vip", "none" })[n(3)] }, coupons = array { "CODE" .. n(6) } }
end

it("a cart costs the same whether promotions are looked up or all looked at", function()
  local pack, n, applied = pack_of(definitions(400)), carts.sequence(3), 0
  for _ = 1, 150 do
    local facts = cart_of(n, n(10))
    local looked_up = assert(pack:decide("price.cart", facts, { explain = "applied" }))
    local all = assert(pack:decide("price.cart", facts, { explain = "full" }))
    applied = applied + #looked_up.trace
    all.trace = looked_up.trace -- the other tells of all 400, up to its limit
    assert.same(all, looked_up)
  end
  assert.is_true(applied > 100, applied .. " promotions applied: too few to prove anything")
end)

it("1,000 promotions of which 20 could match cost less than 3 times as much as those 20", function()
  local few, many, products = pack_of(definitions(20, true)), pack_of(definitions(1000, true)), catalogue.all()
  local lines = array {}
  for i = 1, 20 do
    lines[i] = { sku = products[i].sku, quantity = 2, unit_price = products[i].price,
      categories = array(products[i].categories) }
  end
  local facts = { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = lines }
  local a, cost_a = few:decide("price.cart", facts, { exact = true })
  local b, cost_b = many:decide("price.cart", facts, { exact = true })
  assert.equal(a.total, b.total)
  assert.is_true(a.discount_total > 0)
  assert.is_true(cost_b.instructions < 3 * cost_a.instructions,
    ("%d against %d"):format(cost_b.instructions, cost_a.instructions))
  print(("%d instructions with 1,000 promotions, %d with 20"):format(cost_b.instructions, cost_a.instructions))
end)
