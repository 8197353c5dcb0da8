-- payment-methods over HTTP, through the shop's front door: what customers and guests may do with cards, and that
-- nothing of a card is left anywhere, whatever they send.

local database = require "platform.db"
local host = require "spec.support.host"
local luhn = require "lib.luhn"

local SHOP = assert(os.getenv("SHOP_URL"), "SHOP_URL is not set: run bin/test, or source var/shop.env")
local LOGS = fastr.setting("var") .. "/log"
local METHODS = "/payment-methods"
local array = fastr.json.array

local db = database.open("payment")
local made, people = {}, {}

-- status, body (decoded), headers of a request; `options`: body (a table), text (a body as it is), headers.
local function send(method, path, options)
  options = options or {}
  local text = options.text or options.body and fastr.json.encode(options.body)
  local headers = {}
  if text then headers["Content-Type"] = "application/json" end
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  local reply = assert(fastr.http.request { method = method, url = SHOP .. "/api/v1" .. path, headers = headers,
    body = text, timeout_ms = 10000 })
  local body = reply.body ~= "" and fastr.json.decode(reply.body) or reply.body
  if reply.status == 201 and type(body) == "table" and body.last4 then made[#made + 1] = body.id end
  return reply.status, body, reply.headers
end

local function card(changes)
  local of = { number = "4242424242424242", exp_month = 12, exp_year = 2030, cvc = "123" }
  for name, value in pairs(changes or {}) do of[name] = value end
  return { card = of }
end

local function save(changes, headers)
  return send("POST", METHODS, { body = card(changes), headers = headers })
end

-- Headers of a new customer, and his id.
local function customer()
  local email = "spec-" .. fastr.crypto.uuid7() .. "@payment.example"
  people[#people + 1] = email
  local person = { email = email, password = "correct horse", name = "Ann" }
  local status, user = send("POST", "/users", { body = person })
  assert.equal(201, status)
  local _, pair = send("POST", "/auth/tokens", { body = { email = email, password = person.password } })
  return { Authorization = "Bearer " .. pair.access_token }, user.id
end

-- The one error of a refusal, as "field problem", and the code.
local function refusal(status, body)
  assert.equal(422, status)
  assert.equal(1, #body.errors)
  return body.errors[1].path .. " " .. body.errors[1].problem, body.code
end

teardown(function()
  for _, id in ipairs(made) do db:write("delete from payment_methods where id = $1", id) end
  for _, email in ipairs(people) do
    database.open("user"):write("delete from users where email = $1", email)
    database.open("auth"):write("delete from accounts where email = $1", email)
  end
end)

describe("a customer", function()
  it("saves cards, lists his own, and deletes one", function()
    local me = customer()
    local status, first, headers = save(nil, me)
    assert.equal(201, status)
    assert.equal("/api/v1/payment-methods/" .. first.id, headers.location)
    assert.same({ "visa", "4242", 12, 2030 }, { first.brand, first.last4, first.exp_month, first.exp_year })
    local _, second = save({ number = "3782 822463 10005", cvc = "1234" }, me)
    local _, list = send("GET", METHODS, { headers = me })
    assert.same({ first.id, second.id }, { list.items[1].id, list.items[2].id })
    assert.equal(204, (send("DELETE", METHODS .. "/" .. first.id, { headers = me })))
    assert.equal(204, (send("DELETE", METHODS .. "/" .. first.id, { headers = me })))
    assert.equal(404, (send("GET", METHODS .. "/" .. first.id, { headers = me })))
    _, list = send("GET", METHODS, { headers = me })
    assert.same({ second.id, 1 }, { list.items[1].id, #list.items })
  end)

  it("is never shown more than brand, last digits and expiry", function()
    local _, method = save(nil, (customer()))
    local names = {}
    for name in pairs(method) do names[#names + 1] = name end
    table.sort(names)
    assert.equal("brand created_at exp_month exp_year id last4", table.concat(names, " "))
  end)

  it("saves the same card twice and has one method", function()
    local me = customer()
    local _, first = save(nil, me)
    local status, again = save({ number = "4242-4242-4242-4242" }, me)
    assert.same({ 200, first.id }, { status, again.id })
  end)

  it("neither sees nor deletes another's", function()
    local mine, other = customer(), customer()
    local _, method = save(nil, mine)
    local path = METHODS .. "/" .. method.id
    for _, who in ipairs { other, {} } do
      for _, verb in ipairs { "GET", "DELETE" } do
        local status, wrong = send(verb, path, { headers = who })
        assert.same({ 404, "payment_method_not_found" }, { status, wrong.code })
      end
    end
    local _, list = send("GET", METHODS, { headers = other })
    assert.same({}, list.items)
    assert.equal(200, (send("GET", path, { headers = mine })))
  end)

  it("has at most fifty", function()
    local me, id = customer()
    save(nil, me)
    db:write([[insert into payment_methods (id, owner, brand, last4, exp_month, exp_year, fingerprint, kek, wrapped_key,
        sealed_card, created_at) select gen_random_uuid(), $1, brand, last4, exp_month, exp_year, 'f' || n, kek,
        wrapped_key, sealed_card, created_at from payment_methods, generate_series(1, 49) n where owner = $1]], id)
    local status, wrong = save({ number = "5555555555554444" }, me)
    assert.same({ 409, "payment_method_limit" }, { status, wrong.code })
    assert.equal(200, (save(nil, me)))
    db:write("delete from payment_methods where owner = $1", id)
  end)
end)

describe("a guest", function()
  it("has a method for an hour, by its id, and no list", function()
    local status, method = save()
    assert.equal(201, status)
    local left_ms = fastr.time.parse(method.expires_at) - fastr.time.unix_ms()
    assert.truthy(left_ms > 3500000 and left_ms <= 3600000)
    assert.equal(200, (send("GET", METHODS .. "/" .. method.id)))
    assert.equal(401, (send("GET", METHODS)))
    db:write("update payment_methods set expires_at = now() where id = $1", method.id)
    assert.equal(404, (send("GET", METHODS .. "/" .. method.id)))
  end)

  it("may delete it", function()
    local _, method = save()
    assert.equal(204, (send("DELETE", METHODS .. "/" .. method.id)))
    assert.equal(404, (send("GET", METHODS .. "/" .. method.id)))
  end)
end)

describe("an Idempotency-Key", function()
  it("sent twice at once, and again later, saves one method", function()
    local key, me = { ["Idempotency-Key"] = fastr.crypto.uuid7() }, customer()
    key.Authorization = me.Authorization
    local results = fastr.all { function() return save(nil, key) end, function() return save(nil, key) end }
    local ids = {}
    for _, result in ipairs(results) do
      assert.truthy(result[1] == 201 or result[1] == 409)
      if result[1] == 201 then ids[#ids + 1] = result[2].id end
    end
    local status, again, headers = save(nil, key)
    assert.same({ 201, ids[1], "true" }, { status, again.id, headers["idempotent-replayed"] })
  end)

  it("belongs to one card", function()
    local key = { ["Idempotency-Key"] = fastr.crypto.uuid7() }
    assert.equal(201, (save(nil, key)))
    local status, wrong = save({ number = "5555555555554444" }, key)
    assert.same({ 422, "idempotency_mismatch" }, { status, wrong.code })
  end)

  it("leaves neither body nor reply, and nothing made from the security code", function()
    local key = fastr.crypto.uuid7()
    local _, method = save(nil, { ["Idempotency-Key"] = key })
    local row = db:latest("select body, fingerprint from idempotency_keys where key = $1", key)[1]
    assert.is_nil(row.body)
    local status, again = save({ cvc = "321" }, { ["Idempotency-Key"] = key })
    assert.same({ 201, method.id }, { status, again.id })
  end)

  it("of a method that was deleted since is answered 404", function()
    local key = { ["Idempotency-Key"] = fastr.crypto.uuid7() }
    local _, method = save(nil, key)
    send("DELETE", METHODS .. "/" .. method.id)
    assert.equal(404, (save(nil, key)))
  end)
end)

describe("what is refused", function()
  for name, case in pairs {
    ["a bad check digit"] = { { number = "4242424242424241" },
      "card.number is mistyped: its check digit does not fit" },
    ["letters"] = { { number = "4242x" },
      "card.number must hold digits only (blanks and dashes between them are allowed)" },
    ["an empty number"] = { { number = "" }, "card.number is empty" },
    ["an expired card"] = { { exp_year = 2020 }, "card.exp_year is in the past: the card has expired" },
    ["a security code of another brand"] = { { cvc = "1234" }, "card.cvc must have 3 digits for visa" },
  } do
    it(name .. " is named with its field", function()
      local text, code = refusal(save(case[1]))
      assert.same({ case[2], "card_invalid" }, { text, code })
    end)
  end

  for name, case in pairs {
    ["a number of 4,000 digits"] = { card { number = ("4"):rep(4000) }, "card.number must have at most 40 characters" },
    ["a number that is no text"] = { card { number = 4242 }, "card.number must be a text, not a number" },
    ["a month in quotes"] = { card { exp_month = "12" }, "card.exp_month must be an integer, not a text" },
    ["half a month"] = { card { exp_month = 1.5 }, "card.exp_month must be a whole number" },
    ["null"] = { card { cvc = fastr.json.null }, "card.cvc must be a text, not null" },
    ["an unknown field"] = { card { name = "Ann" },
      "card.name is not known here; known: cvc, exp_month, exp_year, number" },
    ["somebody else's id"] = { { card = card().card, owner = fastr.crypto.uuid7() },
      "owner is not known here; known: card" },
    ["no card"] = { { card = array {} }, "card must be an object, not a list" },
    ["control characters"] = { card { cvc = "1\n2" }, "card.cvc must not contain control characters" },
  } do
    it(name .. " is refused by its shape", function()
      local text, code = refusal(send("POST", METHODS, { body = case[1] }))
      assert.same({ case[2], "validation" }, { text, code })
    end)
  end

  it("a body that is huge, missing, no JSON or no JSON type", function()
    assert.equal(413, (send("POST", METHODS, { body = card { number = ("4"):rep(10000) } })))
    assert.equal(400, (send("POST", METHODS)))
    assert.equal(400, (send("POST", METHODS, { text = "{" })))
    assert.equal(415, (send("POST", METHODS, { body = card(), headers = { ["Content-Type"] = "text/plain" } })))
  end)

  it("an id that is none", function()
    for _, id in ipairs { "1", "4242424242424242", "%00", "..%2f..", fastr.crypto.uuid7() .. "x" } do
      local status = send("GET", METHODS .. "/" .. id)
      assert.truthy(status == 404 or status == 422 or status == 400, id .. " " .. status)
    end
  end)
end)

-- ---- nothing is left -----------------------------------------------------------------------------------------------

-- A number of our own, so that nothing else can have written it: 15 random digits and the check digit.
local function fresh_number()
  local digits = "4"
  for byte in fastr.crypto.random(14):gmatch(".") do digits = digits .. byte:byte() % 10 end
  for last = 0, 9 do
    if luhn.fits(digits .. last) then return digits .. last end
  end
end

-- The files of the log folder with their lengths.
local function log_lengths()
  local lengths, pipe = {}, assert(io.popen("ls " .. LOGS))
  for name in pipe:lines() do
    local file = io.open(LOGS .. "/" .. name)
    lengths[name] = file and file:seek("end") or 0
    if file then file:close() end
  end
  pipe:close()
  return lengths
end

-- What was logged since `lengths`, of every process, in one text.
local function logged_since(lengths)
  local texts = {}
  for name in pairs(log_lengths()) do
    local file = io.open(LOGS .. "/" .. name)
    if file then
      file:seek("set", lengths[name] or 0)
      texts[#texts + 1] = file:read("*a")
      file:close()
    end
  end
  return table.concat(texts, "\n")
end

-- The tables of payment's schema that hold `text` anywhere.
local function tables_with(text)
  local found = {}
  for _, t in ipairs(db:latest("select table_name as name from information_schema.tables"
    .. " where table_schema = current_schema() and table_type = 'BASE TABLE'")) do
    local rows = db:slow("select count(*)::integer as n from " .. t.name
      .. " t where strpos(row_to_json(t)::text, $1) > 0", text)
    if rows[1].n > 0 then found[#found + 1] = t.name end
  end
  return found
end

-- The forms in which a number could have been kept.
local function forms_of(number)
  return { number, (number:gsub("(%d%d%d%d)(%d)", "%1 %2")), (number:gsub("(%d%d%d%d)(%d)", "%1-%2")),
    fastr.crypto.sha256(number), fastr.crypto.hex(number), (fastr.crypto.base64url(number):sub(1, 20)) }
end

it("nothing of a card is in a log, a table or an answer, after saving, failing and malformed requests", function()
  local before, number, cvc = log_lengths(), fresh_number(), "cvc" .. fastr.crypto.hex(fastr.crypto.random(6))
  local body = fastr.json.encode(card { number = number, cvc = "907" })
  local answers, me = {}, customer()
  local function try(method, path, options)
    local _, answer, headers = send(method, path, options)
    answers[#answers + 1] = fastr.json.encode { answer, headers }
  end
  try("POST", METHODS, { text = body, headers = me })
  try("POST", METHODS, { text = body, headers = { ["Idempotency-Key"] = fastr.crypto.uuid7() } })
  try("POST", METHODS, { body = card { number = (number:gsub("(%d%d%d%d)(%d)", "%1 %2")) } })
  try("POST", METHODS, { body = card { number = number, cvc = cvc } })
  try("POST", METHODS, { body = card { number = number, exp_year = 2001 } })
  try("POST", METHODS, { body = card { number = number, exp_year = 1e9 } })
  try("POST", METHODS, { body = card { number = { number } } })
  try("POST", METHODS, { text = body:sub(1, -3) })
  try("POST", METHODS, { text = body .. number })
  try("POST", METHODS, { text = '{"card":"' .. number .. '","cvc":"' .. cvc .. '"}' })
  try("POST", METHODS, { text = '{"' .. number .. '":1,"' .. number .. '":2}' })
  try("POST", METHODS, { text = '{"card":{"' .. number .. '":"' .. cvc .. '"}}' })
  try("POST", METHODS, { text = '"' .. number })
  try("POST", METHODS, { text = body, headers = { ["Content-Type"] = "text/plain" } })
  try("POST", METHODS, { text = body .. (" "):rep(5000) })
  try("POST", METHODS, { text = body, headers = { ["Idempotency-Key"] = number .. "é" } })
  try("POST", METHODS .. "?number=" .. number, { text = body })
  try("POST", METHODS .. "?" .. number .. "=1", { text = body })
  try("GET", METHODS .. "/" .. number)
  try("PUT", METHODS, { text = body })
  try("POST", "/carts/" .. ("A"):rep(22) .. "/checkout", { body = { payment_method = number, expected_total =
    { amount = 1, currency = "GBP" } }, headers = { ["Idempotency-Key"] = fastr.crypto.uuid7() } })
  local _, _, last = send("GET", METHODS, { headers = me })
  local logged = host.eventually("the last request is in the log", function()
    local text = logged_since(before)
    return text:find(last["x-request-id"], 1, true) and text
  end)
  local told = table.concat(answers, "\n")
  for _, form in ipairs(forms_of(number)) do
    assert.is_nil(told:find(form, 1, true), "an answer repeats it")
    assert.is_nil(logged:find(form, 1, true), "a log holds it")
    assert.same({}, tables_with(form))
  end
  for _, form in ipairs { cvc, '"cvc":', "907" .. '"' } do
    assert.is_nil(logged:find(form, 1, true), "a log holds the security code")
  end
  assert.is_nil(told:find(cvc, 1, true))
  assert.same({}, tables_with(cvc))
  assert.same({}, tables_with('"cvc"'))
end)
