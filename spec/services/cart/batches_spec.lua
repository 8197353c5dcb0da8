-- Codes that staff issue in batches: nobody can guess them, each stands for one promotion, and each is used as often as
-- it may be.

local database = require "platform.db"
local promotions = require "spec.support.promotions"
local shopper = require "spec.support.shopper"

local db, send, STAFF = database.open "cart", shopper.send, shopper.STAFF
local uuid7 = fastr.crypto.uuid7
local RUN = uuid7():sub(-12):upper()
local SPRING, AUTUMN, LAPSED, KEPT = "SPRING-" .. RUN, "AUTUMN-" .. RUN, "LAPSED-" .. RUN, "KEPT-" .. RUN
local own, sku
local batches = {}

setup(function()
  local one = "{ id = %q, coupon = %q, actions = { { type = 'order_fixed', value = %d } }%s },\n"
  own = promotions.use(one:format("spring", SPRING, 100, "") .. one:format("autumn", AUTUMN, 50, "")
    .. one:format("kept", KEPT, 100, ", usage = { give_back = false }")
    .. one:format("lapsed", LAPSED, 1, ", ends_at = '2020-01-01T00:00:00Z'"))
  sku = shopper.product(1000, 1000)
end)

teardown(function()
  own:restore()
  db:write([[delete from coupons c where batch_id = any($1::uuid[])
    and not exists (select 1 from coupon_claims l where l.code = c.code)
    and not exists (select 1 from coupon_customers k where k.code = c.code)]], fastr.pg.array(batches))
end)

local function issue(body)
  body.coupon, body.count = body.coupon or SPRING, body.count or 1
  local status, batch = send("POST", "/api/v1/coupon-batches", { headers = shopper.with(shopper.key(), STAFF),
    body = body })
  batches[#batches + 1] = batch.id
  return status, batch
end

local function csv(path)
  local _, text, headers = send("GET", path, { headers = STAFF })
  local list = {}
  for code, limit, used in text:gmatch("([^,\r\n]+),(%d*),(%d+)\r\n") do list[#list + 1] = { code, limit, used } end
  return list, headers, text
end

local function codes_of(batch)
  local list, codes = csv("/api/v1/coupon-batches/" .. batch.id .. "/codes?limit=10000"), {}
  for i, row in ipairs(list) do codes[i] = row[1] end
  return codes
end

-- The codes of a new batch.
local function issued(body)
  local status, batch = issue(body)
  assert.equal(201, status)
  return codes_of(batch), batch
end

local function new_cart(me, more)
  return shopper.cart({ [sku] = 1 }, me, more or { email = "spec-" .. uuid7() .. "@cart.example" })
end

local function enter(cart, code, me)
  return send("POST", "/api/v1/carts/" .. cart.id .. "/coupons", { headers = me, body = { code = code } })
end

local function refusal(cart, code)
  local status, wrong = enter(cart, code)
  return { status, wrong.code, wrong.reason }
end

describe("a batch", function()
  it("of ten thousand codes is issued at once; no two are alike, and none leads to another", function()
    local began = fastr.time.unix_ms()
    local codes, batch = issued { count = 10000, prefix = "SPRING" }
    local took = fastr.time.unix_ms() - began
    assert.is_true(took < 5000, took)
    local seen = {}
    for _, code in ipairs(codes) do
      assert.truthy(code:find("^SPRING%-[2-9A-HJKMNP-TV-Z]+%-%w%w%w%w%-%w%w%w%w%-%w%w%w%w$") and #code == 26, code)
      assert.is_nil(seen[code])
      seen[code] = true
    end
    assert.same({ 10000, 10000, SPRING, 1, false }, { #codes, batch.count, batch.coupon, batch.limit, batch.blocked })
  end)

  it("is issued once for a key that is sent again", function()
    local options = { headers = shopper.with(shopper.key(), STAFF), body = { coupon = SPRING, count = 3 } }
    local first, again = select(2, send("POST", "/api/v1/coupon-batches", options)),
      select(2, send("POST", "/api/v1/coupon-batches", options))
    assert.same(first, again)
    assert.equal(3, #codes_of(first))
  end)

  it("is exported a page at a time, and listed", function()
    local _, batch = issued { count = 5, limit = 7 }
    local path, seen, pages = "/api/v1/coupon-batches/" .. batch.id .. "/codes?limit=2", {}, 0
    while path do
      local rows, headers, text = csv(path)
      assert.same({ "text/csv; charset=utf-8", 1 }, { headers["Content-Type"],
        (text:find("code,limit,used\r\n", 1, true)) })
      for _, row in ipairs(rows) do
        assert.same({ "7", "0" }, { row[2], row[3] })
        seen[#seen + 1] = row[1]
      end
      path, pages = headers.Link and headers.Link:match('^<([^>]+)>; rel="next"$'), pages + 1
    end
    assert.same({ 5, 3, codes_of(batch) }, { #seen, pages, seen })
    local _, page = send("GET", "/api/v1/coupons?limit=100&batch=" .. batch.id, { headers = STAFF })
    assert.same({ 5, SPRING, batch.id }, { #page.items, page.items[1].coupon, page.items[1].batch })
    local _, list = send("GET", "/api/v1/coupon-batches?limit=1", { headers = STAFF })
    local _, rest = send("GET", "/api/v1/coupon-batches?limit=1&cursor=" .. list.next_cursor, { headers = STAFF })
    assert.same({ batch.id, true }, { list.items[1].id, rest.items[1].id < batch.id })
  end)

  it("that could not be used is refused with the reason", function()
    local function wrong(body)
      local status, said = issue(body)
      return { status, said.code, said.errors[1].path }
    end
    assert.same({ 422, "validation", "coupon" }, wrong { coupon = "NOTHING-" .. RUN })
    assert.same({ 422, "validation", "coupon" }, wrong { coupon = SPRING:lower() })
    assert.same({ 422, "validation", "coupon" }, wrong { coupon = ("x"):rep(65) })
    for _, count in ipairs { 0, -1, 10001, 1.5, "10" } do
      assert.same({ 422, "validation", "count" }, wrong { count = count })
    end
    for _, limit in ipairs { 0, -1, 1.5 } do assert.same({ 422, "validation", "limit" }, wrong { limit = limit }) end
    assert.same({ 422, "validation", "limit_per_customer" }, wrong { limit_per_customer = -1 })
    for _, prefix in ipairs { "", ("P"):rep(21), "=SUM(1)", "a b", "SPRİNG" } do
      assert.same({ 422, "validation", "prefix" }, wrong { prefix = prefix })
    end
    assert.same({ 401, 403 }, { (send("POST", "/api/v1/coupon-batches", { body = { coupon = SPRING, count = 1 } })),
      (send("POST", "/api/v1/coupon-batches", { headers = shopper.signed_in(), body = { coupon = SPRING,
        count = 1 } })) })
    local nobody = "/api/v1/coupon-batches/" .. uuid7()
    for _, path in ipairs { nobody, nobody .. "/codes" } do
      assert.same({ 404, "coupon_not_found" }, { (send("GET", path, { headers = STAFF })),
        select(2, send("GET", path, { headers = STAFF })).code })
    end
  end)
end)

describe("an issued code", function()
  it("takes off what its promotion gives, under its own name, from cart to order", function()
    local codes = issued { count = 2, prefix = "S" }
    local status, cart = enter(new_cart(), codes[1])
    assert.same({ 200, 100, { { code = codes[1], accepted = true } } }, { status, cart.totals.discount.amount,
      cart.coupons })
    local bought, order = shopper.checkout(cart, shopper.card())
    assert.same({ 201, 100 }, { bought, order.totals.discount.amount })
    assert.same({ 422, "coupon_refused", "used_up" }, refusal(new_cart(), codes[1]))
    local _, known = send("GET", "/api/v1/coupons/" .. codes[1], { headers = STAFF })
    assert.same({ SPRING, 1, 1 }, { known.coupon, known.limit, known.used })
  end)

  it("comes back when its order is cancelled, unless its promotion says that it stays used", function()
    local back, kept = issued({})[1], issued({ coupon = KEPT })[1]
    local function used_after_cancelling(code)
      local _, cart = enter(new_cart(), code)
      assert.equal(402, (shopper.checkout(cart, shopper.card("4000000000000002")))) -- which uses nothing
      local _, order, headers = shopper.checkout(cart, shopper.card())
      for _ = 1, 2 do
        local status = send("POST", "/api/v1/orders/" .. order.id .. "/cancel", {
          headers = { ["Fastr-Order"] = headers["Fastr-Order"] } })
        assert.equal(200, status)
      end
      shopper.eventually("it is settled", function()
        return db:latest([[select 1 as found from carts where order_id = $1 and not exists
          (select 1 from coupon_claims where cart_id = id and gives_back)]], order.id)[1]
      end)
      return select(2, send("GET", "/api/v1/coupons/" .. code, { headers = STAFF })).used
    end
    assert.same({ 0, 1 }, { used_after_cancelling(back), used_after_cancelling(kept) })
    assert.same({ "used_up", 200 }, { refusal(new_cart(), kept)[3], (enter(new_cart(), back)) })
  end)

  it("alone is stopped by a limit of 0", function()
    local code = issued({})[1]
    send("PUT", "/api/v1/coupons/" .. code, { headers = STAFF, body = { limit = 0 } })
    assert.equal("used_up", refusal(new_cart(), code)[3])
    send("PUT", "/api/v1/coupons/" .. code, { headers = STAFF, body = { limit = 1 } })
    assert.equal(200, (enter(new_cart(), code)))
  end)

  it("goes once into a cart for each promotion; another for the same is refused, one for another is not", function()
    local codes, others = issued { count = 2 }, issued { coupon = AUTUMN }
    local cart = new_cart()
    assert.equal(200, (enter(cart, codes[1])))
    assert.same({ 422, "coupon_refused", "already_applied" }, refusal(cart, codes[2]))
    local status, both = enter(cart, others[1])
    assert.same({ 200, 150 }, { status, both.totals.discount.amount })
    db:write("update coupons set used = 1 where code = $1", codes[1]) -- somebody else was sooner
    assert.same({ 422, "coupon_refused", "used_up" }, refusal(new_cart(), codes[1]))
    local _, again = enter(cart, codes[2])
    assert.same({ 150, false, true }, { again.totals.discount.amount, again.coupons[1].accepted,
      again.coupons[3].accepted })
  end)

  it("is all that stands for its promotion: nobody enters that one's own code, unless it was issued too", function()
    local before = refusal(new_cart(), LAPSED)[3]
    issued { coupon = AUTUMN }
    issued { coupon = LAPSED }
    assert.same({ "expired", "unknown", "unknown" }, { before, refusal(new_cart(), AUTUMN)[3],
      refusal(new_cart(), LAPSED)[3] })
    send("PUT", "/api/v1/coupons/" .. AUTUMN, { headers = STAFF, body = {} })
    assert.equal(200, (enter(new_cart(), AUTUMN)))
  end)

  it("is refused with the promotion's reason, or as unknown, however like another it looks", function()
    local code = issued { prefix = "S" }[1]
    assert.equal("expired", refusal(new_cart(), issued({ coupon = LAPSED })[1])[3])
    for _, other in ipairs { code:lower(), code .. " ", " " .. code, code:gsub("^S", "Ѕ"), code:gsub("-", "‐"),
      code:sub(1, -2), "%", (code:gsub(".$", "_")) } do
      assert.equal("unknown", refusal(new_cart(), other)[3], other)
    end
    assert.same({ 422, "validation" }, { unpack(refusal(new_cart(), ("x"):rep(65)), 1, 2) })
  end)

  it("of a batch that was stopped is refused until it goes on, also by a checkout under way", function()
    local codes, batch = issued { count = 2 }
    local path, cart = "/api/v1/coupon-batches/" .. batch.id, new_cart()
    local _, with_code = enter(cart, codes[1])
    local function block(blocked)
      local status, now = send("PATCH", path, { headers = STAFF, body = { blocked = blocked } })
      assert.same({ 200, blocked }, { status, now.blocked })
    end
    block(true)
    assert.same({ 422, "coupon_refused", "expired" }, refusal(new_cart(), codes[2]))
    local status, wrong = shopper.checkout(with_code, shopper.card())
    assert.same({ 409, "price_changed" }, { status, wrong.code })
    block(false)
    assert.equal(201, (shopper.checkout(with_code, shopper.card())))
    assert.equal(404, (send("PATCH", "/api/v1/coupon-batches/" .. uuid7(), { headers = STAFF,
      body = { blocked = true } })))
  end)

  it("comes along when carts become one at sign-in, and counts once there", function()
    local codes, me = issued { count = 2 }, shopper.signed_in()
    local first, second = new_cart(me), new_cart()
    assert.same({ 200, 200 }, { (enter(first, codes[1], me)), (enter(second, codes[2])) })
    local status, merged = send("POST", "/api/v1/carts/" .. second.id .. "/claim", { headers = me })
    assert.same({ 200, 100, true, "already_applied" }, { status, merged.totals.discount.amount,
      merged.coupons[1].accepted, merged.coupons[2].reason })
    local bought = shopper.checkout(merged, shopper.card(nil, me), me)
    local _, used = send("GET", "/api/v1/coupons/" .. codes[2], { headers = STAFF })
    local _, unused = send("GET", "/api/v1/coupons/" .. codes[1], { headers = STAFF })
    assert.same({ 201, 1, 0 }, { bought, used.used, unused.used })
  end)

  it("for one use is used by one of sixteen who check out at once", function()
    local code, tasks, good = issued({})[1], {}, 0
    for i = 1, 16 do
      local _, cart = enter(new_cart(), code)
      local card = shopper.card()
      tasks[i] = function() return shopper.checkout(cart, card) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] == 201 then good = good + 1 else assert.equal(409, result[1]) end
    end
    assert.equal(1, good)
  end)
end)
