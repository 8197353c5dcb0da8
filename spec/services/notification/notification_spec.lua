-- notification, with the running shop, whose mail server is the inbox: an event is taken in here, and the shop's own
-- processes send what came of it. Orders and addresses are of this run alone.

local database = require "platform.db"
local events = require "services.notification.events"
local host = require "spec.support.host"
local shell = require "spec.support.shell"
local store = require "services.notification.store"

local db = database.open("notification")
local uuid = fastr.crypto.uuid7

local function env(name)
  return assert(os.getenv(name), name .. " is not set: run bin/test, or source var/shop.env")
end
local INBOX, SHOP = env "INBOX_URL", env "SHOP_URL"
local SUPERVISOR = "supervisorctl -c " .. env "FASTR_VAR" .. "/conf/supervisord.conf "

local function run(command)
  return (select(2, shell.run(command)))
end

-- ---- events and mails ---------------------------------------------------------------------------------------------

local function pounds(amount) return { amount = amount, currency = "GBP" } end

local function line(name, quantity, unit, discount)
  local subtotal = quantity * unit
  return { sku = "85123A", name = name, quantity = quantity, unit_price = pounds(unit), list_price = pounds(unit),
    subtotal = pounds(subtotal), discount = pounds(discount), total = pounds(subtotal - discount), tax = pounds(0),
    tax_included = pounds(0) }
end

-- What the order service tells, of a new order unless `more` says otherwise.
local function event(status, more)
  local data = { order = uuid(), number = "100123", status = status, from = "placing", at = "2026-11-23T12:34:56.789Z",
    reason = "", email = "ann-" .. uuid() .. "@shop.example", customer = fastr.json.null, currency = "GBP",
    totals = { items = pounds(2040), discount = pounds(255), shipping = pounds(350), shipping_discount = pounds(0),
      tax = pounds(0), tax_included = pounds(356), total = pounds(2135) } }
  if status == "placed" then
    data.lines = { line("WHITE HANGING HEART", 6, 255, 255), line("GLIDER", 17, 30, 0) }
    data.shipping_address = { name = "Ann Lee", line1 = "1 High Street", city = "Leeds", postcode = "LS1 1AA",
      country = "GB" }
  end
  for key, value in pairs(more or {}) do data[key] = value end
  return { id = uuid(), type = "order." .. status .. ".v1", topic = "order", key = data.order, data = data }
end

local made = {}
local function tell(...)
  local told = { ... }
  return db:transaction(function(tx)
    for _, each in ipairs(told) do
      made[#made + 1] = each.id
      local ok, why = events.on_order(tx, each)
      if not ok then return nil, why end
    end
    return true
  end)
end

local function row(told)
  return db:latest([[select status, tries, reason, address, message, shown_as, template from mails
    where id = $1]], told.id)[1]
end

local function mails(address)
  local reply = assert(fastr.http.request { url = INBOX .. "/email?envelope.to.address=" .. address:gsub("+", "%%2B") })
  return assert(fastr.json.decode(reply.body))
end

local function one_mail(told)
  return host.eventually("the mail", function() return mails(told.data.email)[1] end)
end

local function becomes(told, status, seconds)
  return host.eventually("it is " .. status, function()
    local found = row(told)
    return found.status == status and found
  end, seconds)
end

local function lines_of(text)
  return (text:gsub("\r\n", "\n"))
end

teardown(function()
  db:write("delete from mails where id = any($1::uuid[])", fastr.pg.array(made))
end)

-- ---- what is sent -------------------------------------------------------------------------------------------------

describe("an order that was placed", function()
  it("is confirmed with its lines, totals, address and a link", function()
    local placed = event("placed")
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    assert.equal("Your order 100123", mail.subject)
    assert.equal(placed.id .. "@shop.example", mail.messageId)
    assert.same({ { address = placed.data.email, name = "Ann Lee" } }, mail.to)
    local text = lines_of(mail.text)
    for _, words in ipairs { "6 x WHITE HANGING HEART\n    £2.55 each, £15.30; you save £2.55\n", "17 x GLIDER\n",
      "Items:                £20.40\nDiscounts:            -£2.55\nShipping:              £3.50\n"
      .. "Total in GBP:         £21.35\nIt includes tax of £3.56.\n", "    1 High Street\n    Leeds\n    LS1 1AA\n",
      "/orders/" .. placed.data.order .. "\n" } do
      assert.truthy(text:find(words, 1, true), words .. " is not in\n" .. text)
    end
    for _, words in ipairs { "£21.35 GBP", "you save £2.55", "LS1 1AA", '<html lang="en"', 'scope="col"',
      '/orders/' .. placed.data.order .. '"' } do
      assert.truthy(mail.html:find(words, 1, true), words .. " is not in the HTML")
    end
    assert.equal("auto-generated", mail.headers["auto-submitted"])
  end)

  it("is told what gift cards paid of it", function()
    local placed = event("placed", { totals = { items = pounds(2000), discount = pounds(0), shipping = pounds(0),
      shipping_discount = pounds(0), tax = pounds(0), tax_included = pounds(0), total = pounds(2000),
      gift_cards = pounds(500), due = pounds(1500) } })
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    assert.truthy(mail.text:find("Gift cards pay £5.00 GBP of it; £15.00 GBP was left to pay.", 1, true), mail.text)
    assert.truthy(mail.html:find("Paid by gift card", 1, true))
  end)

  it("is told what each promotion gave, by its name, and the taxes by rate", function()
    local placed = event("placed", {
      totals = { items = pounds(2040), discount = pounds(255), shipping = pounds(350), shipping_discount = pounds(50),
        tax = pounds(11), tax_included = pounds(156), total = pounds(2096) },
      discounts = { { promotion = "sale", stage = "catalog", amount = pounds(90), says = "Sale", detail = "" },
        { promotion = "three", stage = "item", amount = pounds(155), says = "3 for 2 on all our candles", detail = "" },
        { promotion = "ten", stage = "order", amount = pounds(100), says = "Ten\nTotal: 0", detail = "" },
        { promotion = "post", stage = "shipping", amount = pounds(50), says = "Half the postage", detail = "" } },
      taxes = { { category = "standard", percent = 20, included = true, zone = "GB", base = pounds(780),
          tax = pounds(156) },
        { category = "zero", percent = 0, included = true, base = pounds(300), tax = pounds(0) },
        { category = "low", percent = 5.5, included = false, base = pounds(200), tax = pounds(11) } } })
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    local text = lines_of(mail.text)
    for _, words in ipairs { "Items:                         £20.40\n", "3 for 2 on all our candles:    -£1.55\n",
      "Ten Total: 0:                  -£1.00\nShipping:                       £3.50\n",
      "Half the postage:              -£0.50\nTax, 5.5 % of £2.00:            £0.11\n"
      .. "Total in GBP:                  £20.96\n",
      "It includes 20 % tax on £7.80: £1.56.\nIt includes 0 % tax on £3.00: £0.00.\n" } do
      assert.truthy(text:find(words, 1, true), words .. " is not in\n" .. text)
    end
    assert.is_nil(text:find("Sale", 1, true), text)
    for _, words in ipairs { "3 for 2 on all our candles", "-£1.55", "includes 20 % tax on £7.80", "£1.56" } do
      assert.truthy(mail.html:find(words, 1, true), words .. " is not in the HTML")
    end
  end)

  it("has one mail, however often the event is taken in", function()
    local placed = event("placed")
    for _ = 1, 2 do assert.is_true(tell(placed)) end
    becomes(placed, "sent")
    assert.equal(1, #mails(placed.data.email))
  end)

  it("shows amounts of any currency", function()
    local function yen(amount) return { amount = amount, currency = "JPY" } end
    local placed = event("placed", { currency = "JPY", totals = { items = yen(2500), discount = yen(0),
      shipping = yen(0), shipping_discount = yen(0), tax = yen(250), tax_included = yen(0), total = yen(2750) } })
    assert.is_true(tell(placed))
    local text = lines_of(one_mail(placed).text)
    assert.truthy(text:find("Tax:                   250 JPY\nTotal in JPY:         2750 JPY\n", 1, true), text)
    assert.truthy(text:find("Shipping:                 free\n", 1, true), text)
  end)
end)

describe("what happens to it later", function()
  it("is told in its order: receipt, shipping, cancellation", function()
    local placed = event("placed")
    local same = { order = placed.data.order, email = placed.data.email }
    local function later(status, more)
      for key, value in pairs(same) do more[key] = value end
      return event(status, more)
    end
    local reference = uuid()
    local paid = later("paid", { from = "placed", payment = { id = reference, status = "captured" } })
    local shipped = later("shipped", { from = "fulfilling", shipment = { carrier = "Royal Mail", tracking = "RM1" } })
    assert.is_true(tell(placed, paid, shipped, later("cancelled", { from = "paid" })))
    local found = host.eventually("four mails", function()
      local list = mails(placed.data.email)
      return #list == 4 and list
    end)
    local subjects = {}
    for i, mail in ipairs(found) do subjects[i] = mail.subject end
    assert.same({ "Your order 100123", "Payment received for order 100123", "Your order 100123 is on its way",
      "Your order 100123 was cancelled" }, subjects)
    assert.truthy(found[2].text:find(reference, 1, true))
    assert.truthy(found[2].text:find("We have received your payment of £21.35 GBP.", 1, true))
    assert.truthy(found[3].text:find("RM1", 1, true))
    assert.truthy(found[4].text:find("goes back to where it came from", 1, true))
  end)

  it("is not told of a checkout that came to nothing", function()
    local given_up = event("cancelled", { number = fastr.json.null })
    assert.is_true(tell(given_up))
    assert.is_nil(row(given_up))
  end)
end)

describe("what somebody typed", function()
  it("is text, not HTML", function()
    local hostile = [[<img src=x onerror="alert(1)"> & <a href='//evil'>]]
    local placed = event("placed", { lines = { line(hostile, 1, 100, 0) } })
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    assert.is_nil(mail.html:find("<img", 1, true))
    assert.is_nil(mail.html:find("//evil'", 1, true))
    assert.truthy(mail.html:find("&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &amp; &lt;a href=&#39;//evil&#39;&gt;",
      1, true))
    assert.truthy(mail.text:find("1 x " .. hostile, 1, true))
  end)

  it("adds no header, no line and no template to a mail", function()
    local placed = event("placed")
    placed.data.shipping_address.name = "A\r\nBcc: victim@x.example\r\n\r\n{{total}}"
    placed.data.lines[1].name = "A\nTotal in GBP: £0.01"
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    assert.is_nil(mail.headers.bcc)
    assert.same({ { address = placed.data.email } }, mail.envelope.to)
    assert.equal("A Bcc: victim@x.example {{total}}", mail.to[1].name)
    assert.truthy(lines_of(mail.text):find("6 x A Total in GBP: £0.01\n", 1, true))
  end)

  it("comes through in every script, and dots stay where they are", function()
    local placed = event("placed")
    placed.data.shipping_address.name = "Zoë Ångström-Łuczak 李小龍 💡"
    placed.data.lines[1].name = (".\226\153\165 "):rep(60) .. "."
    placed.data.shipping_address.line1 = "."
    assert.is_true(tell(placed))
    local mail = one_mail(placed)
    assert.equal(placed.data.shipping_address.name, mail.to[1].name)
    assert.truthy(mail.text:find(placed.data.lines[1].name, 1, true))
    assert.truthy(lines_of(mail.text):find("\n    .\n    Leeds", 1, true))
  end)
end)

-- ---- when it does not go well -------------------------------------------------------------------------------------

local function staff()
  local reply = assert(fastr.http.request { method = "POST", url = SHOP .. "/api/v1/auth/tokens",
    headers = { ["Content-Type"] = "application/json" }, timeout_ms = 10000,
    body = fastr.json.encode { email = env "ADMIN_EMAIL", password = env "ADMIN_PASSWORD" } })
  assert.equal(200, reply.status, reply.body)
  return { Authorization = "Bearer " .. fastr.json.decode(reply.body).access_token }
end

local function ask(method, path, headers)
  local reply = assert(fastr.http.request { method = method, url = SHOP .. "/api/v1" .. path, headers = headers,
    timeout_ms = 10000 })
  return reply.status, fastr.json.decode(reply.body)
end

describe("an order that a person looks at first", function()
  it("is confirmed in other words", function()
    local placed = event("placed", { review = "A large order is looked at by a person" })
    assert.is_true(tell(placed))
    assert.equal("order_review", becomes(placed, "sent").template)
  end)
end)

describe("an address that the server refuses", function()
  it("keeps its mail with the reason, until staff queue it again", function()
    local placed = event("placed", { email = "no-such-user@shop.example" })
    local paid = event("paid", { order = placed.data.order, from = "placed" })
    assert.is_true(tell(placed, paid))
    assert.truthy(becomes(placed, "refused").reason:find("550", 1, true))
    becomes(paid, "sent")
    local owner = staff()
    local status, page = ask("GET", "/notifications?status=refused&order=" .. placed.data.order, owner)
    assert.same({ 200, 1 }, { status, #page.items })
    local item = page.items[1]
    assert.same({ placed.id, "n***@shop.example", "order_confirmation", 1 },
      { item.id, item.recipient, item.template, item.tries })
    status = ask("POST", "/notifications/" .. placed.id .. "/retry", owner)
    assert.equal(200, status)
    becomes(placed, "refused")
    assert.equal(409, (ask("POST", "/notifications/" .. paid.id .. "/retry", owner)))
    assert.equal(404, (ask("POST", "/notifications/" .. uuid() .. "/retry", owner)))
  end)

  it("is forgotten after a month, and then not tried again", function()
    local placed = event("placed", { email = "no-such-user@shop.example" })
    assert.is_true(tell(placed))
    becomes(placed, "refused")
    db:write("update mails set created_at = created_at - interval '31 days' where id = $1", placed.id)
    store.forget(db, "30 days")
    assert.is_nil(row(placed).address)
    assert.is_nil(row(placed).message)
    assert.equal(409, (ask("POST", "/notifications/" .. placed.id .. "/retry", staff())))
  end)
end)

describe("the list of what was sent", function()
  it("is for staff, and has no address", function()
    local placed = event("placed")
    assert.is_true(tell(placed))
    local sent = becomes(placed, "sent")
    assert.same({ nil, nil, "a***@shop.example" }, { sent.address, sent.message, sent.shown_as })
    assert.equal(401, (ask("GET", "/notifications")))
    local status, page = ask("GET", "/notifications?limit=1", staff())
    assert.equal(200, status)
    assert.equal(1, #page.items)
    assert.truthy(page.next_cursor)
  end)
end)

describe("a server that says later", function()
  it("gets the mail again and again, and nothing of the order that comes behind", function()
    local placed = event("placed", { email = "busy@shop.example" })
    local paid = event("paid", { order = placed.data.order, from = "placed" })
    assert.is_true(tell(placed, paid))
    host.eventually("two tries", function() return row(placed).tries >= 2 end)
    local found = row(placed)
    assert.truthy(found.reason:find("451", 1, true))
    assert.same({ "queued", 0 }, { row(paid).status, row(paid).tries })
    store.put_off(db, placed.id, "five days in vain", 0, "0 seconds")
    assert.equal("refused", row(placed).status)
    becomes(paid, "sent")
  end)
end)

describe("a mail server that is away", function()
  it("is waited for; then the mails go out in their order", function()
    finally(function() run(SUPERVISOR .. "start inbox") end)
    run(SUPERVISOR .. "stop inbox")
    local placed = event("placed")
    local paid = event("paid", { order = placed.data.order, email = placed.data.email, from = "placed" })
    assert.is_true(tell(placed, paid))
    host.eventually("a try", function() return row(placed).reason ~= "" end)
    assert.same({ "queued", "queued", 0 }, { row(placed).status, row(paid).status, row(paid).tries })
    run(SUPERVISOR .. "start inbox")
    becomes(paid, "sent", 30)
    local found = mails(placed.data.email)
    assert.same({ 2, placed.id .. "@shop.example", paid.id .. "@shop.example" },
      { #found, found[1].messageId, found[2].messageId })
  end)
end)

-- ---- a crash ------------------------------------------------------------------------------------------------------

-- The process ids, workers first, of every process of the shop that sends mails.
local function senders()
  local masters, pids = {}, {}
  for name in run(SUPERVISOR .. "status"):gmatch("([%w-]+) +RUNNING") do
    if name:find("^notification%-") or name:find("^shop%-") then
      masters[#masters + 1] = run(SUPERVISOR .. "pid " .. name):match("%d+")
    end
  end
  for _, master in ipairs(masters) do
    for worker in run("pgrep -P " .. master):gmatch("%d+") do pids[#pids + 1] = worker end
  end
  for _, master in ipairs(masters) do pids[#pids + 1] = master end
  return pids
end

local function as_superuser(sql)
  return run(("psql -X -q -At -v ON_ERROR_STOP=1 '%s' -c \"%s\""):format(env "PG_PRIMARY", sql))
end

-- From here on nobody can note that this mail was sent, until the returned function is called.
local function hold_the_note(id)
  local name = "spec_" .. id:gsub("-", "")
  as_superuser(([[create function notification.%s() returns trigger language plpgsql as
    'begin if new.id = ''%s'' and new.status = ''sent'' then perform pg_advisory_xact_lock(7042099); end if;
    return new; end']]):format(name, id))
  as_superuser(("create trigger %s before update on notification.mails for each row execute function notification.%s()")
    :format(name, name))
  os.execute(("PGAPPNAME=%s psql -X -q '%s' -c 'select pg_advisory_lock(7042099)' -c 'select pg_sleep(120)' "
    .. ">/dev/null 2>&1 </dev/null &"):format(name, env "PG_PRIMARY"))
  host.eventually("the lock is held", function()
    local asks = as_superuser("select query from pg_stat_activity where application_name = '" .. name .. "'")
    return asks:find("sleep", 1, true)
  end)
  return function()
    as_superuser(("select pg_terminate_backend(pid) from pg_stat_activity where application_name = '%s'"):format(name))
    as_superuser(("drop function if exists notification.%s() cascade"):format(name))
  end
end

describe("a crash between the server's answer and the note of it", function()
  it("sends the mail a second time, with the same Message-ID, and no third", function()
    local placed = event("placed")
    local release = hold_the_note(placed.id)
    finally(release)
    assert.is_true(tell(placed))
    one_mail(placed)
    assert.equal("queued", row(placed).status)
    run("kill -9 " .. table.concat(senders(), " "))
    release()
    becomes(placed, "sent", 60)
    local found = mails(placed.data.email)
    assert.equal(2, #found)
    assert.equal(found[1].messageId, found[2].messageId)
    assert.equal(placed.id .. "@shop.example", found[2].messageId)
    assert.equal(found[1].headers.date, found[2].headers.date)
    assert.equal(2, row(placed).tries)
  end)
end)
