-- Gift cards against the running database and provider: what is on a card is what was put there and not spent, however
-- many want it at once, and what an attempt took comes back once when nothing is kept of it.

local access = require "platform.access"
local attempts = require "services.payment.attempts"
local cards = require "services.payment.cards"
local database = require "platform.db"
local gift_cards = require "services.payment.gift_cards"
local operations = require "services.payment.operations"
local shopper = require "spec.support.shopper"
local store = require "services.payment.gift_store"
local vault = require "services.payment.vault"

local db = database.open("payment")
local uuid7 = fastr.crypto.uuid7
local send, STAFF, signed_in = shopper.send, shopper.STAFF, shopper.signed_in
local VISA, DECLINED, CHALLENGE = "4242424242424242", "4000000000000002", "4000000000003220"

local function gbp(amount) return { amount = amount, currency = "GBP" } end

local issue = shopper.gift_card

local function path(card, what) return "/api/v1/gift-cards/" .. card.id .. (what or "") end

local function shown(card)
  return (select(2, send("GET", path(card), { headers = STAFF })))
end

-- What is on it, the entries' sum and the entries' kinds.
local function books(card)
  local seen, sum, kinds = shown(card), 0, {}
  for i, entry in ipairs(seen.entries) do sum, kinds[i] = sum + entry.amount.amount, entry.kind end
  assert.equal(sum, seen.balance.amount)
  return seen.balance.amount, table.concat(kinds, " ")
end

local function ask_balance(code, headers)
  return send("POST", "/api/v1/gift-cards/balance", { headers = headers, body = { code = code } })
end

local function change(card, body)
  return send("PATCH", path(card), { headers = STAFF, body = body })
end

local function adjust(card, amount, key)
  return send("POST", path(card, "/adjustments"), { headers = shopper.with(STAFF, key or shopper.key()),
    body = { amount = gbp(amount), reason = "spec" } })
end

local function method(number)
  local card = assert(cards.check({ number = number, exp_month = 12, exp_year = 2031, cvc = "123" }, fastr.time.now()))
  return db:transaction(function(tx) return vault.save(tx, card, nil) end).id
end

-- An attempt at paying `amount` with a payment card and the rest with gift cards {{card, amount}, ...}.
local function attempt(amount, shares, number, more)
  local list = fastr.json.array {}
  for i, share in ipairs(shares) do list[i] = { id = share[1].id, amount = share[2] } end
  return shopper.with({ order = uuid7(), attempt = uuid7(), amount = amount, currency = "GBP", verdict = "accept",
    payment_method = amount > 0 and method(number or VISA) or nil, gift_cards = list }, more)
end

local function refund(id, amount, key)
  return operations.run(db, id, { kind = "refund", key = key or uuid7(), amount = amount, actor = "spec" })
end

describe("gift cards", function()
  it("are issued by staff alone: a batch of codes that nobody guesses, shown again to who repeats his key", function()
    local headers, codes = shopper.with(STAFF, shopper.key()), {}
    local body = { amount = gbp(2500), count = 50, expires_at = "2030-01-01T00:00:00Z", reason = "Christmas" }
    local status, made = send("POST", "/api/v1/gift-cards", { headers = headers, body = body })
    assert.same({ 201, 50 }, { status, #made.items })
    for _, card in ipairs(made.items) do
      assert.truthy(card.code:match("^%w%w%w%w%-%w%w%w%w%-%w%w%w%w%-%w%w%w%w$"))
      assert.same({ card.code:sub(-4), 2500, 2500, "active", made.batch }, { card.last4, card.balance.amount,
        card.initial.amount, card.status, card.batch })
      codes[card.code] = true
    end
    local count = 0
    for _ in pairs(codes) do count = count + 1 end
    assert.equal(50, count)
    local again, same = send("POST", "/api/v1/gift-cards", { headers = headers, body = body })
    assert.same({ 201, made }, { again, same })
    for _, who in ipairs { {}, signed_in(), signed_in(nil, { "catalogue" }) } do
      local refused = send("POST", "/api/v1/gift-cards", { headers = shopper.with(who, shopper.key()), body = body })
      assert.truthy(refused == 401 or refused == 403)
    end
    for _, bad in ipairs { { amount = gbp(1), expires_at = "2020-01-01T00:00:00Z" },
      { amount = { amount = 1, currency = "ZZZ" } },
      { amount = gbp(0) }, { amount = gbp(-1) }, { amount = gbp(1), count = 1001 }, {} } do
      assert.equal(422, (send("POST", "/api/v1/gift-cards", { headers = shopper.with(STAFF, shopper.key()),
        body = bad })))
    end
  end)

  it("keep no code: neither the database nor another reply has it", function()
    local card = issue(100)
    local plain = card.code:gsub("-", "")
    local row = db:latest("select c::text as text from gift_cards c where id = $1", card.id)[1].text
    local keys = db:latest("select string_agg(k::text, ' ') as text from idempotency_keys k")[1].text
    for _, text in ipairs { row, keys, fastr.json.encode(shown(card)) } do
      assert.falsy(text:find(card.code, 1, true) or text:find(plain, 1, true))
    end
  end)

  it("tell what is on them to who has the code, however he writes it; all others look alike", function()
    local card = issue(1234)
    for _, code in ipairs { card.code, card.code:lower(), (card.code:gsub("-", " ")), (card.code:gsub("0", "o")) } do
      local status, told = ask_balance(code)
      assert.same({ 200, card.id, 1234, "active" }, { status, told.id, told.balance.amount, told.status })
      assert.is_nil(told.entries or told.batch or told.code)
    end
    local _, unknown = ask_balance("0000-0000-0000-0000")
    local status, odd = ask_balance("x")
    assert.same({ 404, "gift_card_not_found", unknown }, { status, odd.code, odd })
    assert.equal(200, (send("GET", path(card))))
    assert.equal(404, (send("GET", path { id = uuid7() })))
    assert.is_nil(select(2, send("GET", path(card))).entries)
  end)

  it("are found by their last four characters and by batch, page by page", function()
    local _, made = send("POST", "/api/v1/gift-cards", { headers = shopper.with(STAFF, shopper.key()),
      body = { amount = gbp(100), count = 3 } })
    local seen, cursor = {}, nil
    repeat
      local _, page = send("GET", "/api/v1/gift-cards?limit=2&batch=" .. made.batch .. (cursor and "&cursor=" .. cursor
        or ""), { headers = STAFF })
      for _, card in ipairs(page.items) do seen[#seen + 1] = card.id end
      cursor = page.next_cursor ~= fastr.json.null and page.next_cursor or nil
    until not cursor
    assert.equal(3, #seen)
    local one = made.items[2]
    local _, found = send("GET", "/api/v1/gift-cards?batch=" .. made.batch .. "&last4=" .. one.last4:lower(),
      { headers = STAFF })
    assert.equal(one.id, found.items[1].id)
    assert.equal(401, (send("GET", "/api/v1/gift-cards")))
    assert.equal(403, (send("GET", "/api/v1/gift-cards", { headers = signed_in() })))
  end)

  it("are adjusted with a reason, once for a key, and never below nothing", function()
    local card, key = issue(500), shopper.key()
    for _ = 1, 2 do assert.equal(200, (adjust(card, 250, key))) end
    assert.equal(200, (adjust(card, -700)))
    local status, wrong = adjust(card, -51)
    assert.same({ 409, "conflict" }, { status, wrong.code })
    assert.same({ 50, "issue adjust adjust" }, { books(card) })
    status, wrong = adjust(card, 9007199254740991)
    assert.same({ 409, "conflict" }, { status, wrong.code })
    status, wrong = send("POST", path(card, "/adjustments"), { headers = shopper.with(STAFF, shopper.key()),
      body = { amount = { amount = 5, currency = "EUR" }, reason = "x" } })
    assert.same({ 422, "amount.currency" }, { status, wrong.errors[1].path })
    assert.equal(422, (adjust(card, 0)))
    assert.equal(400, (adjust(card, 1, {})))
    assert.equal("staff", shown(card).entries[2].actor:match("^%l+"))
  end)

  it("that are blocked pay nothing until they are let go", function()
    local card = issue(500)
    assert.equal("blocked", select(2, change(card, { status = "blocked" })).status)
    local _, failed = attempts.authorise(db, attempt(0, { { card, 100 } }))
    assert.same({ "gift_card_refused", "blocked" }, { failed.code, failed.reason })
    change(card, { status = "active", expires_at = "2020-01-01T00:00:00Z" })
    _, failed = attempts.authorise(db, attempt(0, { { card, 100 } }))
    assert.equal("expired", failed.reason)
    change(card, { expires_at = fastr.json.null })
    assert.equal("captured", attempts.authorise(db, attempt(0, { { card, 100 } })).status)
    assert.equal(401, (send("PATCH", path(card), { body = { status = "blocked" } })))
  end)
end)

describe("an attempt", function()
  it("takes the gift cards' part before the provider is asked, and asks it for the rest alone", function()
    local one, two = issue(300), issue(500)
    local body = attempt(1000, { { one, 300 }, { two, 200 } })
    for _ = 1, 2 do assert.equal("captured", attempts.authorise(db, body).status) end
    assert.same({ 0, "issue spend" }, { books(one) })
    assert.same({ 300, "issue spend" }, { books(two) })
    local _, p = send("GET", "/api/v1/payments/" .. body.attempt, { headers = STAFF })
    assert.same({ 1000, 1000 }, { p.amount.amount, p.captured.amount })
    assert.same({ { one.last4, 300 }, { two.last4, 200 } }, { { p.gift_cards[1].last4, p.gift_cards[1].amount.amount },
      { p.gift_cards[2].last4, p.gift_cards[2].amount.amount } })
  end)

  it("asked for eight times at once is one: charged once, and taken from the gift card once", function()
    local card, tasks = issue(1000), {}
    local body = attempt(500, { { card, 300 } })
    for i = 1, 8 do tasks[i] = function() return attempts.authorise(db, body) end end
    fastr.all(tasks)
    shopper.eventually("it is captured", function() return attempts.look_up(db, body.attempt).status == "captured" end)
    assert.same({ 700, "issue spend" }, { books(card) })
    local _, p = send("GET", "/api/v1/payments/" .. body.attempt, { headers = STAFF })
    assert.equal(500, p.captured.amount)
  end)

  it("of which a card cannot pay its part takes nothing at all", function()
    local one, two = issue(300), issue(100)
    local body = attempt(1000, { { one, 300 }, { two, 101 } })
    local _, failed = attempts.authorise(db, body)
    assert.same({ "gift_card_refused", "balance", two.last4 }, { failed.code, failed.reason, failed.last4 })
    assert.same({ 300, 100 }, { (books(one)), (books(two)) })
    assert.equal("payment_not_found", select(2, attempts.look_up(db, body.attempt)).code)
    _, failed = attempts.authorise(db, attempt(0, { { { id = uuid7() }, 1 } }))
    assert.equal("gift_card_not_found", failed.code)
    assert.equal("captured", attempts.authorise(db, attempt(0, { { two, 100 } })).status)
  end)

  it("that is known with other gift cards is refused", function()
    local card = issue(300)
    local body = attempt(0, { { card, 100 } })
    attempts.authorise(db, body)
    body.gift_cards[1].amount = 200
    assert.equal("idempotency_mismatch", select(2, attempts.authorise(db, body)).code)
    assert.equal(200, (books(card)))
  end)

  it("that is declined gives the gift cards their part back, once", function()
    local card = issue(300)
    local body = attempt(1000, { { card, 300 } }, DECLINED)
    for _ = 1, 2 do assert.equal("declined", attempts.authorise(db, body).status) end
    attempts.void(db, body.attempt)
    assert.same({ 300, "issue spend give_back" }, { books(card) })
  end)

  it("that waits for the shopper and is given up gives it back; so does one that never came", function()
    local card = issue(300)
    local body = attempt(1000, { { card, 300 } }, CHALLENGE)
    assert.equal("requires_action", attempts.authorise(db, body).status)
    assert.equal(0, (books(card)))
    attempts.void(db, body.attempt)
    assert.same({ 300, "issue spend give_back" }, { books(card) })
    body = attempt(1000, { { card, 300 } })
    attempts.void(db, body.attempt)
    assert.equal("voided", attempts.authorise(db, body).status)
    assert.equal(300, (books(card)))
  end)

  it("that was taken gives all of it back when the order is undone, whatever came back before", function()
    local card = issue(300)
    local body = attempt(1000, { { card, 300 } })
    attempts.authorise(db, body)
    assert.same({ 100, 0 }, { refund(body.attempt, 100).amount, (books(card)) })
    for _ = 1, 2 do assert.equal("refunded", attempts.void(db, body.attempt).status) end
    assert.equal(300, (books(card)))
    local _, p = send("GET", "/api/v1/payments/" .. body.attempt, { headers = STAFF })
    assert.same({ 1000, 300 }, { p.refunded.amount, p.gift_cards[1].given_back.amount })
  end)

  it("that gift cards pay alone asks nobody: set aside, taken, let go", function()
    local card = issue(1000)
    local body = attempt(0, { { card, 400 } }, nil, { verdict = "review" })
    assert.same({ "authorised", 600 }, { attempts.authorise(db, body).status, (books(card)) })
    assert.equal("captured", attempts.capture(db, body.attempt).status)
    assert.equal("captured", attempts.look_up(db, body.attempt).status)
    assert.equal("refunded", attempts.void(db, body.attempt).status)
    assert.equal(1000, (books(card)))
    body = attempt(0, { { card, 400 } }, nil, { verdict = "review" })
    attempts.authorise(db, body)
    assert.same({ "voided", "voided" }, { attempts.void(db, body.attempt).status,
      attempts.capture(db, body.attempt).status })
    assert.equal(1000, (books(card)))
  end)
end)

describe("a refund", function()
  it("goes to the payment card as far as it paid, then to the gift cards, the last that paid first", function()
    local one, two = issue(300), issue(200)
    local body = attempt(1000, { { one, 300 }, { two, 200 } })
    attempts.authorise(db, body)
    local split = refund(body.attempt, 1050)
    assert.same({ 1000, 50, 0, 50 }, { split.amount, split.to_gift_cards, (books(one)), (books(two)) })
    assert.same({ 0, 170 }, { refund(body.attempt, 170).amount, (books(two)) - 30 })
    local _, failed = refund(body.attempt, 281)
    assert.same({ "refund_too_large", 280 }, { failed.code, failed.left.amount })
    assert.equal(280, refund(body.attempt).to_gift_cards)
    assert.same({ 300, 200 }, { (books(one)), (books(two)) })
    assert.equal("refunded", attempts.look_up(db, body.attempt).status)
  end)

  it("asked for again with its key is one; with another amount it is refused", function()
    local card, key = issue(300), uuid7()
    local body = attempt(100, { { card, 300 } })
    attempts.authorise(db, body)
    for _ = 1, 3 do assert.equal(150, refund(body.attempt, 250, key).to_gift_cards) end
    assert.equal("idempotency_mismatch", select(2, refund(body.attempt, 249, key)).code)
    assert.same({ 150, "issue spend give_back" }, { books(card) })
  end)

  it("by staff of what gift cards paid alone is repeated with its key", function()
    local card = issue(300)
    local body = attempt(0, { { card, 300 } })
    attempts.authorise(db, body)
    local headers = shopper.with(STAFF, shopper.key())
    for _ = 1, 2 do
      local status, p = send("POST", "/api/v1/payments/" .. body.attempt .. "/refunds", { headers = headers,
        body = { amount = gbp(120) } })
      assert.same({ 201, 120 }, { status, p.gift_cards[1].given_back.amount })
    end
    assert.equal(120, (books(card)))
  end)

  it("asked for by sixteen at once gives back no more than was paid", function()
    local card, tasks, given = issue(1000), {}, 0
    local body = attempt(0, { { card, 1000 } })
    attempts.authorise(db, body)
    for i = 1, 16 do tasks[i] = function() return refund(body.attempt, 130) end end
    for _, result in ipairs(fastr.all(tasks)) do given = given + (result[1] and result[1].to_gift_cards or 0) end
    assert.same({ 7 * 130, 7 * 130 }, { given, (books(card)) })
  end)

  it("to a card that has expired can be used for a while; what had expired on it cannot", function()
    local card = issue(1000)
    local body = attempt(0, { { card, 400 } })
    attempts.authorise(db, body)
    change(card, { expires_at = "2020-01-01T00:00:00Z" })
    refund(body.attempt, 150)
    assert.same({ 150, "issue spend expire give_back" }, { books(card) })
    local days = (fastr.time.parse(shown(card).expires_at) - fastr.time.unix_ms()) / 86400000
    assert.truthy(days > 89 and days <= 90)
    assert.equal("active", shown(card).status)
    refund(body.attempt)
    assert.same({ 400, "issue spend expire give_back give_back" }, { books(card) })
  end)
end)

describe("one card and sixteen who want it at once", function()
  it("pays no more than is on it, to the penny", function()
    local card, tasks, paid = issue(1000), {}, 0
    for i = 1, 16 do
      local body = attempt(0, { { card, 150 } })
      tasks[i] = function() return attempts.authorise(db, body) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] then
        paid = paid + 150
      else
        assert.same({ "gift_card_refused", "balance" }, { result[2].code, result[2].reason })
      end
    end
    assert.same({ 900, 100 }, { paid, (books(card)) })
  end)

  it("and two cards in either order never wait for each other", function()
    local one, two, tasks = issue(4000), issue(4000), {}
    for i = 1, 16 do
      local shares = i % 2 == 0 and { { one, 100 }, { two, 100 } } or { { two, 100 }, { one, 100 } }
      local body = attempt(0, shares)
      tasks[i] = function()
        local answer = attempts.authorise(db, body)
        if i % 4 == 0 then attempts.void(db, body.attempt) end
        return answer
      end
    end
    for _, result in ipairs(fastr.all(tasks)) do assert.equal("captured", result[1].status) end
    assert.same({ 2800, 2800 }, { (books(one)), (books(two)) })
  end)
end)

describe("the ledger of gift cards", function()
  it("takes no entry that would leave less than nothing, and no change of one", function()
    local card = issue(100)
    local added = db:transaction(function(tx)
      store.lock(tx, { card.id })
      return { store.add(tx, { card = card.id, kind = "adjust", key = uuid7(), amount = -101 }, fastr.time.now()) }
    end)
    assert.is_false(added[1])
    for _, sql in ipairs { "update gift_card_entries set amount = 1 where card_id = $1",
      "delete from gift_card_entries where card_id = $1" } do
      local good, wrong = pcall(db.write, db, sql, card.id)
      assert.is_false(good)
      assert.truthy(tostring(wrong):find("only ever added"))
    end
  end)

  it("is told, entry by entry, on the topic payment", function()
    local card = issue(100)
    attempts.authorise(db, attempt(0, { { card, 60 } }))
    local rows, told = db:latest("select type, data from outbox where topic = 'payment' and key = $1 order by id",
      card.id), {}
    for i, row in ipairs(rows) do
      assert.equal("payment.gift_card_moved.v1", row.type)
      told[i] = { row.data.kind, row.data.changed.amount, row.data.balance.amount }
    end
    assert.same({ { "issue", 100, 100 }, { "spend", -60, 40 } }, told)
  end)

  it("is staff's alone", function()
    for _, scope in ipairs { "gift_card:issue", "gift_card:read", "gift_card:write" } do
      assert.is_nil((access.check({ kind = "customer", id = "x", scopes = access.scopes { "customer" } }, scope)))
      assert.is_true(access.check({ kind = "staff", id = "x", scopes = access.scopes { "support" } }, scope))
    end
    assert.equal(40, gift_cards.sum { { amount = 15 }, { amount = 25 } })
  end)
end)
