-- What everybody paid: the record that is written with each change, what it says of any time, and the lowest price of
-- 30 days that stands beside a reduced one. Times are given, so that a year of prices is made in a moment.

local database = require "platform.db"
local prices = require "services.product.prices"
local program = require "spec.support.program"
local shopper = require "spec.support.shopper"
local store = require "services.product.store"

local send = program.of { "product" }
local iso, ms = fastr.time.iso, fastr.time.parse
local uuid7 = fastr.crypto.uuid7

local DAY = 86400000
local START = ms "2025-01-01T00:00:00Z"
local NOBODY = { actor = "spec", reason = "spec" }

local run, made = uuid7():sub(-12):upper(), {}
local db = database.open "product"

local function day(n) return START + n * DAY end

-- A product that has no price on record yet.
local function new_product()
  local sku = ("SPEC-%s-P%03d"):format(run, #made + 1)
  made[#made + 1] = sku
  db:transaction(function(tx)
    return store.put_product(tx, { sku = sku, name = sku, description = "", categories = {}, category_paths = {},
      tax_category = "zero", price = { amount = 1, currency = "GBP" } }, iso(START))
  end)
  return sku
end

-- At the time `at` (ms) the product's list price and price list become these. `rows`: amount, from, to (ms),
-- customer_group, min_quantity.
local function change(sku, at, list, rows)
  db:transaction(function(tx)
    tx:query("update prices set amount = $2 where sku = $1", sku, list)
    local kept = {}
    for i, row in ipairs(rows or {}) do
      kept[i] = { sku = sku, place = i, currency = "GBP", amount = row.amount, customer_group = row.customer_group,
        min_quantity = row.min_quantity, starts_at = row.from and iso(row.from), ends_at = row.to and iso(row.to) }
    end
    store.put_price_rows(tx, { sku }, kept, iso(at))
    assert(prices.record(tx, { sku }, NOBODY, at))
    return true
  end)
end

local function lowest(sku, from, to)
  return db:transaction(function(tx) return store.lowest_prices(tx, { sku }, "GBP", iso(from), iso(to))[sku] or 0 end)
end

-- The product's row as a page of the time `at` reads it: {what everybody pays, the lowest price beside it or nil}.
local function recorded(sku, at)
  return db:transaction(function(tx)
    store.set_prices_move(tx, { sku }, true) -- what is asked of the past is in the record
    local row = store.product_in(tx, sku, "GBP", iso(at))
    local reduced = prices.reduced(row)
    return { row.recorded[1], reduced and reduced.lowest }
  end)
end

local function rows_on_record(sku)
  return db:latest("select count(*) as n from price_history where sku = $1", sku)[1].n
end

teardown(function()
  for _, sku in ipairs(made) do
    db:write("delete from price_rows where sku = $1", sku)
    db:write("delete from prices where sku = $1", sku)
  end
end)

describe("the record of prices", function()
  it("says what everybody paid at any time, by the windows of the price list as well", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(10), 500, { { amount = 400, from = day(20), to = day(30) } })
    local function at(time) return lowest(sku, time, time + 1) end
    assert.same({ 500, 500, 500 }, { at(day(0)), at(day(10)), at(day(20) - 1) })
    assert.same({ 400, 400, 500 }, { at(day(20)), at(day(30)), at(day(30) + 1) }) -- both ends belong to the window
    assert.equal(0, at(day(0) - 1)) -- was not sold
  end)

  it("knows no price that was planned and never came", function()
    local sku = new_product()
    change(sku, day(0), 500, { { amount = 300, from = day(20), to = day(30) } })
    change(sku, day(19), 500, {})
    assert.equal(500, lowest(sku, day(0), day(60)))
    change(sku, day(61), 500, { { amount = 200, from = day(70) } })
    change(sku, day(70), 450) -- in the very moment
    assert.equal(450, lowest(sku, day(0), day(100)))
  end)

  it("leaves out what only some pay: a group of customers, and who buys several", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(1), 500, { { amount = 300, customer_group = "wholesale" }, { amount = 400, min_quantity = 2 } })
    assert.equal(500, lowest(sku, day(0), day(10)))
    assert.equal(1, rows_on_record(sku))
  end)

  it("is not added to where nothing changes, and never changed", function()
    local sku = new_product()
    change(sku, day(0), 500, { { amount = 400, from = day(20) } })
    local before = rows_on_record(sku)
    change(sku, day(5), 500, { { amount = 400, from = day(20) } })
    assert.equal(before, rows_on_record(sku))
    assert.has_error(function() db:write("update price_history set amount = 1 where sku = $1", sku) end)
    assert.has_error(function() db:write("delete from price_history where sku = $1", sku) end)
  end)

  it("goes on when the clock of another host is behind", function()
    local sku = new_product()
    change(sku, day(5), 500)
    change(sku, day(5) - 50, 400)
    assert.equal(400, lowest(sku, day(6), day(7)))
  end)
end)

describe("the record", function()
  local function looked_into(sku)
    return db:latest("select prices_move from products where sku = $1", sku)[1].prices_move
  end

  it("is looked into for a page while it says more than the list price, in any currency", function()
    local sku = new_product()
    change(sku, day(0), 500)
    assert.is_false(looked_into(sku))
    change(sku, day(1), 500, { { amount = 400, from = day(60) } })
    assert.is_true(looked_into(sku))
    change(sku, day(2), 500)
    assert.is_false(looked_into(sku))
    change(sku, day(3), 400)
    assert.is_true(looked_into(sku))
    change(sku, day(20), 400)
    assert.is_true(looked_into(sku))
    change(sku, day(40), 400, { { amount = 1, customer_group = "wholesale" } })
    assert.is_false(looked_into(sku))
    change(sku, day(50), 400, { { amount = 500 } })
    assert.is_true(looked_into(sku))
  end)
end)

describe("the lowest price of 30 days", function()
  it("stands beside a price below the list price as long as that lasts, and not before or after", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(50), 500, { { amount = 400, from = day(60), to = day(160) } })
    assert.same({ 500 }, recorded(sku, day(59)))
    assert.same({ 400, 500 }, recorded(sku, day(60)))
    assert.same({ 400, 500 }, recorded(sku, day(160)))
    assert.same({ 500 }, recorded(sku, day(161)))
  end)

  it("is that of a sale before, where that was no 30 days ago", function()
    local sku = new_product()
    change(sku, day(0), 500, { { amount = 350, from = day(50), to = day(60) }, { amount = 400, from = day(80),
      to = day(85) }, { amount = 410, from = day(100), to = day(105) }, { amount = 410, from = day(140) } })
    assert.same({ 400, 350 }, recorded(sku, day(80)))
    assert.same({ 410, 400 }, recorded(sku, day(100)))
    assert.same({ 410, 500 }, recorded(sku, day(140)))
  end)

  it("counts a price that applied when the 30 days began", function()
    local sku = new_product()
    change(sku, day(0), 300)
    change(sku, day(30) + 1, 500)
    change(sku, day(60), 500, { { amount = 450 } })
    assert.same({ 450, 300 }, recorded(sku, day(60)))
    sku = new_product()
    change(sku, day(0), 300)
    change(sku, day(30), 500)
    change(sku, day(60), 500, { { amount = 450 } })
    assert.same({ 450, 500 }, recorded(sku, day(60)))
  end)

  it("is that before the first step where a reduction goes further down, and begins anew where it goes up", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(50), 500, { { amount = 450, to = day(59) }, { amount = 400, from = day(59) + 1, to = day(90) },
      { amount = 420, from = day(90) + 1 } })
    assert.same({ { 450, 500 }, { 400, 500 }, { 400, 500 } }, { recorded(sku, day(50)), recorded(sku, day(60)),
      recorded(sku, day(90)) })
    assert.same({ 420, 400 }, recorded(sku, day(91)))
  end)

  it("stands for 30 days beside a list price that was lowered", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(40), 400)
    assert.same({ 400, 500 }, recorded(sku, day(40)))
    assert.same({ 400, 500 }, recorded(sku, day(70) - 1))
    assert.same({ 400 }, recorded(sku, day(70)))
    change(sku, day(80), 600)
    assert.same({ 600 }, recorded(sku, day(80)))
  end)

  it("is of what applied before, not of what was to begin in the moment of the change", function()
    local sku = new_product()
    change(sku, day(0), 500, { { amount = 50, from = day(10), to = day(19) }, { amount = 400, from = day(19) + 1 } })
    change(sku, day(19) + 1, 350)
    assert.same({ 350 }, recorded(sku, day(20)))
  end)

  it("unmasks a list price that was raised to look like a reduction", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(40), 800, { { amount = 500 } })
    assert.same({ 500, 500 }, recorded(sku, day(40)))
  end)

  it("of what is new counts since its first price; what was reduced from the start has none", function()
    local sku = new_product()
    change(sku, day(0), 500)
    change(sku, day(3), 500, { { amount = 450 } })
    assert.same({ 450, 500 }, recorded(sku, day(3)))
    sku = new_product()
    change(sku, day(0), 500, { { amount = 450 } })
    assert.same({ 450 }, recorded(sku, day(0)))
    change(sku, day(9), 500, { { amount = 400 } })
    assert.same({ 400, 450 }, recorded(sku, day(9)))
  end)
end)

-- ---- the same as a naive scan -------------------------------------------------------------------------------------

describe("random histories", function()
  local seed = tonumber(os.getenv "FASTR_SEED") or fastr.time.unix_ms() % 1000000

  -- What one unit costs by rule 4: of the rows in force, most conditions, then the lowest amount.
  local function price_at(log, time)
    local state
    for _, each in ipairs(log) do
      if each.at <= time then state = each end
    end
    if not state then return nil end
    local best, best_rules
    for _, row in ipairs(state.rows) do
      local rules = (row.from and 1 or 0) + (row.to and 1 or 0)
      local holds = not row.customer_group and time >= (row.from or 0) and time <= (row.to or math.huge)
      if holds and (not best or rules > best_rules or rules == best_rules and row.amount < best) then
        best, best_rules = row.amount, rules
      end
    end
    return best or state.list, state.list
  end

  -- Every moment at which anything may change.
  local function moments(log)
    local list = {}
    for _, each in ipairs(log) do
      list[#list + 1] = each.at
      for _, row in ipairs(each.rows) do
        list[#list + 1] = row.from
        if row.to then list[#list + 1] = row.to + 1 end
      end
    end
    table.sort(list)
    return list
  end

  local function naive_lowest(log, from, to)
    local least = price_at(log, from)
    for _, at in ipairs(moments(log)) do
      if at > from and at < to then
        local price = price_at(log, at)
        if price and (not least or price < least) then least = price end
      end
    end
    return least
  end

  -- The definition, step by step over all that was paid until `time`.
  local function naive_beside(log, time)
    local price, list, lowest_before, ends
    for _, at in ipairs(moments(log)) do
      local new, new_list = price_at(log, at)
      if at <= time and new and (new ~= price or new_list ~= list) then
        local goes_on = lowest_before and new <= price and (not ends or at < ends)
        local reduced = price and (new < new_list or new < price or goes_on)
        if not goes_on then lowest_before = reduced and naive_lowest(log, at - 30 * DAY, at) or nil end
        ends = reduced and new >= new_list and at + 30 * DAY or nil
        price, list = new, new_list
      end
    end
    if ends and time >= ends then lowest_before = nil end
    return lowest_before
  end

  local random = math.random

  local function random_row(at)
    local from = random(3) > 1 and at + random(-10, 40) * DAY or nil
    return { amount = random(1, 9) * 50, from = from, to = random(3) > 1 and (from or at) + random(0, 30) * DAY or nil,
      customer_group = random(5) == 1 and "wholesale" or nil }
  end

  local function twins(rows, row)
    for _, other in ipairs(rows) do
      if other.amount == row.amount then return true end
    end
  end

  local function random_history(sku)
    local log, at = {}, day(random(0, 5))
    for i = 1, random(1, 8) do
      local each = { at = at, list = random(1, 10) * 50, rows = {} }
      for _ = 1, random(0, 3) do
        local row = random_row(at)
        if not twins(each.rows, row) then each.rows[#each.rows + 1] = row end
      end
      log[i] = each
      change(sku, each.at, each.list, each.rows)
      at = at + random(1, 40) * DAY - random(0, 1)
    end
    return log
  end

  local function compare(sku, log)
    for _ = 1, 12 do
      local from = day(random(-10, 200)) + random(-1, 1)
      local to = from + random(1, 60) * DAY
      assert.equal(naive_lowest(log, from, to) or 0, lowest(sku, from, to), "seed " .. seed .. " " .. iso(from))
      local price = price_at(log, from)
      if price then
        assert.same({ price, naive_beside(log, from) }, recorded(sku, from), "seed " .. seed .. " " .. iso(from))
      end
    end
  end

  it("have the same lowest price in the database as in a scan of every moment", function()
    math.randomseed(seed)
    for _ = 1, 25 do
      local sku = new_product()
      compare(sku, random_history(sku))
    end
  end)
end)

-- ---- the routes ---------------------------------------------------------------------------------------------------

describe("the history of a product", function()
  local STAFF = shopper.signed_in(nil, { "catalogue" })
  local position

  local function ask(method, target, body, who)
    local status, reply, headers = send(method, target, { headers = shopper.with(who, { ["Fastr-Session"] = position }),
      body = body })
    position = headers["Fastr-Session"] or position
    return status, reply
  end

  local function put(sku, amount, reason)
    made[#made + 1] = sku
    return ask("PUT", "/api/v1/products/" .. sku, { name = sku, categories = fastr.json.array {}, reason = reason,
      price = { amount = amount, currency = "GBP" } }, STAFF)
  end

  local function list(sku, rows)
    local status = ask("PUT", "/api/v1/products/" .. sku .. "/prices", { rows = fastr.json.array(rows) }, STAFF)
    assert.equal(200, status)
  end

  local function history(sku, query, who)
    local status, page = ask("GET", "/api/v1/products/" .. sku .. "/price-history" .. (query or ""), nil, who)
    assert.equal(200, status)
    return page
  end

  local function amounts(page)
    local found = {}
    for i, item in ipairs(page.items) do found[i] = item.price.amount end
    return found
  end

  it("is for everybody, without who, why and what is planned", function()
    local sku = "SPEC-" .. run .. "-HISTORY"
    put(sku, 500, "opening")
    put(sku, 450, "autumn")
    list(sku, { { price = { amount = 300, currency = "GBP" }, from = iso(fastr.time.unix_ms() + DAY) } })
    local all, staff = history(sku), history(sku, nil, STAFF)
    assert.same({ 450, 500 }, amounts(all))
    assert.same({ fastr.json.null, all.items[1].from }, { all.items[1].to, all.items[2].to })
    assert.same({ 500, nil, nil }, { all.items[1].lowest_price_30d.amount, all.items[1].by, all.items[1].reason })
    assert.same({ 300, 450, 500 }, amounts(staff))
    assert.same({ "price list", "autumn", "opening" }, { staff.items[1].reason, staff.items[2].reason,
      staff.items[3].reason })
    assert.equal(staff.items[1].from, staff.items[2].to)
  end)

  it("comes a page at a time", function()
    local sku = "SPEC-" .. run .. "-PAGES"
    for amount = 1, 5 do put(sku, amount) end
    local seen, cursor = {}, ""
    repeat
      local page = history(sku, "?limit=2" .. cursor)
      for _, amount in ipairs(amounts(page)) do seen[#seen + 1] = amount end
      cursor = "&cursor=" .. tostring(page.next_cursor)
    until type(page.next_cursor) ~= "string"
    assert.same({ 5, 4, 3, 2, 1 }, seen)
  end)

  it("refuses what it does not know", function()
    local sku = "SPEC-" .. run .. "-KNOWN"
    put(sku, 100)
    assert.equal(404, (ask("GET", "/api/v1/products/SPEC-NOBODY/price-history")))
    assert.equal(422, (ask("GET", "/api/v1/products/" .. sku .. "/price-history?limit=0")))
    assert.same({}, history(sku, "?currency=JPY").items)
    for _, parts in ipairs { { "history", "1", "OTHER" }, { "history", ("9"):rep(18), sku }, { "name", "1", sku },
      { "history", tostring(fastr.time.unix_ms() + DAY), sku }, "x" } do
      local cursor = parts == "x" and "x" or fastr.crypto.base64url(fastr.json.encode(parts))
      local status, wrong = ask("GET", "/api/v1/products/" .. sku .. "/price-history?cursor=" .. cursor)
      assert.same({ 400, "cursor_invalid" }, { status, wrong.code })
    end
  end)

  it("stands beside the product, in lists and in carts as well", function()
    local sku = shopper.product(500, 10)
    local sale = { rows = { { price = { amount = 400, currency = "GBP" } } } }
    assert.equal(200, (shopper.send("PUT", "/api/v1/products/" .. sku .. "/prices", { headers = shopper.STAFF,
      body = sale })))
    local _, product = shopper.send("GET", "/api/v1/products/" .. sku)
    assert.same({ 400, 500, { amount = 500, currency = "GBP" } }, { product.price.amount, product.list_price.amount,
      product.lowest_price_30d })
    local _, found = shopper.send("GET", "/api/v1/products?q=" .. sku)
    assert.equal(500, found.items[1].lowest_price_30d.amount)
    local cart = shopper.cart { [sku] = 1 }
    assert.equal(500, cart.lines[1].lowest_price_30d.amount)
    local tier = { { price = { amount = 450, currency = "GBP" }, min_quantity = 2 }, sale.rows[1] }
    shopper.send("PUT", "/api/v1/products/" .. sku .. "/prices", { headers = shopper.STAFF, body = { rows = tier } })
    local dearer = shopper.cart { [sku] = 2 }
    assert.same({ 450, fastr.json.null }, { dearer.lines[1].unit_price.amount, dearer.lines[1].lowest_price_30d })
    local plain = shopper.cart { [shopper.product(500, 10)] = 1 }
    assert.equal(fastr.json.null, plain.lines[1].lowest_price_30d)
  end)
end)

-- ---- prices that nobody wrote -------------------------------------------------------------------------------------

describe("a price that has changed without a word, as rules and the time in them do it", function()
  local jobs = require "services.product.jobs"

  it("has its lowest price beside it at once, and is written down by the job, once", function()
    local sku = shopper.product(500, 10)
    db:transaction(function(tx)
      return store.put_price_rows(tx, { sku }, { { sku = sku, place = 1, currency = "GBP", amount = 450 } },
        fastr.time.now())
    end)
    local function shown()
      local _, product = shopper.send("GET", "/api/v1/products/" .. sku)
      return { product.price.amount, product.lowest_price_30d.amount }
    end
    assert.same({ 450, 500 }, shown())
    assert.equal(1, rows_on_record(sku))
    fastr.all { jobs.record_prices, jobs.record_prices } -- as every instance has it
    assert.same({ 450, 500 }, shown())
    assert.is_true(jobs.record_prices())
    assert.equal(2, rows_on_record(sku))
    local _, page = send("GET", "/api/v1/products/" .. sku .. "/price-history", { headers = shopper.signed_in(nil,
      { "catalogue" }) })
    assert.same({ "rules", fastr.rules.pack() }, { page.items[1].by, page.items[1].reason })
  end)
end)

-- ---- many price lists at once -------------------------------------------------------------------------------------

describe("price lists of many products", function()
  local function put(body, headers)
    return shopper.send("PUT", "/api/v1/price-lists", { headers = headers or shopper.STAFF, body = body })
  end

  local function row(sku, amount, more)
    return shopper.with({ sku = sku, price = { amount = amount, currency = "GBP" } }, more)
  end

  local function rows_of(sku)
    return #select(2, shopper.send("GET", "/api/v1/products/" .. sku .. "/prices", { headers = shopper.STAFF })).rows
  end

  it("are replaced, but for those of which a row is wrong, and each row that was not taken has its reason", function()
    local good, bad = shopper.product(500, 1), shopper.product(500, 1)
    local status, report = put { reason = "spring", rows = fastr.json.array { row(good, 450), row(bad, 400),
      row(good, 400, { min_quantity = 6 }), row(bad, -1), row(bad, 300, { min_quantity = 9, max_quantity = 2 }),
      row("SPEC-NOBODY", 1), { price = { amount = 1, currency = "GBP" } }, "nonsense" } }
    assert.same({ 200, 1, 2 }, { status, report.products, report.rows })
    local told = {}
    for i, each in ipairs(report.failed) do told[i] = { each.row, each.field } end
    assert.same({ { 2, "" }, { 4, "price.amount" }, { 5, "" }, { 6, "sku" }, { 7, "sku" }, { 8, "" } }, told)
    assert.same({ 2, 0 }, { rows_of(good), rows_of(bad) })
    local _, page = shopper.send("GET", "/api/v1/products/" .. good .. "/price-history", { headers = shopper.STAFF })
    assert.same({ 450, "spring" }, { page.items[1].price.amount, page.items[1].reason })
  end)

  it("tell of a tie with both rows", function()
    local sku = shopper.product(500, 1)
    local _, report = put { rows = fastr.json.array { row(sku, 450), row("SPEC-NOBODY", 1), row(sku, 400) } }
    assert.equal("ties with row 1: both are for the same lines at the same times", report.failed[3].problem)
    assert.equal("not taken: row 3 of this product is wrong", report.failed[1].problem)
  end)

  it("come as CSV as well, and the report has its lines", function()
    local a, b = shopper.product(500, 1), shopper.product(500, 1)
    local status, report = put { csv = "sku,currency,amount,min_quantity,customer_group,from\r\n" ..
      a .. ",GBP,450,,,\r\n\r\n" .. a .. ',GBP,400,6,"whole, sale",2026-01-01T00:00:00Z\r\n' ..
      b .. ",GBP,4.50,,,\r\n" }
    assert.same({ 200, 1, 2 }, { status, report.products, report.rows })
    assert.same({ 5, "price.amount" }, { report.failed[1].row, report.failed[1].field })
    assert.same({ 2, 0 }, { rows_of(a), rows_of(b) })
  end)

  it("are refused as a whole where it cannot be told what is meant", function()
    for text, wrong in pairs { ["sku,currency\n"] = "the column amount is missing",
      ["sku,what\n"] = "there is no column", ["sku,sku\n"] = "the column sku is there twice",
      [" "] = "there is no column", ["sku\n\"x"] = "line 2: a quoted",
      ["sku,currency,amount\nA,GBP\n"] = "line 2: 2 fields" } do
      local status, refused = put { csv = text }
      assert.same({ 422, "csv" }, { status, refused.errors[1].path })
      assert.is_truthy(refused.detail:find(wrong, 1, true), refused.detail)
    end
    assert.equal(422, (put {}))
    assert.equal(422, (put { csv = "sku,currency,amount\n", rows = fastr.json.array {} }))
    assert.equal(401, (put({ rows = fastr.json.array {} }, {})))
    assert.equal(403, (put({ rows = fastr.json.array {} }, shopper.signed_in())))
  end)
end)
