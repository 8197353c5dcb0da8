-- reconcile: compares orders with payment's ledger, that with the provider's book, and both with the stock; names
-- every difference, and repairs those that can be repaired without deciding anything: whoever knows is asked again, an
-- order is turned to work that it should have had, an attempt that was given up is voided.
--
--   fastr run services.order.reconcile [--since TIME] [--repair] [--now] [--json]
--
-- The job `reconcile` does it each night (nothing is repaired then). Every run is kept in `reconciliations`, with what
-- was found and done. What has just changed is looked at again before it is told, unless --now.

local books = require "services.order.books"
local call = require "platform.call"
local database = require "platform.db"
local options = require "platform.options"
local store = require "services.order.store"
local who = require "platform.who"
local work = require "services.order.work"

local M = {}

local BATCH = 100
local AGAIN_MS = 2000         -- until what differs is looked at once more
local ASK = { timeout_ms = 60000 }
local DAY_MS = 86400 * 1000
local OVERLAP_MS = 7 * DAY_MS -- how far back a nightly run looks: captures and returns come days after the order

-- ---- asking -------------------------------------------------------------------------------------------------------

-- The reply of another service; raises its problem.
local function ask(service, op, body)
  local reply, failed = call.call(service, op, body, ASK)
  if not reply then error(failed, 0) end
  return reply
end

local function by_order(items, is_list)
  local map = {}
  for _, item in ipairs(items) do
    if is_list then
      map[item.order] = map[item.order] or {}
      table.insert(map[item.order], item)
    else
      map[item.order] = item
    end
  end
  return map
end

-- What differs in these orders (rows of store.compared).
local function differences(orders)
  if #orders == 0 then return {} end
  local ids, found = {}, {}
  for i, order in ipairs(orders) do ids[i] = order.id end
  local accounts = by_order(ask("payment", "accounts", { orders = ids }).items, true)
  local taken = by_order(ask("product", "taken", { orders = ids }).items)
  for _, order in ipairs(orders) do
    for _, each in ipairs(books.differences(order, accounts[order.id] or {}, taken[order.id])) do
      found[#found + 1] = each
    end
  end
  return found
end

local function ids_of(found)
  local ids, seen = {}, {}
  for _, each in ipairs(found) do
    if each.order and not seen[each.order] then
      seen[each.order] = true
      ids[#ids + 1] = each.order
    end
  end
  return ids
end

-- The three are read one after the other, and a page of orders from a replica, which may be late: only what differs
-- twice, in the same way, is told. The second time the primary is asked: with --now at once.
local function lasting(db, found, now)
  if #found == 0 then return found end
  if not now then fastr.time.sleep(AGAIN_MS) end
  local again, kept = {}, {}
  for _, each in ipairs(differences(store.compared(db, ids_of(found)))) do again[each.text] = true end
  for _, each in ipairs(found) do
    if again[each.text] then kept[#kept + 1] = each end
  end
  return kept
end

-- ---- repairing ----------------------------------------------------------------------------------------------------

local function turn_to(what)
  return function(db, found)
    db:transaction(function(tx) return { work.take_up(tx, found.order, what) } end)
    work.resume(db, found.order)
    return "turned to '" .. what .. "'"
  end
end

local REPAIRS = {
  look = turn_to "authorisation", undo = turn_to "undo", place = turn_to "place",
  wake = function(db, found)
    db:transaction(function(tx)
      store.wake(tx, found.order, fastr.time.now())
      return true
    end)
    work.resume(db, found.order)
    return "woken"
  end,
  commit = function(_, found)
    ask("product", "commit", { order = found.order })
    return "its stock was taken"
  end,
  void = function(_, found)
    return "voided, which makes it " .. ask("payment", "void", { attempt = found.payment }).status
  end,
}

-- Repairs what can be, and says of each what was done and whether it helped.
local function repair(db, found)
  for _, each in ipairs(found) do
    if each.repair then
      local ok, said = pcall(REPAIRS[each.repair], db, each)
      each.repaired = ok and said or "not repaired: " .. (type(said) == "table" and (said.detail or said.code)
        or tostring(said))
    end
  end
  local left = {}
  for _, each in ipairs(differences(store.compared(db, ids_of(found)))) do left[each.text] = true end
  for _, each in ipairs(found) do
    local now = left[each.text] and "; it still differs" or "; it is well now"
    each.repaired = each.repaired and each.repaired .. now
  end
end

-- ---- all of it ----------------------------------------------------------------------------------------------------

local function append(list, more)
  for _, each in ipairs(more) do list[#list + 1] = each end
end

local function compare_orders(db, run)
  local after
  repeat
    local page = store.compared_since(db, run.since, after, BATCH)
    local found = lasting(db, differences(page), run.now)
    if run.repair then repair(db, found) end
    append(run.differences, found)
    run.orders, after = run.orders + #page, #page == BATCH and page[#page].id or nil
  until not after
end

-- Those of these orders that are not here.
local function unknown(db, items)
  local known, list = {}, {}
  for _, order in ipairs(store.compared(db, ids_of(items))) do known[order.id] = true end
  for _, item in ipairs(items) do
    if not known[item.order] then list[#list + 1] = item end
  end
  return list
end

-- Payments that keep money for an order that nobody knows.
local function keep_for_nobody(db, accounts)
  local list = {}
  for _, a in ipairs(unknown(db, accounts)) do
    if a.captured > a.refunded then
      list[#list + 1] = { code = "order_unknown", payment = a.payment, order = a.order,
        text = ("payment %s keeps %s %s for order %s, which is not there"):format(a.payment,
          fastr.money.format(a.captured - a.refunded, a.currency), a.currency, a.order) }
    end
  end
  return list
end

local function compare_payments(db, run)
  local after
  repeat
    local page = ask("payment", "compare", { since = run.since, after = after, limit = BATCH, now = run.now,
      repair = run.repair })
    append(run.differences, page.differences)
    append(run.differences, keep_for_nobody(db, page.accounts))
    run.payments, after = run.payments + #page.accounts, page.next
  until not after
end

-- What the provider has and payment does not.
local function compare_book(run)
  local after
  repeat
    local page = ask("payment", "strangers", { since = run.since, after = after, limit = BATCH })
    append(run.differences, page.differences)
    after = page.next
  until not after
end

local function compare_stock(db, run)
  local after
  repeat
    local page = ask("product", "taken", { since = run.since, after = after, limit = BATCH }).items
    for _, r in ipairs(unknown(db, page)) do
      append(run.differences, { { code = "order_unknown", order = r.order,
        text = "stock was taken for order " .. r.order .. ", which is not there" } })
    end
    after = #page == BATCH and page[#page].order or nil
  until not after
  for _, s in ipairs(ask("product", "drifted", {}).items) do
    append(run.differences, { { code = "stock_drift", sku = s.sku,
      text = ("product %s: %d on hand and %d held, its movements come to %d and %d"):format(s.sku, s.on_hand, s.held,
        s.moved, s.promised) } })
  end
end

-- Compares all that is new since `which.since` (RFC 3339) -> {since, orders, payments, differences, ...}; keeps the
-- run. which.by: who asks; which.repair, which.now: as the command's options. Waits. Raises a problem where a service,
-- or the provider, cannot be asked: nothing is kept then, but what was repaired is.
function M.run(db, which)
  local run = { since = which.since, by = which.by, repair = which.repair or false, now = which.now or false,
    orders = 0, payments = 0, differences = fastr.json.array {}, begun_at = fastr.time.now() }
  compare_payments(db, run) -- first: what it takes in may be all that an order waits for
  compare_book(run)
  compare_orders(db, run)
  compare_stock(db, run)
  store.add_reconciliation(db, run, fastr.time.now())
  return run
end

-- ---- each night ---------------------------------------------------------------------------------------------------

local NIGHT_MS = 3 * 3600 * 1000 -- UTC, since midnight
local gauge

local function tell(last)
  gauge = gauge or fastr.metrics.gauge("fastr_differences", "",
    "Differences between books that the last reconciliation found and did not repair")
  gauge:set(last and last.open or 0)
end

-- When the night's run is due: the last time that it was three o'clock.
local function due_at()
  local now = fastr.time.unix_ms() - NIGHT_MS
  return fastr.time.iso(now - now % DAY_MS + NIGHT_MS)
end

-- The schedule: once each night, from the first on that a shop with orders has seen.
function M.nightly(db)
  local last, due = store.last_reconciliation(db), due_at()
  tell(last)
  if last and last.begun_at >= due or not last and not store.was_open(db, due) then return true end
  M.run(db, { by = "nightly", since = fastr.time.iso(fastr.time.unix_ms() - OVERLAP_MS) })
  tell(store.last_reconciliation(db))
  return true
end

-- ---- the command --------------------------------------------------------------------------------------------------

local USAGE = [[
usage: fastr run services.order.reconcile [--since TIME] [--repair] [--now] [--json]
    compares orders, payment's ledger, the provider's book and the stock (since TIME, 7 days ago unless told);
    --repair does what is safe about a difference; --now looks at what is still under way, too. 1: something differs
]]

local function show(run)
  for _, each in ipairs(run.differences) do
    print(("%-22s %s"):format(each.code, each.text))
    if each.repaired then print(("%-22s -> %s"):format("", each.repaired)) end
  end
  print(("%d orders and %d payments since %s: %d differences"):format(run.orders, run.payments, run.since,
    #run.differences))
end

local FLAGS = { since = true, repair = false, now = false, json = false }

-- fastr run ...: 0, 1 when something differs (also if it was repaired) or could not be compared, 2 when asked wrongly.
function M.main(arguments)
  local given, wrong = options.read(arguments, {}, FLAGS)
  local since
  if given then since, wrong = options.time(given.since, "--since") end
  if wrong then
    io.stderr:write("reconcile: ", wrong, "\n", USAGE)
    return 2
  end
  fastr.task.set("service", "order")
  rawset(fastr, "call", call.call) -- as in a server
  local ok, run = pcall(M.run, database.open("order"), { by = who.user(), repair = given.repair, now = given.now,
    since = since or fastr.time.iso(fastr.time.unix_ms() - OVERLAP_MS) })
  if not ok then
    io.stderr:write("reconcile: ", type(run) == "table" and (run.detail or run.code) or tostring(run), "\n")
    return 1
  end
  if given.json then print(fastr.json.encode(run)) else show(run) end
  return #run.differences == 0 and 0 or 1
end

return M
