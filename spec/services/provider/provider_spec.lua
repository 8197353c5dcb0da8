-- The test provider as the shop meets it: over HTTP, in a process that can be killed.

local host = require "spec.support.host"
local provider = require "spec.support.provider"
local shell = require "spec.support.shell"

local uuid7 = fastr.crypto.uuid7
local GOOD = "4242424242424242"
local own

setup(function() own = provider.start() end)
teardown(function() if own then own:stop() end end)

local function charge(number, more)
  local status, body = own:charge(uuid7(), number, more)
  assert.equal(201, status, body.detail)
  return body
end

local function move(charged, what, amount, key)
  return own:ask("POST", "/charges/" .. charged.id .. "/" .. what, { key = key or uuid7(), body = { amount = amount } })
end

local function look_up(key)
  return own:ask("GET", "/charges?key=" .. key)
end

describe("a charge", function()
  it("is what the card says", function()
    local cases = { { GOOD, "captured" }, { "5555555555554444", "captured" }, { "378282246310005", "captured" },
      { "4000000000000002", "declined", "card_declined" }, { "4000000000009995", "declined", "insufficient_funds" },
      { "4000000000003220", "requires_action" }, { "4000056655665556", "declined", "test_card_required" } }
    for _, case in ipairs(cases) do
      local made = charge(case[1])
      assert.same({ case[2], case[3], case[1]:sub(-4) }, { made.status, made.decline_code, made.card.last4 })
      assert.equal(case[2] == "captured" and 1000 or 0, made.captured)
    end
  end)

  it("is set aside only, where capture comes later", function()
    local made = charge(GOOD, { capture = false })
    assert.same({ "authorised", 0 }, { made.status, made.captured })
  end)

  it("is declined once the card's month is over", function()
    local made = charge(GOOD, { card = { number = GOOD, exp_month = 12, exp_year = 2020 } })
    assert.same({ "declined", "expired_card" }, { made.status, made.decline_code })
  end)

  it("is refused where the request is wrong, and says what is", function()
    local cases = { { {}, 401, "provider_key_wrong", { provider_key = "wrong" } },
      { {}, 401, "provider_key_wrong", { provider_key = false } },
      { {}, 400, "idempotency_key_required", { key = "" } },
      { { amount = 0 }, 422, "validation" }, { { amount = 1.5 }, 422, "validation" },
      { { amount = "10" }, 422, "validation" }, { { currency = "pounds" }, 422, "validation" },
      { { card = { number = "4242424242424241", exp_month = 1, exp_year = 2099 } }, 422, "card_invalid" },
      { { card = { number = "4242 4242 4242 4242", exp_month = 1, exp_year = 2099 } }, 422, "card_invalid" } }
    for _, case in ipairs(cases) do
      local options = { key = uuid7(), body = { amount = 1000, currency = "GBP", capture = true, reference = "r",
        card = { number = GOOD, exp_month = 12, exp_year = 2099 } } }
      for name, value in pairs(case[1]) do options.body[name] = value end
      for name, value in pairs(case[4] or {}) do options[name] = value end
      local status, body = own:ask("POST", "/charges", options)
      assert.same({ case[2], case[3] }, { status, body.code })
    end
  end)

  it("is shown to nobody without the key", function()
    local made = charge(GOOD)
    for _, path in ipairs { "/charges/" .. made.id, "/charges?key=" .. made.key } do
      assert.equal(401, (own:ask("GET", path, { provider_key = "wrong" })))
      assert.equal(200, (own:ask("GET", path)))
    end
    for path, body in pairs { captures = { amount = 1 }, refunds = { amount = 1 }, voids = {} } do
      assert.equal(401, (own:ask("POST", "/charges/" .. made.id .. "/" .. path, { key = "k", body = body,
        provider_key = "wrong" })))
    end
    assert.equal(401, (own:ask("POST", "/keys/" .. made.key .. "/cancel", { provider_key = "wrong" })))
    assert.equal(404, (own:ask("GET", "/charges/" .. uuid7())))
  end)

  it("leaves no card number in the book or the log", function()
    charge("6011111111111117")
    local found = own:sql("select count(*) from charges c, keys k where concat(c::text, k::text) like '%601111111111%'")
    assert.same({ "0", nil }, { found, own:log():find("601111111111", 1, true) })
  end)
end)

describe("a key", function()
  it("names one charge: the same body again gets it, another body is refused", function()
    local key = uuid7()
    local status, made = own:charge(key, GOOD)
    local again, same, headers = own:charge(key, GOOD)
    assert.same({ 201, 200, made.id, "true" }, { status, again, same.id, headers["idempotent-replayed"] })
    local other, problem = own:charge(key, GOOD, { amount = 1001 })
    assert.same({ 422, "idempotency_mismatch" }, { other, problem.code })
    local card, refused = own:charge(key, "5555555555554444")
    assert.same({ 422, "idempotency_mismatch" }, { card, refused.code })
  end)

  it("makes one charge of parallel requests", function()
    for _ = 1, 5 do
      local key, work = uuid7(), {}
      for i = 1, 4 do work[i] = function() return own:charge(key, GOOD) end end
      local statuses, ids = {}, {}
      for i, result in ipairs(fastr.all(work)) do
        statuses[i], ids[result[2].id] = result[1], true
      end
      table.sort(statuses)
      assert.same({ 200, 200, 200, 201 }, statuses)
      local id = next(ids)
      assert.is_nil(next(ids, id))
      assert.equal("1000", own:sql("select sum(amount) from entries where kind = 'capture' and charge_id = '" .. id
        .. "'"))
    end
  end)

  it("takes one of two parallel bodies", function()
    local key = uuid7()
    local results = fastr.all { function() return own:charge(key, GOOD) end,
      function() return own:charge(key, GOOD, { amount = 2000 }) end }
    local statuses = { results[1][1], results[2][1] }
    table.sort(statuses)
    assert.same({ 201, 422 }, statuses)
  end)

  it("that is cancelled charges nothing, ever", function()
    local key = uuid7()
    local status, answer = own:ask("POST", "/keys/" .. key .. "/cancel")
    assert.same({ 200, { cancelled = true } }, { status, answer })
    assert.same({ cancelled = true }, select(2, own:ask("POST", "/keys/" .. key .. "/cancel")))
    local refused, problem = own:charge(key, GOOD)
    assert.same({ 409, "key_cancelled" }, { refused, problem.code })
    assert.equal(404, (look_up(key)))
  end)

  it("that has charged cannot be cancelled: the answer has the charge", function()
    local made = charge(GOOD)
    local _, answer = own:ask("POST", "/keys/" .. made.key .. "/cancel")
    assert.same({ false, made.id }, { answer.cancelled, answer.charge.id })
  end)

  it("that is cancelled while it charges has one outcome, told alike to both", function()
    for _ = 1, 20 do
      local key = uuid7()
      local results = fastr.all { function() return own:charge(key, GOOD) end,
        function() return own:ask("POST", "/keys/" .. key .. "/cancel") end }
      local cancelled, known = results[2][2].cancelled, (look_up(key))
      assert.same(cancelled and { 409, 404 } or { 201, 200 }, { results[1][1], known })
    end
  end)
end)

describe("what was charged", function()
  it("is captured in parts, never more than is left", function()
    local made = charge(GOOD, { capture = false })
    local status, part = move(made, "captures", 400)
    assert.same({ 201, 400, "capture" }, { status, part.captured, part.entry.kind })
    local refused, problem = move(made, "captures", 601)
    assert.same({ 422, "amount_too_large", 600 }, { refused, problem.code, problem.left })
    assert.equal(1000, select(2, move(made, "captures", 600)).captured)
    assert.equal(409, (move(made, "captures", 1)))
  end)

  it("is given back once for each key", function()
    local made, key = charge(GOOD), uuid7()
    local first, one = move(made, "refunds", 300, key)
    local second, two = move(made, "refunds", 300, key)
    assert.same({ 201, 200, 300, one.entry.id }, { first, second, two.refunded, two.entry.id })
    assert.equal(422, (move(made, "refunds", 200, key)))
    assert.equal("refunded", select(2, move(made, "refunds", 700)).status)
  end)

  it("is not given back twice by parallel refunds", function()
    local made, work = charge(GOOD), {}
    for i = 1, 4 do work[i] = function() return move(made, "refunds", 600) end end
    local done = 0
    for _, result in ipairs(fastr.all(work)) do done = done + (result[1] == 201 and 1 or 0) end
    assert.equal(1, done)
    assert.equal(600, select(2, look_up(made.key)).refunded)
  end)

  it("is voided while it is not captured; what is captured is not", function()
    local made = charge(GOOD, { capture = false })
    assert.equal("voided", select(2, move(made, "voids")).status)
    assert.equal("voided", select(2, move(made, "voids")).status)
    assert.equal(409, (move(made, "captures", 1)))
    assert.equal(409, (move(charge(GOOD), "voids")))
    local part = charge(GOOD, { capture = false })
    move(part, "captures", 400)
    assert.same({ "captured", 600 }, (function(_, body) return { body.status, body.entry.amount } end)(
      move(part, "voids")))
    assert.equal(409, (move(part, "captures", 1)))
  end)
end)

describe("a card that keeps one waiting", function()
  -- Time is up, whoever notices it first: our client, or the server, which was told how long we wait.
  local function hears_nothing(key, number)
    local status, _, code = own:charge(key, number, nil, 700)
    assert.truthy(code == "timeout" or status == 504, status)
  end

  it("has charged, when it answers too late", function()
    local key = uuid7()
    hears_nothing(key, "4000000000005019")
    assert.equal("captured", select(2, look_up(key)).status)
    assert.equal(false, select(2, own:ask("POST", "/keys/" .. key .. "/cancel")).cancelled)
  end)

  it("does not answer early because the caller's time is up", function()
    local body = { amount = 1000, currency = "GBP", capture = true, reference = "r",
      card = { number = "4000000000005019", exp_month = 12, exp_year = 2099 } }
    -- Not our client: it would not wait for longer than it says.
    local _, status = shell.run(("curl -s -m 10 -o /dev/null -w '%%{http_code}' -H 'Fastr-Deadline-Ms: 300' "
      .. "-H 'Provider-Key: %s' -H 'Idempotency-Key: %s' -H 'Content-Type: application/json' -d '%s' "
      .. "%s/api/v1/provider/charges"):format(own.key, uuid7(), fastr.json.encode(body), own.url))
    assert.equal("504", status)
  end)

  it("has not charged, when it never answers", function()
    local key = uuid7()
    hears_nothing(key, "4000000000005027")
    assert.equal(404, (look_up(key)))
    assert.equal(true, select(2, own:ask("POST", "/keys/" .. key .. "/cancel")).cancelled)
  end)
end)

describe("a challenge", function()
  local function path_of(made)
    return made.next_action.url:match("/provider(/.*)$")
  end

  it("is a page with two buttons, for whoever has its address", function()
    local made = charge("4000000000003220", { amount = 123456, reference = "<b>order</b>" })
    local status, html, headers = own:ask("GET", path_of(made), { provider_key = false })
    assert.same({ 200, "no-store" }, { status, headers["cache-control"] })
    assert.truthy(html:find("1234.56 GBP", 1, true))
    assert.truthy(html:find("&lt;b&gt;order", 1, true))
    for _, answer in ipairs { "approve", "refuse" } do
      assert.truthy(html:find('/' .. answer .. '"><button type="submit"', 1, true))
    end
    assert.equal(404, (own:ask("GET", "/challenges/none", { provider_key = false })))
  end)

  it("approved is paid, refused is declined, and the first answer counts", function()
    for _, case in ipairs { { "approve", "refuse", "captured" }, { "refuse", "approve", "declined" } } do
      local made = charge("4000000000003220")
      local path = path_of(made)
      local status, _, headers = own:ask("POST", path .. "/" .. case[1], { provider_key = false })
      assert.same({ 303, made.next_action.url }, { status, headers.location })
      assert.equal(303, (own:ask("POST", path .. "/" .. case[2], { provider_key = false })))
      assert.equal(case[3], select(2, look_up(made.key)).status)
      assert.is_nil(select(2, own:ask("GET", path, { provider_key = false })):find("<button", 1, true))
    end
  end)

  it("that was voided meanwhile takes no approval", function()
    local made = charge("4000000000003220")
    assert.equal("voided", select(2, move(made, "voids")).status)
    own:ask("POST", path_of(made) .. "/approve", { provider_key = false })
    assert.equal("voided", select(2, look_up(made.key)).status)
  end)

  it("leads back to the shop and nowhere else", function()
    local back = own.url .. "/thanks?order=1"
    local made = charge("4000000000003220", { return_url = back })
    local _, _, headers = own:ask("POST", path_of(made) .. "/approve", { provider_key = false })
    assert.equal(back, headers.location)
    for _, foreign in ipairs { "https://evil.example/", own.url .. "@evil.example/", own.url .. ".evil.example/",
      own.url .. "1/", own.url .. "\\@evil.example", "//evil.example/", "/thanks", "javascript:alert(1)" } do
      local status, problem = own:charge(uuid7(), "4000000000003220", { return_url = foreign })
      assert.same({ 422, "return_url_foreign" }, { status, problem.code })
    end
  end)
end)

describe("webhooks", function()
  local function arrived(made, count)
    return host.eventually(count .. " webhooks about the charge", function()
      local events = own:heard(made.id)
      return #events >= count and events
    end, 15)
  end

  local function types(events)
    local list = {}
    for i, event in ipairs(events) do list[i] = event.sequence .. " " .. event.type end
    return list
  end

  it("tell of all that happened, each signed", function()
    local made = charge(GOOD)
    local _, refund = move(made, "refunds", 300)
    local events = arrived(made, 3)
    local told = types(events)
    table.sort(told)
    assert.same({ "1 charge.authorised", "2 charge.captured", "3 charge.refunded" }, told)
    for _, event in ipairs(events) do
      local at, signature = event.signature:match("^t=(%d+),v1=(%x+)$")
      assert.equal(fastr.crypto.hmac(own.secret, at .. "." .. event.text), signature)
      if event.sequence == 3 then
        assert.same({ 300, refund.entry.id }, { event.charge.refunded, event.charge.entry.id })
      end
    end
  end)

  it("come twice with one id, where the card says so", function()
    local events = arrived(charge("4000000000006025"), 4)
    local ids = {}
    for _, event in ipairs(events) do ids[event.id] = (ids[event.id] or 0) + 1 end
    local copies = {}
    for _, n in pairs(ids) do copies[#copies + 1] = n end
    assert.same({ 2, 2 }, copies)
  end)

  it("come in the wrong order, where the card says so", function()
    assert.same({ "2 charge.captured", "1 charge.authorised" }, types(arrived(charge("4000000000006033"), 2)))
  end)

  it("wait for half a minute, where the card says so", function()
    local made = charge("4000000000006017")
    assert.equal("2", own:sql("select count(*) from webhooks where charge_id = '" .. made.id
      .. "' and due_at - created_at between interval '29 s' and interval '31 s'"))
  end)

  it("are sent again until they are taken", function()
    own:receiver_is("ill")
    local made = charge(GOOD)
    arrived(made, 2)
    own:receiver_is("ok")
    local events = arrived(made, 4)
    assert.same({ "ok", "ok" }, { events[#events].mode, events[#events - 1].mode })
    host.eventually("the book says so too", function()
      return own:sql("select count(*) from webhooks where delivered_at is not null and charge_id = '" .. made.id
        .. "'") == "2"
    end)
  end)

  it("that were being sent when the provider was killed are sent by the next one", function()
    own:receiver_is("silent")
    local made = charge(GOOD)
    arrived(made, 1)
    own:kill()
    own:receiver_is("ok")
    own:serve()
    host.eventually("both are delivered", function()
      local taken = {}
      for _, event in ipairs(own:heard(made.id)) do
        if event.mode == "ok" then taken[event.sequence] = true end
      end
      return taken[1] and taken[2]
    end, 30)
  end)
end)

describe("through the shop's door", function()
  local shop = assert(os.getenv("SHOP_URL"), "SHOP_URL is not set: run bin/test, or source var/shop.env")

  it("there is the challenge page and nothing else of the provider", function()
    local function ask(method, path)
      return fastr.http.request({ method = method, url = shop .. "/api/v1/provider" .. path, timeout_ms = 5000 })
    end
    local page = ask("GET", "/challenges/none")
    assert.same({ 404, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
    for _, path in ipairs { "/charges", "/charges?key=k", "/keys/k/cancel" } do
      assert.equal("application/problem+json", ask("GET", path).headers["content-type"])
      assert.equal(404, ask("POST", path).status)
    end
  end)
end)
