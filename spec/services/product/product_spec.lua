-- The catalogue's routes against the running databases and Redis: what is refused, what a change shows to whom and
-- when, and pages that stay right while the catalogue changes under them.

local cache = require "platform.cache"
local program = require "spec.support.program"
local shopper = require "spec.support.shopper"

local send = program.of { "product" }
local uuid7 = fastr.crypto.uuid7
local run = uuid7():sub(-12):upper()
local made = {}

local eventually = shopper.eventually
local STAFF = shopper.signed_in(nil, { "catalogue" })

local function headers(more)
  local all = { Authorization = STAFF.Authorization }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function body(more)
  local all = { name = "SPEC " .. run, categories = { "spec/" .. run:lower() }, price = { amount = 100,
    currency = "GBP" } }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function put(sku, more, with)
  made[sku] = true
  return send("PUT", "/api/v1/products/" .. sku, { headers = headers(with), body = body(more) })
end

local function sku_of(name) return "SPEC-" .. run .. "-" .. name end

local function get(sku, with)
  return send("GET", "/api/v1/products/" .. sku, { headers = with })
end

local function adjust(sku, delta, with)
  return send("POST", "/api/v1/products/" .. sku .. "/stock", { headers = headers(with), body = { delta = delta,
    reason = "spec" } })
end

-- What a spec made is sold no more: it leaves every list.
teardown(function()
  local db = require("platform.db").open("product")
  for sku in pairs(made) do
    db:write("update products set categories = '{}', category_paths = '{}' where sku = $1", sku)
    db:write("delete from price_rows where sku = $1", sku)
    db:write("delete from prices where sku = $1", sku)
  end
end)

describe("a product", function()
  it("has a sentence of its name and category until staff write one", function()
    local sku = sku_of "TEXT"
    local status, product = put(sku, { name = "RED LANTERN", categories = { "home/wall-clocks" } })
    assert.same({ 201, "Red lantern, from our wall clocks range." }, { status, product.description })
    status, product = put(sku, { name = "RED LANTERN", description = "Glows." })
    assert.same({ 200, "Glows." }, { status, product.description })
    assert.equal("Red lantern.", select(2, put(sku, { name = "RED LANTERN", categories = fastr.json.array {} }))
      .description)
  end)

  it("is changed only by who has read it as it is", function()
    local sku = sku_of "MATCH"
    local _, _, first = put(sku)
    assert.equal('"1"', first.ETag)
    assert.equal(200, (put(sku, nil, { ["If-Match"] = first.ETag })))
    local status, stale = put(sku, nil, { ["If-Match"] = first.ETag })
    assert.same({ 412, "precondition_failed", 2 }, { status, stale.code, stale.version })
    assert.equal(412, (put(sku_of "NONE", nil, { ["If-Match"] = '"7"' })))
  end)

  it("changed by two at once with one If-Match is changed by one", function()
    local sku, good = sku_of "TWO", 0
    put(sku)
    local results = fastr.all { function() return put(sku, nil, { ["If-Match"] = '"1"' }) end,
      function() return put(sku, nil, { ["If-Match"] = '"1"' }) end }
    for _, result in ipairs(results) do good = good + (result[1] == 200 and 1 or 0) end
    assert.equal(1, good)
  end)

  it("is never said to be unchanged, because price and stock change without its version", function()
    local sku = sku_of "FRESH"
    put(sku)
    local status, _, reply = get(sku, { ["If-None-Match"] = '"1"' })
    assert.same({ 200, "no-store" }, { status, reply["Cache-Control"] })
  end)

  it("is refused with a place and a cure where it makes no sense", function()
    local function refused(path, more)
      local status, wrong = put(sku_of "BAD", more)
      assert.same({ 422, "validation", path }, { status, wrong.code, wrong.errors[1].path })
    end
    refused("price.amount", { price = { amount = -1, currency = "GBP" } })
    refused("price.amount", { price = { amount = 1.5, currency = "GBP" } })
    refused("price.amount", { price = { amount = 9007199254740991, currency = "GBP" } }) -- no list could be added up
    refused("price.amount", { price = { amount = "2", currency = "GBP" } })
    refused("categories[1]", { categories = { "home", "home//x" } })
    refused("categories[0]", { categories = { "/home" } })
    refused("name", { name = "" })
    assert.equal(404, (get(sku_of "BAD")))
  end)
end)

describe("a change", function()
  -- Everybody else: no session of their own, and whatever the cache holds.
  local function seen(sku)
    local status, product = get(sku)
    return status == 200 and product.price.amount
  end

  it("is visible at once to who made it, and within a second to all, the cache included", function()
    local sku = sku_of "SEEN"
    put(sku)
    eventually("it is known", function() return (get(sku)) == 200 end, 2)
    for price = 101, 104 do
      assert.is_truthy(seen(sku)) -- in the cache, or on its way there
      local _, _, reply = put(sku, { price = { amount = price, currency = "GBP" } })
      local _, mine = get(sku, { ["Fastr-Session"] = reply["Fastr-Session"] })
      assert.equal(price, mine.price.amount)
      eventually("all see it", function() return seen(sku) == price end, 1)
    end
  end)

  it("stays visible: no replica that is behind brings the old one back", function()
    local sku = sku_of "STAYS"
    put(sku)
    local _, _, reply = put(sku, { price = { amount = 200, currency = "GBP" } })
    eventually("it is seen", function() return seen(sku) == 200 end, 1)
    for _ = 1, 50 do
      assert.equal(200, select(2, get(sku, { ["Fastr-Session"] = reply["Fastr-Session"] })).price.amount)
    end
  end)

  it("of the stock is visible in the same way", function()
    local sku = sku_of "STOCK"
    put(sku)
    eventually("it is known", function() return (get(sku)) == 200 end, 2)
    get(sku)
    local _, counts, reply = adjust(sku, 7)
    assert.equal(7, counts.available)
    assert.equal(7, select(2, get(sku, { ["Fastr-Session"] = reply["Fastr-Session"] })).available)
    eventually("all see it", function() return select(2, get(sku)).available == 7 end, 1)
  end)

  it("is not kept in the cache while a replica may be behind it", function()
    local key, options = "spec:" .. uuid7(), { ttl_ms = 10000, settle_ms = 10000 }
    local n = 0
    local function count()
      n = n + 1
      return { n = n }
    end
    assert.same({ 1, 1 }, { cache.fetch(key, options, count).n, cache.fetch(key, options, count).n })
    cache.forget(key)
    assert.same({ 2, 3 }, { cache.fetch(key, options, count).n, cache.fetch(key, options, count).n })
  end)
end)

describe("stock on hand", function()
  it("takes whole numbers, and never falls below zero", function()
    local sku = sku_of "HAND"
    put(sku)
    for _, delta in ipairs { 1.5, "2", 1e10 } do assert.equal(422, (adjust(sku, delta))) end
    assert.same({ 409, "stock_negative" }, { (adjust(sku, -1)), select(2, adjust(sku, -1)).code })
    assert.equal(3, select(2, adjust(sku, 3)).on_hand)
    assert.equal(404, (adjust(sku_of "NOBODY", 1)))
  end)

  it("taken by ten at once is taken as often as there is some", function()
    local sku, tasks, taken = sku_of "RACE", {}, 0
    put(sku)
    adjust(sku, 4)
    for i = 1, 10 do tasks[i] = function() return adjust(sku, -1) end end
    for _, result in ipairs(fastr.all(tasks)) do taken = taken + (result[1] == 200 and 1 or 0) end
    assert.equal(4, taken)
    assert.equal(0, select(2, adjust(sku, 0)).on_hand)
  end)

  it("moves once for a key that is sent twice, also at once", function()
    local sku, key = sku_of "KEY", { ["Idempotency-Key"] = uuid7() }
    put(sku)
    fastr.all { function() return adjust(sku, 5, key) end, function() return adjust(sku, 5, key) end }
    assert.equal(5, select(2, adjust(sku, 0)).on_hand)
    local status, wrong = adjust(sku, 6, key)
    assert.same({ 422, "idempotency_mismatch" }, { status, wrong.code })
  end)
end)

describe("a list", function()
  local category = "spec-list/" .. run:lower()

  local function page(query, cursor)
    local status, list = send("GET", "/api/v1/products?category=" .. category .. "&" .. query ..
      (cursor and "&cursor=" .. cursor or ""), { headers = { ["Fastr-Session"] = fastr.task.get("spec_lsn") } })
    assert.equal(200, status)
    return list
  end

  local function add(name, amount)
    local _, _, reply = put(sku_of(name), { name = name, categories = { category },
      price = { amount = amount, currency = "GBP" } })
    fastr.task.set("spec_lsn", reply["Fastr-Session"])
  end

  -- All SKUs of a walk in pages of `size`; `between(n)` runs after the n-th page.
  local function walk(query, size, between)
    local names, cursor, n = {}, nil, 0
    repeat
      local list = page(query .. "&limit=" .. size, cursor)
      for _, item in ipairs(list.items) do names[#names + 1] = item.name end
      cursor, n = list.next_cursor, n + 1
      if type(cursor) ~= "string" then cursor = nil end
      if between then between(n) end
    until not cursor
    return names
  end

  setup(function()
    for i, name in ipairs { "DELTA", "ALPHA", "CHARLIE", "BRAVO", "ECHO" } do add(name, 100 * (i % 3)) end
  end)

  it("is sorted as asked, with a defined order among equals", function()
    assert.same({ "ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO" }, walk("sort=name", 2))
    assert.same({ "ECHO", "DELTA", "CHARLIE", "BRAVO", "ALPHA" }, walk("sort=-name", 2))
    assert.same({ "CHARLIE", "BRAVO", "DELTA", "ALPHA", "ECHO" }, walk("sort=price", 2))
    assert.same({ "ECHO", "ALPHA", "DELTA", "BRAVO", "CHARLIE" }, walk("sort=-price", 2))
    assert.same({ "ECHO", "BRAVO", "CHARLIE", "ALPHA", "DELTA" }, walk("sort=newest", 2))
  end)

  it("goes on where it was, whatever is added or taken away before", function()
    local seen = walk("sort=name", 2, function(n)
      if n == 1 then add("AARDVARK", 100) end
      if n == 2 then add("DINGO", 100) end
    end)
    assert.same({ "ALPHA", "BRAVO", "CHARLIE", "DELTA", "DINGO", "ECHO" }, seen)
  end)

  it("refuses a cursor that is not its own", function()
    local function sent(parts, sort)
      local cursor = type(parts) == "string" and parts or fastr.crypto.base64url(fastr.json.encode(parts))
      local status, wrong = send("GET", "/api/v1/products?sort=" .. sort .. "&cursor=" .. cursor)
      return { status, wrong.code }
    end
    local refused = { 400, "cursor_invalid" }
    assert.same(refused, sent("nonsense", "name"))
    assert.same(refused, sent({ "price", "12", "A" }, "name"))
    assert.same(refused, sent({ "price", "1'; drop table", "A" }, "price"))
    assert.same(refused, sent({ "price", ("9"):rep(30), "A" }, "price"))
    assert.same(refused, sent({ "price", 12, "A" }, "price"))
    assert.same(refused, sent({ "price" }, "price"))
  end)
end)

describe("a search", function()
  local function find(q)
    local status, list = send("GET", "/api/v1/products?limit=5&q=" .. require("lib.url").encode(q),
      { headers = { ["Fastr-Session"] = fastr.task.get("spec_lsn") } })
    assert.equal(200, status)
    local skus = {}
    for i, item in ipairs(list.items) do skus[i] = item.sku end
    return skus
  end

  it("finds words of name, category and description, also of other alphabets, and the SKU itself", function()
    local sku = sku_of "FIND"
    local _, _, reply = put(sku, { name = "ZQX" .. run .. " CAFÉ Свеча 蝋燭", description = "Grönwald" .. run })
    fastr.task.set("spec_lsn", reply["Fastr-Session"])
    for _, q in ipairs { "zqx" .. run, "ZQX" .. run .. " café", "zqx" .. run .. " свеча", "grönwald" .. run, sku,
      sku:lower(), '"zqx' .. run .. ' café"' } do
      assert.same({ sku }, find(q), q)
    end
    assert.same({}, find("zqx" .. run .. " -café"))
  end)

  it("takes whatever people type", function()
    for _, q in ipairs { "'; drop table products; --", '"open', "((((", "&|!:*", "\\", "%", "-", "OR", "AND", "the",
      "🕯️", "\226\128\174abc", ("x"):rep(200), "<script>", "a & !b | c:*" } do
      find(q)
    end
  end)
end)

describe("a price list", function()
  local function money(amount) return { amount = amount, currency = "GBP" } end

  local function put_list(sku, rows, with)
    return send("PUT", "/api/v1/products/" .. sku .. "/prices", { headers = with or headers(),
      body = { rows = fastr.json.array(rows) } })
  end

  local function get_list(sku)
    return send("GET", "/api/v1/products/" .. sku .. "/prices", { headers = headers() })
  end

  it("is what staff put last, and leaves the list price alone", function()
    local sku = sku_of "LIST"
    put(sku, { price = money(500) })
    local rows = { { price = money(400), min_quantity = 6, customer_group = "wholesale" },
      { price = { amount = 450, currency = "EUR" }, zone = "FR", from = "2026-01-01T00:00:00Z" } }
    assert.equal(200, (put_list(sku, { { price = money(1) } })))
    assert.equal(200, (put_list(sku, rows)))
    local status, list = get_list(sku)
    assert.same({ 200, 2 }, { status, #list.rows })
    assert.same({ 400, 6, "wholesale" }, { list.rows[1].price.amount, list.rows[1].min_quantity,
      list.rows[1].customer_group })
    assert.same({ "EUR", "FR" }, { list.rows[2].price.currency, list.rows[2].zone })
    local _, product = get(sku)
    assert.same({ 500, 500 }, { product.price.amount, product.list_price.amount })
  end)

  it("tells pricing its rows, and shows everybody the price that is for everybody", function()
    local sku = sku_of "SALE"
    put(sku, { price = money(500) })
    put_list(sku, { { price = money(300), from = "2026-01-01T00:00:00Z" },
      { price = money(200), customer_group = "wholesale", min_quantity = 10 } })
    local handlers = require "services.product.handlers"
    local _, facts = handlers.facts { body = { skus = { sku }, currency = "GBP", fresh = true } }
    assert.same({ { currency = "GBP", amount = 200, min_quantity = 10, rules = { customer_group = "wholesale" } } },
      { facts.items[1].prices[2] })
    eventually("the sale's price is shown", function()
      local _, product = get(sku)
      return product.price.amount == 300 and product.list_price.amount == 500
    end)
    put_list(sku, {})
    local _, gone = handlers.facts { body = { skus = { sku }, currency = "GBP", fresh = true } }
    assert.is_nil(gone.items[1].prices)
  end)

  it("is refused with the row that is wrong, and only staff may see or change it", function()
    local sku = sku_of "WRONG"
    put(sku)
    local function refusal(...)
      local status, problem = put_list(sku, { ... })
      assert.equal(422, status)
      return problem.errors[1].path
    end
    assert.equal("rows[1]", refusal({ price = money(1) }, { price = money(1) }))
    assert.equal("rows[2]", refusal({ price = money(1) }, { price = money(2), min_quantity = 2,
      from = "2026-01-01T01:00:00+01:00" }, { price = money(3), min_quantity = 2, from = "2026-01-01T00:00:00Z" }))
    assert.equal("rows[0].max_quantity", refusal { price = money(1), min_quantity = 5, max_quantity = 4 })
    assert.equal("rows[0].currency", refusal { price = { amount = 1, currency = "XXX" } })
    assert.equal("rows[0].to", refusal { price = money(1), from = "2027-01-01T00:00:00Z",
      to = "2026-01-01T00:00:00Z" })
    assert.equal("rows[0].from", refusal { price = money(1), from = "0001-01-01T00:00:00+14:00" })
    assert.equal(200, (put_list(sku, { { price = money(1), from = "2026-01-01T00:00:00+23:59" } })))
    assert.equal(404, (put_list(sku_of "NOBODY", { { price = money(1) } })))
    assert.equal(404, (get_list(sku_of "NOBODY")))
    assert.equal(412, (put_list(sku, { { price = money(2) } }, headers { ["If-Match"] = '"1"' })))
    assert.equal(401, (put_list(sku, {}, {})))
  end)
end)
