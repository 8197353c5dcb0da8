-- The cart's routes against the running databases: bad input, two at once, the rules' say, and what happens at sign-in.

local program = require "spec.support.program"
local shopper = require "spec.support.shopper"

local send = program.of { "user", "product", "cart", "order" }
local uuid7 = fastr.crypto.uuid7
local run = uuid7():sub(-12):upper()
local carts = {}

local eventually, signed_in = shopper.eventually, shopper.signed_in
local STAFF = shopper.STAFF
local ANN = uuid7()

-- A product of this run with `units` to sell; its SKU.
local function product(name, amount, units)
  local sku = "SPEC-" .. run .. "-" .. name
  send("PUT", "/api/v1/products/" .. sku, { headers = STAFF, body = { name = "SPEC " .. name,
    categories = { "spec-cart" }, price = { amount = amount, currency = "GBP" }, tax_category = "zero" } })
  send("POST", "/api/v1/products/" .. sku .. "/stock", { headers = STAFF, body = { delta = units, reason = "spec" } })
  return sku
end

local CHEAP, DEAR, RARE

setup(function()
  CHEAP, DEAR, RARE = product("CHEAP", 100, 100000), product("DEAR", 10000, 1000), product("RARE", 500, 3)
  -- everybody else sees them too, once the replicas have them
  for _, sku in ipairs { CHEAP, DEAR, RARE } do
    eventually(sku .. " is known", function()
      local status, seen = send("GET", "/api/v1/products/" .. sku)
      return status == 200 and seen.available > 0
    end)
  end
end)

teardown(function()
  local cart, catalogue = require("platform.db").open("cart"), require("platform.db").open("product")
  for _, id in ipairs(carts) do cart:write("update carts set merged_into = null where merged_into = $1", id) end
  for _, id in ipairs(carts) do cart:write("delete from carts where id = $1", id) end
  for _, sku in ipairs { CHEAP, DEAR, RARE } do catalogue:write("delete from prices where sku = $1", sku) end
end)

local function ask(method, path, body, headers)
  return send(method, "/api/v1/carts" .. path, { body = body, headers = headers })
end

local function new_cart(headers)
  local status, cart = ask("POST", "", nil, headers)
  assert.equal(201, status)
  carts[#carts + 1] = cart.id
  return cart.id
end

local function add(id, sku, quantity, headers)
  return ask("POST", "/" .. id .. "/lines", { sku = sku, quantity = quantity }, headers)
end

local function quantities(cart)
  local found = {}
  for _, line in ipairs(cart.lines) do found[line.sku] = line.quantity end
  return found
end

describe("what a cart costs", function()
  it("is shown in all of its parts: units, shipping, each tax rate, each promotion", function()
    local id = new_cart()
    assert.equal(200, (add(id, DEAR, 2)))
    local _, cart = ask("PATCH", "/" .. id, { shipping_address = shopper.ADDRESS, shipping_method = "express" })
    local function m(amount) return { amount = amount, currency = "GBP" } end
    local line = cart.lines[1]
    assert.same({ m(10000), m(2000), m(0), m(2000), m(18000) }, { line.list_price, line.discount, line.item_discount,
      line.order_discount, line.total })
    assert.same({ { quantity = 2, discount = m(1000), total = m(9000), tax = m(0), tax_included = m(0) } }, line.units)
    assert.same({ { method = "express", fee = m(795), discount = m(0), total = m(795), tax = m(0),
      tax_included = m(132) } }, cart.shipping)
    assert.same({ { category = "zero", percent = 0, included = true, zone = "GB", base = m(18000), tax = m(0) },
      { category = "standard", percent = 20, included = true, zone = "GB", base = m(663), tax = m(132) } }, cart.taxes)
    assert.same({ list = m(20000), items = m(20000), discount = m(2000), item_discount = m(0),
      order_discount = m(2000), shipping = m(795), shipping_discount = m(0), tax = m(0), tax_included = m(132),
      total = m(18795), gift_cards = m(0), due = m(18795) }, cart.totals)
    assert.same({ { promotion = "ten_off_over_150", stage = "order", amount = m(2000),
      says = "10 % off orders of 150.00 or more", detail = "You saved 20.00: 10 % off orders of 150.00 or more" } },
      cart.discounts)
  end)
end)

describe("a line", function()
  it("is a whole number of units from 1 to 9999 of something that is sold", function()
    local id = new_cart()
    for _, bad in ipairs { 0, -1, 1.5, 1e9, 10000, "2", fastr.json.null, {}, true } do
      local status, wrong = add(id, CHEAP, bad)
      assert.same({ 422, "validation", "quantity" }, { status, wrong.code, wrong.errors[1].path })
      status, wrong = ask("PATCH", "/" .. id .. "/lines/" .. CHEAP, { quantity = bad })
      assert.same({ 422, "quantity" }, { status, wrong.errors[1].path })
    end
    local status, wrong = add(id, "NOPE-" .. run, 1)
    assert.same({ 404, "product_not_found", "sku" }, { status, wrong.code, wrong.errors[1].path })
    status, wrong = ask("POST", "/" .. id .. "/lines", fastr.json.array {
      { sku = CHEAP, quantity = 1 }, { sku = "NOPE-" .. run, quantity = 1 } })
    assert.same({ 404, "[1].sku" }, { status, wrong.errors[1].path })
    status, wrong = ask("POST", "/" .. id .. "/lines", fastr.json.array {})
    assert.same({ 422, "must have at least 1 entry" }, { status, wrong.errors[1].problem })
    assert.equal(0, #select(2, ask("GET", "/" .. id)).lines)
  end)

  it("that is added again has the units of both, up to the limit and to what is in stock", function()
    local id = new_cart()
    add(id, CHEAP, 9000)
    local status, wrong = add(id, CHEAP, 1000)
    assert.same({ 422, "cart_refused", "quantity" }, { status, wrong.code, wrong.errors[1].code })
    status, wrong = add(id, RARE, 4)
    assert.same({ 422, "cart_refused", "stock" }, { status, wrong.code, wrong.errors[1].code })
    assert.equal(200, (add(id, RARE, 3)))
    assert.same({ [CHEAP] = 9000, [RARE] = 3 }, quantities(select(2, ask("GET", "/" .. id))))
  end)

  it("added by ten at once is added ten times; with one key, once", function()
    local id, tasks = new_cart(), {}
    for i = 1, 10 do tasks[i] = function() return add(id, CHEAP, 2) end end
    fastr.all(tasks)
    local _, cart = ask("GET", "/" .. id)
    assert.same({ [CHEAP] = 20 }, quantities(cart))
    assert.equal(2000, cart.totals.items.amount)
    local key = { ["Idempotency-Key"] = uuid7() }
    for i = 1, 10 do tasks[i] = function() return add(id, CHEAP, 5, key) end end
    fastr.all(tasks)
    local status, _, headers = add(id, CHEAP, 5, key)
    assert.same({ 200, "true" }, { status, headers["Idempotent-Replayed"] })
    assert.same({ [CHEAP] = 25 }, quantities(select(2, ask("GET", "/" .. id))))
    assert.equal(422, (add(id, CHEAP, 6, key)))
  end)

  it("is changed and taken out; what is not there is not found", function()
    local id = new_cart()
    assert.same({ 404, "line_not_found" }, { (ask("PATCH", "/" .. id .. "/lines/" .. CHEAP, { quantity = 1 })),
      select(2, ask("DELETE", "/" .. id .. "/lines/" .. CHEAP)).code })
    add(id, CHEAP, 5)
    assert.same({ [CHEAP] = 3 }, quantities(select(2, ask("PATCH", "/" .. id .. "/lines/" .. CHEAP, { quantity = 3 }))))
    assert.same({}, quantities(select(2, ask("DELETE", "/" .. id .. "/lines/" .. CHEAP))))
    assert.equal(404, (ask("GET", "/" .. ("x"):rep(22))))
  end)
end)

describe("a cart's version", function()
  it("guards a change, and nothing of the cart is stored on the way", function()
    local id = new_cart()
    local _, cart, headers = add(id, CHEAP, 1)
    assert.same({ '"' .. cart.version .. '"', "no-store" }, { headers.ETag, headers["Cache-Control"] })
    assert.equal(200, (add(id, CHEAP, 1, { ["If-Match"] = headers.ETag })))
    local status, stale = add(id, CHEAP, 1, { ["If-Match"] = headers.ETag })
    assert.same({ 412, "precondition_failed" }, { status, stale.code })
    assert.equal(200, (ask("GET", "/" .. id, nil, { ["If-None-Match"] = '"' .. stale.version .. '"' })))
  end)
end)

describe("thresholds", function()
  it("tell what is missing to free shipping and to a promotion, and go when they are reached", function()
    local id = new_cart()
    local function of(cart)
      local found = {}
      for _, each in ipairs(cart.thresholds) do found[each.promotion or each.method] = each end
      return found
    end
    assert.same({}, of(select(2, ask("GET", "/" .. id))))
    local found = of(select(2, add(id, CHEAP, 10)))
    assert.equal(4000, found.standard.missing.amount)
    assert.truthy(found.standard.detail:find("^Add 40.00 for free delivery"))
    assert.equal(14000, found.ten_off_over_150.missing.amount)
    assert.truthy(found.ten_off_over_150.detail:find("10 %% off"))
    found = of(select(2, add(id, DEAR, 1)))
    assert.is_nil(found.standard)
    assert.equal(4000, found.ten_off_over_150.missing.amount)
    local _, cart = add(id, DEAR, 1)
    assert.same({ "ten_off_over_150", cart.totals.discount },
      { cart.discounts[1].promotion, cart.discounts[1].amount })
    assert.truthy(cart.discounts[1].detail:find("^You saved %d+%.%d%d: 10 %% off"))
    assert.same({}, of(select(2, add(id, DEAR, 1))))
  end)
end)

describe("a customer's group and past", function()
  it("are facts of the price: pseudonymous, and nobody else's", function()
    local ben = uuid7()
    require("platform.db").open("user"):write([[insert into users (id, email, name, created_at, updated_at)
      values ($1, $2, 'Ben', now(), now())]], ben, "spec-" .. ben .. "@cart.example")
    local path = "/api/v1/users/" .. ben .. "/group"
    assert.equal(401, (send("PUT", path, { body = { group = "wholesale" } })))
    assert.equal(403, (send("PUT", path, { headers = signed_in(ben), body = { group = "wholesale" } })))
    local status, reply = send("PUT", path, { headers = STAFF, body = { group = "wholesale" } })
    assert.same({ 200, "wholesale" }, { status, reply.group })
    local mine = signed_in(ben)
    mine["Fastr-Session"] = fastr.task.get("lsn")
    local id = new_cart(mine)
    add(id, CHEAP, 1, mine)
    local kept = require("services.cart.store").load(require("platform.db").open("cart"), id).pricing.facts.customer
    assert.same({ id = ben, group = "wholesale", orders_placed = 0 }, kept)
    assert.equal(404, (send("PUT", "/api/v1/users/" .. uuid7() .. "/group", { headers = STAFF,
      body = { group = fastr.json.null } })))
    require("platform.db").open("user"):write("delete from users where id = $1", ben)
  end)
end)

describe("a cart claimed at sign-in", function()
  it("is the customer's, and only his", function()
    local id = new_cart()
    assert.same({ 401, "unauthenticated" }, { (ask("POST", "/" .. id .. "/claim")),
      select(2, ask("POST", "/" .. id .. "/claim")).code })
    local _, cart = ask("POST", "/" .. id .. "/claim", nil, signed_in(ANN))
    assert.equal(ANN, cart.customer)
    local status, wrong = ask("POST", "/" .. id .. "/claim", nil, signed_in())
    assert.same({ 404, "cart_not_found" }, { status, wrong.code })
  end)

  it("takes in his other carts, whose ids lead to it; claimed again, nothing changes", function()
    local who = signed_in(uuid7())
    local old, older, fresh = new_cart(who), new_cart(who), new_cart()
    add(older, DEAR, 1, who)
    add(old, CHEAP, 2, who)
    ask("PATCH", "/" .. old, { email = "ann@cart.example" }, who)
    add(fresh, CHEAP, 3)
    for _ = 1, 2 do
      local status, cart = ask("POST", "/" .. fresh .. "/claim", nil, who)
      assert.same({ 200, fresh, "ann@cart.example" }, { status, cart.id, cart.email })
      assert.same({ [CHEAP] = 5, [DEAR] = 1 }, quantities(cart))
      assert.equal(10500, cart.totals.items.amount)
    end
    assert.equal(fresh, select(2, ask("GET", "/" .. old)).id)
    assert.equal(fresh, select(2, add(older, CHEAP, 1, who)).id)
    assert.same({ [CHEAP] = 6, [DEAR] = 1 }, quantities(select(2, ask("GET", "/" .. fresh))))
    local newest = new_cart()
    ask("POST", "/" .. newest .. "/claim", nil, who)
    for _, id in ipairs { old, older, fresh } do assert.equal(newest, select(2, ask("GET", "/" .. id)).id) end
  end)

  it("leaves out what the rules do not take, and says so", function()
    local who = signed_in(uuid7())
    local old, fresh = new_cart(who), new_cart()
    add(old, RARE, 2, who)
    add(old, CHEAP, 2, who)
    add(fresh, RARE, 2)
    local status, cart = ask("POST", "/" .. fresh .. "/claim", nil, who)
    assert.equal(200, status)
    assert.same({ [RARE] = 2, [CHEAP] = 2 }, quantities(cart))
    assert.same({ "not_merged", RARE, 2 }, { cart.problems[1].code, cart.problems[1].sku, cart.problems[1].quantity })
  end)

  it("and another, at once, end as one cart with all units", function()
    local who = signed_in(uuid7())
    local a, b = new_cart(), new_cart()
    add(a, CHEAP, 2)
    add(b, CHEAP, 3)
    local results = fastr.all { function() return ask("POST", "/" .. a .. "/claim", nil, who) end,
      function() return ask("POST", "/" .. b .. "/claim", nil, who) end }
    for _, result in ipairs(results) do assert.equal(200, result[1]) end
    local _, one = ask("GET", "/" .. a)
    local _, other = ask("GET", "/" .. b)
    assert.equal(one.id, other.id)
    assert.same({ [CHEAP] = 5 }, quantities(one))
  end)
end)
