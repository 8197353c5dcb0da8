-- Coupons: issued by staff, entered into carts, and used no more often than they may be, however many ask at once.

local coupons = require "services.cart.coupons"
local database = require "platform.db"
local program = require "spec.support.program"
local shopper = require "spec.support.shopper"
local store = require "services.cart.store"
local url = require "lib.url"

local db = database.open "cart"
local send = program.of { "user", "product", "cart", "order" }
local uuid7 = fastr.crypto.uuid7
local carts, codes = {}, {}

local signed_in = shopper.signed_in
local STAFF = signed_in(nil, { "catalogue" })

local function issue(limits, code)
  code = code or "SPEC-" .. uuid7():sub(-12)
  codes[#codes + 1] = code
  local status, coupon = send("PUT", "/api/v1/coupons/" .. url.encode(code), { headers = STAFF, body = limits })
  assert.truthy(status == 200 or status == 201, status)
  return code, coupon
end

local function used(code)
  return select(2, send("GET", "/api/v1/coupons/" .. code, { headers = STAFF })).used
end

local function new_cart(headers)
  local _, cart = send("POST", "/api/v1/carts", { headers = headers })
  carts[#carts + 1] = cart.id
  return cart.id
end

-- A cart as its checkout has it, with the price that accepted these codes.
local function claim(cart, customer, ...)
  local priced = { coupons = {}, facts = {}, trace = {}, limits = {} }
  for i, code in ipairs { ... } do priced.coupons[i] = { code = code, accepted = true } end
  return db:transaction(function(tx) return coupons.claim(tx, { id = cart, customer = customer }, priced) end)
end

local function release(cart)
  db:transaction(function(tx)
    store.release_coupons(tx, cart)
    return true
  end)
end

teardown(function()
  for _, id in ipairs(carts) do
    db:write("delete from coupon_claims where cart_id = $1", id)
    db:write("delete from carts where id = $1", id)
  end
  for _, code in ipairs(codes) do
    db:write("delete from coupon_customers where code = $1", code)
    db:write("delete from coupons c where code = $1 and not exists (select 1 from coupon_claims l where l.code = $1)",
      code)
  end
end)

describe("staff", function()
  it("issue a code with limits, change them, and see its uses", function()
    local code = "SPEC-" .. uuid7():sub(-12)
    codes[#codes + 1] = code
    local path = "/api/v1/coupons/" .. code
    assert.equal(401, (send("PUT", path, { body = {} })))
    assert.equal(403, (send("PUT", path, { body = {}, headers = signed_in() })))
    assert.equal(403, (send("GET", "/api/v1/coupons", { headers = signed_in() })))
    assert.same({ 404, "coupon_not_found" }, { (send("GET", path, { headers = STAFF })),
      select(2, send("GET", path, { headers = STAFF })).code })
    local status, coupon = send("PUT", path, { headers = STAFF, body = { limit = 5 } })
    assert.same({ 201, code, 5, fastr.json.null, 0 }, { status, coupon.code, coupon.limit, coupon.limit_per_customer,
      coupon.used })
    status, coupon = send("PUT", path, { headers = STAFF, body = { limit_per_customer = 1 } })
    assert.same({ 200, fastr.json.null, 1 }, { status, coupon.limit, coupon.limit_per_customer })
    for _, bad in ipairs { -1, 1.5, "2", 1e10 } do
      assert.equal(422, (send("PUT", path, { headers = STAFF, body = { limit = bad } })))
    end
    assert.equal(422, (send("PUT", path, { headers = STAFF, body = { limit_per_customer = 0 } })))
  end)

  it("list codes a page at a time", function()
    local a, b = issue {}, issue({}, "SPEC & + % ? " .. uuid7():sub(-12))
    local seen, cursor = {}, fastr.crypto.base64url(a < b and a:sub(1, -2) or b:sub(1, -2)) -- there may be many others
    repeat
      local _, page = send("GET", "/api/v1/coupons?limit=1&cursor=" .. cursor,
        { headers = { Authorization = STAFF.Authorization, ["Fastr-Session"] = fastr.task.get("lsn") } })
      for _, item in ipairs(page.items) do seen[item.code] = (seen[item.code] or 0) + 1 end
      cursor = page.next_cursor
    until type(cursor) ~= "string" or (seen[a] and seen[b])
    assert.same({ 1, 1 }, { seen[a], seen[b] })
    for _, bad in ipairs { "%25", "!!", "_w", "AA" } do
      local status, wrong = send("GET", "/api/v1/coupons?cursor=" .. bad, { headers = STAFF })
      assert.same({ 400, "cursor_invalid" }, { status, wrong.code })
    end
  end)
end)

describe("a limit", function()
  it("of three is used by three of twenty at once", function()
    local code, tasks, good = issue { limit = 3 }, {}, 0
    for i = 1, 20 do
      local cart = new_cart()
      tasks[i] = function() return claim(cart, nil, code) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] then
        good = good + 1
      else
        assert.same({ 409, "coupon_used_up", "used_up" }, { result[2].status, result[2].code, result[2].reason })
      end
    end
    assert.same({ 3, 3 }, { good, used(code) })
  end)

  it("counts one cart once, and what it gives back is there for the next", function()
    local code, a, b = issue { limit = 1 }, new_cart(), new_cart()
    for _ = 1, 3 do assert.is_true(claim(a, nil, code)) end
    assert.is_nil((claim(b, nil, code)))
    release(a)
    release(a)
    assert.equal(0, used(code))
    assert.is_true(claim(b, nil, code))
    assert.equal(1, used(code))
  end)

  it("holds for each customer, by account and by e-mail, at once too", function()
    local code, ann, tasks, good = issue { limit_per_customer = 2 }, uuid7(), {}, 0
    for i = 1, 10 do
      local cart = new_cart()
      tasks[i] = function() return claim(cart, ann, code) end
    end
    for _, result in ipairs(fastr.all(tasks)) do good = good + (result[1] and 1 or 0) end
    assert.same({ 2, 2 }, { good, used(code) })
    local cart = new_cart()
    local refused = select(2, claim(cart, ann, code))
    assert.equal("used_up_for_customer", refused.reason)
    assert.is_true(claim(cart, uuid7(), code))
  end)

  it("that is missing is no limit, and one that comes later counts what was used before", function()
    local code = issue {}
    for _ = 1, 3 do assert.is_true(claim(new_cart(), nil, code)) end
    assert.equal(3, used(code))
    issue({ limit = 3 }, code)
    assert.is_nil((claim(new_cart(), nil, code)))
  end)

  it("of two codes in one cart is claimed for both or for neither", function()
    local free, gone, cart = issue { limit = 9 }, issue { limit = 0 }, new_cart()
    assert.is_nil((claim(cart, nil, free, gone)))
    assert.equal(0, used(free))
    local a, b, tasks = issue { limit = 100 }, issue { limit = 100 }, {}
    for i = 1, 20 do
      local each, first, second = new_cart(), a, b
      if i % 2 == 0 then first, second = b, a end
      tasks[i] = function() return claim(each, nil, first, second) end
    end
    for _, result in ipairs(fastr.all(tasks)) do assert.is_true(result[1]) end
    assert.same({ 20, 20 }, { used(a), used(b) })
  end)

  it("is not claimed for a code that the price was made without", function()
    local code, cart = issue { limit = 1 }, new_cart()
    assert.is_true(claim(cart, nil, code))
    assert.is_true(claim(cart, nil))
    assert.equal(0, used(code))
  end)
end)

-- WELCOME is the shop's own: a twentieth off somebody's first order.
describe("a code in a cart", function()
  local function enter(cart, code, headers)
    return send("POST", "/api/v1/carts/" .. cart .. "/coupons", { body = { code = code }, headers = headers })
  end

  it("takes its discount off, once, and goes again", function()
    local me = signed_in()
    local cart = new_cart(me)
    send("POST", "/api/v1/carts/" .. cart .. "/lines", { headers = me, body = { sku = "84077", quantity = 100 } })
    local before = select(2, send("GET", "/api/v1/carts/" .. cart)).totals.total.amount
    for _ = 1, 2 do
      local status, reply = enter(cart, "WELCOME", me)
      assert.same({ 200, 1, true }, { status, #reply.coupons, reply.coupons[1].accepted })
      assert.is_true(reply.totals.total.amount < before)
    end
    local path = "/api/v1/carts/" .. cart .. "/coupons/WELCOME"
    assert.equal(before, select(2, send("DELETE", path, { headers = me })).totals.total.amount)
    local status, wrong = send("DELETE", path, { headers = me })
    assert.same({ 404, "coupon_not_found" }, { status, wrong.code })
  end)

  it("is refused with the reason where it does not apply", function()
    local cart = new_cart()
    local function refused(code)
      local status, wrong = enter(cart, code)
      return { status, wrong.code, wrong.reason }
    end
    assert.same({ 422, "coupon_refused", "not_eligible" }, refused "WELCOME") -- a guest has no first order
    assert.same({ 422, "coupon_refused", "unknown" }, refused "welcome")
    assert.same({ 422, "coupon_refused", "unknown" }, refused "'; drop table coupons; --")
    for _, bad in ipairs { "", ("x"):rep(65), "a\nb", 1 } do assert.same({ 422, "validation" }, { (enter(cart, bad)),
      select(2, enter(cart, bad)).code }) end
    assert.same({}, { unpack(select(2, send("GET", "/api/v1/carts/" .. cart)).coupons) })
  end)
end)
