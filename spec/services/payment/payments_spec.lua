-- Payments against the running provider: whatever is repeated, raced or cut off, money moves once, and the provider's
-- book says what the ledger says.

local attempts = require "services.payment.attempts"
local cards = require "services.payment.cards"
local database = require "platform.db"
local host = require "spec.support.host"
local ledger = require "services.payment.ledger"
local operations = require "services.payment.operations"
local program = require "spec.support.program"
local provider = require "services.payment.provider"
local shopper = require "spec.support.shopper"
local store = require "services.payment.store"
local vault = require "services.payment.vault"

local db = database.open("payment")
local uuid7 = fastr.crypto.uuid7
local send = program.of { "payment" }

local VISA, DECLINED, CHALLENGE = "4242424242424242", "4000000000000002", "4000000000003220"
local LATE, SILENT = "4000000000005019", "4000000000005027"

local function method(number)
  local card = assert(cards.check({ number = number, exp_month = 12, exp_year = 2031, cvc = "123" }, fastr.time.now()))
  return db:transaction(function(tx) return vault.save(tx, card, nil) end).id
end

local function attempt(number, changes)
  local body = { order = uuid7(), attempt = uuid7(), amount = 1000, currency = "GBP", payment_method = method(number),
    verdict = "accept" }
  for key, value in pairs(changes or {}) do body[key] = value end
  return body
end

local open_ones = {}

local function balance(id)
  return ledger.fold(store.latest_entries(db, id))
end

-- A payment that was taken at once, or only authorised.
local function paid(capture)
  local body = attempt(VISA, { verdict = capture == "later" and "review" or "accept" })
  assert.equal(capture == "later" and "authorised" or "captured", attempts.authorise(db, body).status)
  return body.attempt
end

-- The provider's charge of an attempt, or nil.
local function charge_of(id)
  return (provider.look_up { id = id })
end

local function assert_books_agree(id, captured, refunded)
  local b, charge = balance(id), charge_of(id)
  assert.same({ captured, refunded }, { b.done.capture, b.done.refund })
  assert.same({ captured, refunded }, { charge.captured, charge.refunded })
end

local function at_once(n, run)
  local tasks = {}
  for i = 1, n do tasks[i] = run end
  return fastr.all(tasks)
end

-- A challenge that nobody meets would be asked about for ever.
teardown(function()
  for _, id in ipairs(open_ones) do attempts.void(db, id) end
end)

describe("authorising", function()
  it("takes the money at once, and says so again when it is asked again", function()
    local body = attempt(VISA)
    local first = attempts.authorise(db, body)
    assert.same({ "captured", body.attempt }, { first.status, first.payment })
    assert.same(first, attempts.authorise(db, body))
    assert.equal("captured", attempts.look_up(db, body.attempt).status)
    assert_books_agree(body.attempt, 1000, 0)
  end)

  it("of one attempt eight times at once makes one charge", function()
    local body = attempt(VISA)
    at_once(8, function() return attempts.authorise(db, body) end)
    host.eventually("it is captured", function() return attempts.look_up(db, body.attempt).status == "captured" end)
    assert_books_agree(body.attempt, 1000, 0)
  end)

  it("only sets the money aside where it is captured later", function()
    local id = paid "later"
    assert.equal("authorised", charge_of(id).status)
    assert_books_agree(id, 0, 0)
  end)

  it("refuses another amount, currency, card or order for a known attempt", function()
    local body = attempt(VISA)
    attempts.authorise(db, body)
    for field, value in pairs { amount = 1001, currency = "EUR", payment_method = uuid7(), order = uuid7() } do
      local other = {}
      for key, kept in pairs(body) do other[key] = kept end
      other[field] = value
      local _, failed = attempts.authorise(db, other)
      assert.equal("idempotency_mismatch", failed.code)
    end
  end)

  it("tells why a card was declined, and takes nothing", function()
    local body = attempt(DECLINED)
    local answer = attempts.authorise(db, body)
    assert.same({ "declined", "card_declined" }, { answer.status, answer.reason })
    assert_books_agree(body.attempt, 0, 0)
  end)

  it("asks the shopper where the bank wants it", function()
    local body = attempt(CHALLENGE)
    table.insert(open_ones, body.attempt)
    local answer = attempts.authorise(db, body)
    assert.equal("requires_action", answer.status)
    assert.truthy(answer.next_action.url:find("^http"))
  end)

  it("needs a card that there is", function()
    for _, id in ipairs { uuid7(), "no-such-card" } do
      local _, failed = attempts.authorise(db, attempt(VISA, { payment_method = id }))
      assert.equal("payment_method_not_found", failed.code)
    end
  end)

  it("tells the shop of it, once, in the same transaction", function()
    local id = paid()
    local rows = db:latest("select type, data->'captured'->>'amount' as captured from outbox where key = $1", id)
    assert.same({ 1, "payment.captured.v1", "1000" }, { #rows, rows[1].type, rows[1].captured })
  end)
end)

describe("an attempt without an answer", function()
  it("is unknown, and found to be captured when it was", function()
    local body = attempt(LATE)
    attempts.authorise(db, body)
    host.eventually("it is captured", function() return attempts.look_up(db, body.attempt).status == "captured" end, 20)
    assert_books_agree(body.attempt, 1000, 0)
  end)

  it("that the provider never saw comes to nothing, for good", function()
    local body = attempt(SILENT)
    assert.equal("unknown", attempts.authorise(db, body).status)
    host.eventually("it is declined", function() return attempts.look_up(db, body.attempt).status == "declined" end, 20)
    assert.equal("not_received", store.load(db, body.attempt).reason)
    local p = store.load(db, body.attempt)
    local made, other = provider.charge(p, { number = VISA, exp_month = 12, exp_year = 2031 })
    assert.same({ nil, "key_cancelled" }, { made, other.code })
  end)

  -- What a kill between the provider's answer and our commit leaves: the row, and the charge, which comes back.
  local function cut_off(body)
    db:transaction(function(tx)
      local past = fastr.time.iso(fastr.time.unix_ms() - 60000)
      store.open(tx, { attempt = body.attempt, order = body.order, amount = 1000, currency = "GBP", brand = "visa",
        payment_method = body.payment_method, last4 = "4242", capture = "now", provider = "test" }, past, past)
      store.add_entry(tx, body.attempt, { kind = "authorise", key = body.attempt, state = "requested", amount = 1000 },
        past)
      return true
    end)
    return assert(provider.charge(store.load(db, body.attempt), { number = VISA, exp_month = 12, exp_year = 2031 }))
  end

  it("of whose news only the first half has come is not told as only authorised", function()
    for _, ask in ipairs { attempts.authorise, function(_, body) return attempts.look_up(db, body.attempt) end } do
      local body = attempt(VISA)
      local charge = cut_off(body)
      charge.status, charge.captured = "authorised", 0
      db:transaction(function(tx)
        local account = ledger.lock(tx, body.attempt)
        assert(attempts.settle(account, charge))
        ledger.close(account)
        return true
      end)
      assert.equal("authorised", store.load(db, body.attempt).status)
      assert.equal("captured", ask(db, body).status)
      assert_books_agree(body.attempt, 1000, 0)
    end
  end)

  it("whose row is all that a crash has left is found out by the resolver", function()
    local body = attempt(VISA)
    cut_off(body)
    attempts.resolve()
    host.eventually("it is captured", function() return store.load(db, body.attempt).status == "captured" end)
    assert.equal("captured", attempts.authorise(db, body).status)
    assert_books_agree(body.attempt, 1000, 0)
  end)

  it("of which nobody has heard is not found", function()
    local _, failed = attempts.look_up(db, uuid7())
    assert.equal("payment_not_found", failed.code)
  end)
end)

describe("voiding", function()
  local function voided(id)
    host.eventually("it is given back", function()
      local status = attempts.void(db, id).status
      return status == "voided" or status == "refunded" or status == "declined"
    end, 20)
    return store.load(db, id).status
  end

  it("an attempt that nobody asked for keeps it from ever being charged", function()
    local body = attempt(VISA)
    assert.equal("voided", attempts.void(db, body.attempt).status)
    assert.equal("voided", attempts.authorise(db, body).status)
    assert.is_nil(charge_of(body.attempt))
  end)

  it("refunds what was captured, once", function()
    local id = paid()
    assert.equal("refunded", voided(id))
    assert.equal("refunded", attempts.void(db, id).status)
    assert_books_agree(id, 1000, 1000)
  end)

  it("lets go of what was only authorised", function()
    local id = paid "later"
    assert.equal("voided", voided(id))
    assert.equal("voided", charge_of(id).status)
  end)

  it("ends a challenge that nobody met", function()
    local body = attempt(CHALLENGE)
    attempts.authorise(db, body)
    assert.equal("voided", voided(body.attempt))
    assert_books_agree(body.attempt, 0, 0)
  end)

  it("a declined attempt changes nothing", function()
    local body = attempt(DECLINED)
    attempts.authorise(db, body)
    assert.equal("declined", voided(body.attempt))
  end)

  it("gives back what turns out to have been taken without an answer", function()
    local body = attempt(LATE)
    local results = fastr.all { function() return attempts.authorise(db, body) end, function()
      host.eventually("it was asked", function() return store.load(db, body.attempt) ~= nil end)
      return attempts.void(db, body.attempt)
    end }
    assert.equal(2, #results)
    voided(body.attempt)
    local b, charge = balance(body.attempt), charge_of(body.attempt)
    assert.equal(b.done.capture, b.done.refund)
    assert.equal(charge and charge.captured or 0, charge and charge.refunded or 0)
  end)

  it("and authorising at the same time keep nothing, whoever is first", function()
    for _ = 1, 5 do
      local body = attempt(VISA)
      fastr.all { function() return attempts.authorise(db, body) end,
        function() return attempts.void(db, body.attempt) end }
      voided(body.attempt)
      local charge = charge_of(body.attempt)
      assert.equal(charge and charge.captured or 0, charge and charge.refunded or 0)
    end
  end)
end)

describe("operations", function()
  local function run(kind, id, amount, key)
    local done, failed = operations.run(db, id, { kind = kind, key = key or uuid7(), amount = amount })
    return done and done.state or failed.code
  end

  it("refund never more than was captured, however many at once", function()
    local id, good = paid(), 0
    for _, result in ipairs(at_once(10, function() return run("refund", id, 300) end)) do
      assert.truthy(result[1] == "succeeded" or result[1] == "refund_too_large")
      if result[1] == "succeeded" then good = good + 1 end
    end
    assert.equal(3, good)
    assert_books_agree(id, 1000, 900)
    assert.equal("refund_too_large", run("refund", id, 101))
    assert.equal("succeeded", run("refund", id))
    assert.equal("refunded", store.load(db, id).status)
  end)

  it("are done once for each key, and refuse another amount for it", function()
    local id, key = paid(), uuid7()
    local results = at_once(4, function() return run("refund", id, 250, key) end)
    for _, result in ipairs(results) do assert.equal("succeeded", result[1]) end
    assert.equal("idempotency_mismatch", run("refund", id, 251, key))
    assert_books_agree(id, 1000, 250)
  end)

  it("capture what was authorised, in parts, and no more", function()
    local id = paid "later"
    assert.equal("succeeded", run("capture", id, 400))
    assert.equal("capture_too_large", run("capture", id, 601))
    assert_books_agree(id, 400, 0)
  end)

  it("let go of the part that was not captured, and then capture no more", function()
    local id = paid "later"
    assert.equal("succeeded", run("capture", id, 400))
    assert.equal("succeeded", run("void", id))
    assert.equal("payment_state", run("capture", id, 1))
    assert.same({ "captured", 600 }, { store.load(db, id).status, balance(id).done.void })
    assert.equal("refunded", attempts.void(db, id).status)
    assert_books_agree(id, 400, 400)
  end)

  it("refuse what the payment's state rules out", function()
    local voided = paid "later"
    assert.equal("succeeded", run("void", voided))
    assert.equal("payment_state", run("capture", voided, 1))
    assert.equal("payment_state", run("refund", voided, 1))
    local declined = attempt(DECLINED)
    attempts.authorise(db, declined)
    assert.equal("payment_state", run("refund", declined.attempt, 1))
    assert.equal("payment_not_found", run("refund", uuid7(), 1))
  end)

  it("that were cut off are finished by the resolver", function()
    local id, key = paid(), uuid7()
    db:transaction(function(tx)
      local account = ledger.lock(tx, id)
      ledger.book(account, { kind = "refund", key = key, state = "requested", amount = 100 })
      ledger.close(account)
      tx:query("update payments set next_try_at = $2 where id = $1", id, fastr.time.now())
      return true
    end)
    attempts.resolve()
    host.eventually("it is refunded", function() return balance(id).done.refund == 100 end)
    assert_books_agree(id, 1000, 100)
  end)
end)

describe("the ledger", function()
  it("is only ever added to", function()
    local id = paid()
    for _, statement in ipairs { "update ledger set amount = 1 where payment_id = $1",
      "delete from ledger where payment_id = $1" } do
      local ok, why = pcall(db.write, db, statement, id)
      assert.is_false(ok)
      assert.truthy(tostring(why):find("only ever added", 1, true))
    end
  end)
end)

describe("the provider's news", function()
  local function sign(text, at, secret)
    at = at or math.floor(fastr.time.unix_ms() / 1000)
    return ("t=%d,v1=%s"):format(at, fastr.crypto.hmac(secret or fastr.secret "provider_webhook", at .. "." .. text))
  end

  local function deliver(event, header)
    local text = type(event) == "string" and event or fastr.json.encode(event)
    return send("POST", "/api/v1/webhooks/test", { text = text, credentials = false,
      headers = { ["Provider-Signature"] = header or sign(text), ["Content-Type"] = "application/json" } })
  end

  local function event_of(id, changes)
    local charge = charge_of(id)
    local event = { id = uuid7(), type = "charge." .. charge.status, sequence = 1, created_at = fastr.time.now(),
      charge = charge }
    for key, value in pairs(changes or {}) do charge[key] = value end
    return event
  end

  it("are refused unless they are signed, and now", function()
    local text = fastr.json.encode(event_of(paid()))
    local now = math.floor(fastr.time.unix_ms() / 1000)
    local moved = sign(text):gsub("t=%d+", "t=" .. now + 1)
    for _, header in ipairs { "", "nonsense", "t=1", "v1=" .. ("0"):rep(64), sign(text .. " "), moved,
      sign(text, now, "other"), sign(text, now - 301), sign(text, now + 302) } do
      local status, body = deliver(text, header)
      assert.same({ 401, "signature_invalid" }, { status, body.code })
    end
    assert.equal(204, (deliver(text, sign(text, now - 290))))
  end)

  it("may be signed with either secret while one is replaced", function()
    local text = fastr.json.encode(event_of(paid()))
    local at = math.floor(fastr.time.unix_ms() / 1000)
    assert.equal(204, (deliver(text, sign(text, at, "other") .. "," .. sign(text, at):match("v1=.*"))))
  end)

  it("are taken in once, late and doubled and reordered too", function()
    local id = paid()
    local event = event_of(id)
    assert.equal(204, (deliver(event)))
    assert.equal(204, (deliver(event)))
    assert.equal(204, (deliver(event_of(id, { status = "authorised", captured = 0 }))))
    assert.equal("captured", store.load(db, id).status)
    assert_books_agree(id, 1000, 0)
  end)

  it("of another amount are refused and kept", function()
    local id = paid()
    for _, changes in ipairs { { amount = 999 }, { currency = "EUR" }, { captured = 1001 }, { refunded = 1 },
      { id = uuid7() } } do
      local event = event_of(id, changes)
      for _ = 1, 2 do
        local status, body = deliver(event)
        assert.same({ 409, "conflict" }, { status, body.code })
      end
      assert.truthy(db:latest("select problem from webhooks where event_id = $1", event.id)[1].problem)
    end
    assert_books_agree(id, 1000, 0)
  end)

  it("of money that was taken for what had come to nothing are refused and kept", function()
    local body = attempt(DECLINED)
    attempts.authorise(db, body)
    for _, changes in ipairs { { status = "captured", captured = 1000 }, { status = "authorised" } } do
      local event = event_of(body.attempt, changes)
      assert.equal(409, (deliver(event)))
      assert.truthy(db:latest("select problem from webhooks where event_id = $1", event.id)[1].problem)
    end
    assert.equal("declined", store.load(db, body.attempt).status)
  end)

  it("of a payment that is not ours are not swallowed", function()
    local status = deliver(event_of(paid(), { key = uuid7() }))
    assert.equal(404, status)
  end)

  it("of a wrong form are refused", function()
    local event = event_of(paid())
    event.charge.amount = "1000"
    assert.equal(422, (deliver(event)))
    assert.equal(400, (deliver("{")))
  end)

  it("decide an attempt whose answer never came", function()
    local body = attempt(VISA)
    db:transaction(function(tx)
      local now, later = fastr.time.now(), fastr.time.iso(fastr.time.unix_ms() + 600000)
      store.open(tx, { attempt = body.attempt, order = body.order, amount = 1000, currency = "GBP", brand = "visa",
        payment_method = body.payment_method, last4 = "4242", capture = "now", provider = "test" }, later, now)
      return true
    end)
    assert(provider.charge(store.load(db, body.attempt), { number = VISA, exp_month = 12, exp_year = 2031 }))
    deliver(event_of(body.attempt))
    assert.equal("captured", store.load(db, body.attempt).status)
  end)
end)

describe("the routes of payments", function()
  local function signed_in(id, roles)
    return shopper.signed_in(id, roles).Authorization
  end

  local customer_id = uuid7()
  local support, customer = signed_in(nil, { "support" }), signed_in(customer_id)

  local function post(path, body, who, key)
    return send("POST", "/api/v1/payments/" .. path, { body = body or {}, headers = { Authorization = who,
      ["Idempotency-Key"] = key } })
  end

  it("show a payment to its customer and to staff, and to nobody else", function()
    local body = attempt(VISA, { customer = customer_id })
    attempts.authorise(db, body)
    local other = signed_in()
    for who, expected in pairs { [customer] = 200, [support] = 200, [other] = 404 } do
      local status, shown = send("GET", "/api/v1/payments/" .. body.attempt, { headers = { Authorization = who } })
      assert.equal(expected, status)
      if status == 200 then assert.same({ 1000, "4242" }, { shown.captured.amount, shown.last4 }) end
    end
    assert.equal(404, (send("GET", "/api/v1/payments/" .. body.attempt)))
    assert.equal(404, (send("GET", "/api/v1/payments/" .. uuid7(), { headers = { Authorization = support } })))
  end)

  it("let staff move money, with a key", function()
    local id, key = paid(), uuid7()
    local part = { amount = { amount = 400, currency = "GBP" }, reason = "one was broken" }
    assert.equal(401, (post(id .. "/refunds", part, nil, key)))
    assert.equal(403, (post(id .. "/refunds", part, customer, key)))
    local status, body = post(id .. "/refunds", part, support)
    assert.same({ 400, "idempotency_key_required" }, { status, body.code })
    for _ = 1, 2 do
      status, body = post(id .. "/refunds", part, support, key)
      assert.same({ 201, 400 }, { status, body.refunded.amount })
    end
    assert_books_agree(id, 1000, 400)
  end)

  it("refuse what is too much, of another currency, or not possible now", function()
    local id = paid()
    local function refuse(path, amount, expected)
      local status, body = post(id .. path, amount and { amount = amount }, support, uuid7())
      assert.same(expected, { status, body.code })
    end
    refuse("/refunds", { amount = 1001, currency = "GBP" }, { 409, "refund_too_large" })
    refuse("/refunds", { amount = 1, currency = "EUR" }, { 422, "validation" })
    refuse("/refunds", { amount = 0, currency = "GBP" }, { 422, "validation" })
    refuse("/captures", nil, { 409, "capture_too_large" })
    refuse("/voids", nil, { 409, "payment_state" })
    assert.equal(404, (post(uuid7() .. "/refunds", nil, support, uuid7())))
    assert_books_agree(id, 1000, 0)
  end)

  it("capture and void what was authorised", function()
    local id = paid "later"
    local status, body = post(id .. "/captures", nil, support, uuid7())
    assert.same({ 201, 1000, "captured" }, { status, body.captured.amount, body.status })
    id = paid "later"
    status, body = post(id .. "/voids", nil, support, uuid7())
    assert.same({ 201, "voided" }, { status, body.status })
  end)
end)
