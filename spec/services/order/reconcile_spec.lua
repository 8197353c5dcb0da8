-- Orders, payment's ledger, the provider's book and the stock, compared as they really are: what a lost piece of news
-- or a lost row leaves is named, repaired where that is safe, and written down. Against the running databases and
-- provider.

local database = require "platform.db"
local provider = require "services.payment.provider"
local reconcile = require "services.order.reconcile"
local shell = require "spec.support.shell"
local shopper = require "spec.support.shopper"

local PRIMARY = assert(os.getenv("PG_PRIMARY"), "PG_PRIMARY is not set: run bin/test, or source var/shop.env")
local db = database.open("order")
local STOCK, UNITS = 10, 3
local since

local function sql(statement)
  return shell.must(("psql -X -q -At '%s' -c \"%s\""):format(PRIMARY, statement:gsub('"', '\\"')))
end

local function bought()
  local sku = shopper.product(1000, STOCK)
  local order, mine = shopper.buy { [sku] = UNITS }
  shopper.eventually("it is settled", function()
    return sql(('select count(*) from "order".orders where id = \'%s\' and work is null'):format(order.id)) == "1"
  end)
  return order, mine, sku
end

-- What a run tells of this order or payment: list of {code, repaired}.
local function told(id, repair)
  fastr.task.set("service", "order")
  local run = reconcile.run(db, { since = since, by = "spec", repair = repair, now = true })
  local list = {}
  for _, each in ipairs(run.differences) do
    if each.order == id or each.payment == id then list[#list + 1] = each end
  end
  table.sort(list, function(a, b) return a.code < b.code end)
  return list
end

local function status_of(order, mine) return shopper.order(order.id, mine).status end

before_each(function() since = fastr.time.iso(fastr.time.unix_ms() - 1000) end)

-- What the specs have left behind is not to be told by `fastr status`: the last run found nothing.
teardown(function()
  reconcile.run(db, { since = fastr.time.iso(fastr.time.unix_ms() + 60000), by = "spec" })
  reconcile.nightly(db)
end)

describe("a reconciliation", function()
  it("says nothing of an order that was bought, returned in part and cancelled as it should be", function()
    local order, mine, sku = bought()
    assert.same({}, told(order.id))
    assert.equal(200, (shopper.send("POST", "/api/v1/orders/" .. order.id .. "/cancel", { headers = mine })))
    shopper.eventually("it is all back", function() return shopper.available(sku) == STOCK and #told(order.id) == 0 end)
  end)

  it("names an order that stayed placed though its money was captured, and makes it paid", function()
    local order, mine = bought()
    sql(([[update "order".orders set status = 'placed', work = null where id = '%s';
      update "order".attempts set status = 'authorised' where order_id = '%s']]):format(order.id, order.id))
    local found = told(order.id)
    assert.same({ 1, "captured_not_paid" }, { #found, found[1].code })
    assert.truthy(found[1].text:find(order.number .. " (" .. order.id .. ") is still placed", 1, true))
    assert.equal("turned to 'authorisation'; it is well now", told(order.id, true)[1].repaired)
    assert.equal("paid", status_of(order, mine))
    assert.same({}, told(order.id))
  end)

  it("names a cancelled order that gave nothing back, and has it give back", function()
    local order, _, sku = bought()
    sql(([[update "order".orders set status = 'cancelled', work = null where id = '%s']]):format(order.id))
    local found = told(order.id, true)
    assert.same({ "kept_for_nothing", "not_restocked" }, { found[1].code, found[2].code })
    assert.same({}, told(order.id))
    assert.equal(STOCK, shopper.available(sku))
  end)

  it("asks the provider about a payment of which no news has come", function()
    local p = { id = fastr.crypto.uuid7(), order = fastr.crypto.uuid7(), amount = 700, currency = "GBP",
      capture = "now" }
    sql(([[insert into payment.payments (id, order_id, amount, currency, status, next_try_at, created_at, updated_at)
      values ('%s', '%s', 700, 'GBP', 'unknown', now() + interval '1 hour', now(), now());
      insert into payment.ledger (payment_id, kind, key, state, amount, at)
      values ('%s', 'authorise', '%s', 'requested', 700, now())]]):format(p.id, p.order, p.id, p.id))
    assert(provider.charge(p, { number = "4242424242424242", exp_month = 12, exp_year = 2032 }))
    local found = told(p.id, true)
    assert.equal("captured_differs", found[1].code)
    assert.truthy(found[1].text:find("the ledger says 0.00 GBP captured, the provider 7.00 GBP", 1, true))
    assert.equal("looked up at the provider: they agree now", found[1].repaired)
    found = told(p.id)
    assert.same({ 1, "order_unknown" }, { #found, found[1].code })
    provider.operate({ id = p.id, charge = provider.look_up(p).id }, { kind = "refund", key = "spec", amount = 700 })
    found = told(p.id, true)
    assert.equal("refunded_differs", found[#found].code)
    assert.equal("looked up at the provider: they still differ", found[#found].repaired)
  end)

  it("names a charge that no payment stands for", function()
    local key = fastr.crypto.uuid7()
    assert(provider.charge({ id = key, order = fastr.crypto.uuid7(), amount = 500, currency = "GBP", capture = "now" },
      { number = "4242424242424242", exp_month = 12, exp_year = 2032 }))
    assert.equal("charge_unknown", told(key)[1].code)
  end)

  it("is kept, with who asked, what was found and what was done", function()
    local order = bought()
    sql(([[update "order".orders set status = 'placed', work = null where id = '%s';
      update "order".attempts set status = 'authorised' where order_id = '%s']]):format(order.id, order.id))
    told(order.id, true)
    local kept = db:latest([[select actor, differences from reconciliations order by begun_at desc limit 1]])[1]
    assert.equal("spec", kept.actor)
    local mine
    for _, each in ipairs(kept.differences) do mine = each.order == order.id and each or mine end
    assert.truthy(mine.repaired:find("well now", 1, true))
    local _, refused = pcall(db.write, db, "delete from reconciliations")
    assert.truthy(refused.message:find("only ever added", 1, true))
  end)
end)
