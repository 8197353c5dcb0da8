-- prices: what one unit of a product costs everybody (no group, no coupon, sent to the shop's own zone), and the one
-- place where that is recorded when it changes. Leans on the rules, which decide each price, and on the store.
--
-- A plan is what the price is from now on, and at which moments the windows of the price list will change it: list of
-- {from (ms since 1970), amount, list (list price), lowest, lowest_until, actor, reason}, equal neighbours once.
--
-- The lowest price of 30 days (directive 98/6/EC, article 6a) stands with each reduced price:
--   * A price is reduced while it is below the list price that is shown beside it, and for 30 days after it, or the
--     list price with it, was lowered.
--   * `lowest` is the lowest price that applied in the 30 days before the reduction began. A reduction that goes on
--     downwards without a break is one (article 6a, 5); a price that goes up, but is still reduced, begins another.
--   * What has been sold for less than 30 days counts since its first price; what was reduced from the start has none.

local problem = require "lib.problem"
local store = require "services.product.store"

local M = {}

local PRIOR_MS = 30 * 86400000
local BATCH = 200 -- lines of one decision
local LAST_MS = 253402300799999 -- the end of the year 9999, after which nothing changes

local function given(value)
  if value == fastr.json.null then return nil end
  return value
end

local function ms_of(time) return time and fastr.text.time(time) end

-- The rows of a price list as facts of price.cart; nil: there is none.
function M.rows(prices)
  local rows = given(prices)
  return rows and fastr.json.array(rows)
end

-- Unit prices at the time `at` of store rows of one currency, in one decision: a catalogue rule looks at the line
-- alone, so a page of lines is priced as that many carts of one. Nil and a problem if the rules fail.
local function unit_prices(rows, at)
  local lines, prices = {}, {}
  for i, row in ipairs(rows) do
    lines[i] = { sku = row.sku, quantity = 1, unit_price = row.price, categories = fastr.json.array(row.categories),
      tax_category = row.tax_category, prices = M.rows(row.prices) }
  end
  local decision, message, code = fastr.rules.decide("price.cart", { currency = rows[1].currency, now = at,
    lines = lines })
  if not decision then return nil, problem.new(code, { detail = message }) end
  for i, line in ipairs(decision.lines) do prices[i] = line.unit_price end
  return prices
end

-- ---- plans --------------------------------------------------------------------------------------------------------

-- When a plan that is made at `now` begins: after the last one, whatever the clock of another host said.
local function beginning(row, now)
  local last = given(row.plan)
  return last and math.max(now, last[1].from + 1) or now
end

-- The moments from `start` on at which the price may change: `start`, and where a row for one unit and for everybody
-- begins, or has just ended (its last moment belongs to it).
local function moments(row, start)
  local list, seen = { start }, { [start] = true }
  local function add(at)
    if at and at > start and at <= LAST_MS and not seen[at] then seen[at], list[#list + 1] = true, at end
  end
  for _, each in ipairs(M.rows(row.prices) or {}) do
    local rules = each.rules or {}
    if not rules.customer_group and (each.min_quantity or 1) <= 1 then
      add(ms_of(rules.from))
      add(rules.to and ms_of(rules.to) + 1)
    end
  end
  return list
end

-- What is to be decided at one moment in one currency: list of {at, rows (at most BATCH), places (in `rows`)}, the
-- earliest first.
local function questions(rows, now)
  local list, known = {}, {}
  for place, row in ipairs(rows) do
    for _, at in ipairs(moments(row, beginning(row, now))) do
      local key = row.currency .. at
      local question = known[key]
      if not question or #question.rows == BATCH then
        question = { at = at, rows = {}, places = {} }
        known[key], list[#list + 1] = question, question
      end
      table.insert(question.rows, row)
      table.insert(question.places, place)
    end
  end
  table.sort(list, function(a, b) return a.at < b.at end)
  return list
end

-- The plan of each of the rows (store.priced), made at `now`, in ms; or nil and a problem.
local function plans_of(rows, now)
  local plans = {}
  for i in ipairs(rows) do plans[i] = {} end
  for _, question in ipairs(questions(rows, now)) do
    local prices, failed = unit_prices(question.rows, fastr.time.iso(question.at))
    if not prices then return nil, failed end
    for i, place in ipairs(question.places) do
      local plan = plans[place]
      if not plan[1] or plan[#plan].amount ~= prices[i] then
        plan[#plan + 1] = { from = question.at, amount = prices[i], list = question.rows[i].price }
      end
    end
  end
  return plans
end

-- What of the last plan is in force at `at`, and what is still ahead of it: the first of the list is in force.
local function remaining(row, at)
  local left = {}
  for _, each in ipairs(given(row.plan) or {}) do
    if each.from <= at then left[1] = each else left[#left + 1] = each end
  end
  return left
end

local function same(a, b) return a ~= nil and b ~= nil and a.amount == b.amount and a.list == b.list end

-- Does the new plan say what is left of the old one?
local function is_known(left, plan)
  if #left ~= #plan then return false end
  for i, each in ipairs(plan) do
    if not same(left[i], each) or i > 1 and left[i].from ~= each.from then return false end
  end
  return true
end

-- ---- recording ----------------------------------------------------------------------------------------------------

-- Is the price before reduced when `each` begins, so that `each` can carry it further?
local function goes_on(before, each)
  local until_ms = given(before.lowest_until)
  return given(before.lowest) ~= nil and each.amount <= before.amount and (not until_ms or each.from < until_ms)
end

-- The lowest price that applied from `from` on and before `to`, of a list of {from, amount} in the order of time; nil:
-- there was none.
local function lowest_of(applied, from, to)
  local lowest, at_first
  for _, each in ipairs(applied) do
    if each.from <= from then
      at_first = each.amount
    elseif each.from < to and (not lowest or each.amount < lowest) then
      lowest = each.amount
    end
  end
  return lowest and at_first and math.min(lowest, at_first) or lowest or at_first
end

-- The lowest price before the reduction that `each` belongs to, and until when it is one (nil: as long as it applies);
-- nil if it belongs to none. `before`: what applied until then; `applied`: all that did.
local function reduction(applied, before, each)
  if not before then return nil end
  if same(before, each) then return given(before.lowest), given(before.lowest_until) end
  local announced, going_on = each.amount < each.list, goes_on(before, each)
  if not (announced or going_on or each.amount < before.amount) then return nil end
  local lowest = going_on and given(before.lowest) or lowest_of(applied, each.from - PRIOR_MS, each.from)
  return lowest, not announced and lowest and each.from + PRIOR_MS or nil
end

-- Who planned this change, if the old plan had it.
local function author(left, each, is_first, by)
  for i, old in ipairs(left) do
    if same(old, each) and (old.from == each.from or i == 1 and is_first) then return old end
  end
  return by
end

-- What applied until `at`: what an old plan began in that very moment never did.
local function applied_until(row, at)
  local last
  for _, each in ipairs(given(row.plan) or {}) do
    if each.from < at then last = each end
  end
  return last
end

-- Adds the plan to the rows that are to be written. `applied`: what applied until now, which it is added to.
local function write(list, row, plan, applied, by)
  local start = plan[1].from
  local left, before = remaining(row, start), applied_until(row, start)
  for i = #applied, 1, -1 do
    if applied[i].from >= start then applied[i] = nil end
  end
  for i, each in ipairs(plan) do
    each.lowest, each.lowest_until = reduction(applied, before, each)
    local who = author(left, each, i == 1, by)
    list[#list + 1] = { sku = row.sku, currency = row.currency, list_amount = each.list, amount = each.amount,
      recorded_at = fastr.time.iso(start), applies_from = fastr.time.iso(each.from), lowest_before = each.lowest,
      lowest_until = each.lowest_until and fastr.time.iso(each.lowest_until), actor = who.actor, reason = who.reason }
    applied[#applied + 1], before = each, each
  end
end

-- Is there more to say of what is left of a plan than that it is the list price?
local function moves(left, at)
  local first = left[1]
  if left[2] or first.amount ~= first.list then return true end
  local until_ms = given(first.lowest_until)
  return given(first.lowest) ~= nil and (not until_ms or at < until_ms)
end

local function key_of(row) return row.currency .. row.sku end

-- What applied lately: {[key] = list of {from, amount}}.
local function applied_lately(tx, skus, now)
  local applied = {}
  for _, each in ipairs(store.applied_since(tx, skus, fastr.time.iso(now - PRIOR_MS))) do
    local key = key_of(each)
    applied[key] = applied[key] or {}
    table.insert(applied[key], each)
  end
  return applied
end

-- Notes for which of the products the record is to be looked into, where that is news.
local function set_moves(tx, moving, known)
  local news = { [true] = {}, [false] = {} }
  for sku, move in pairs(moving) do
    if move ~= known[sku] then table.insert(news[move], sku) end
  end
  for move, skus in pairs(news) do
    table.sort(skus)
    if skus[1] then store.set_prices_move(tx, skus, move) end
  end
end

-- Records what the products cost everybody from `now` (ms) on, in each of their currencies, where that is not what the
-- last plan says. Their rows are locked. `by`: {actor, reason}. True, or nil and a problem if the rules fail.
function M.record(tx, skus, by, now)
  local rows = store.priced(tx, skus)
  local plans, failed = plans_of(rows, now)
  if not plans then return nil, failed end
  local applied, list, moving, known = applied_lately(tx, skus, now), {}, {}, {}
  for i, row in ipairs(rows) do
    local plan, at = plans[i], plans[i][1].from
    local left = remaining(row, at)
    if not is_known(left, plan) then
      write(list, row, plan, applied[key_of(row)] or {}, by)
      left = plan
    end
    moving[row.sku], known[row.sku] = moving[row.sku] or moves(left, at), row.prices_move
  end
  if list[1] then store.add_prices(tx, list) end
  set_moves(tx, moving, known)
  return true
end

-- The SKUs among `skus` whose prices are no longer those on record: the rules have changed them since. Or nil and a
-- problem.
function M.changed(db, skus, now)
  local rows = store.priced(db, skus)
  local plans, failed = plans_of(rows, now)
  if not plans then return nil, failed end
  local found, seen = {}, {}
  for i, row in ipairs(rows) do
    if not seen[row.sku] and not is_known(remaining(row, plans[i][1].from), plans[i]) then
      seen[row.sku], found[#found + 1] = true, row.sku
    end
  end
  return found
end

-- ---- showing ------------------------------------------------------------------------------------------------------

-- The reduction that is on record for the row's price: {price, lowest (in the 30 days before it)}; nil: it is none.
function M.reduced(row)
  local recorded = given(row.recorded)
  local lowest = recorded and given(recorded[2])
  return lowest and { price = recorded[1], lowest = lowest } or nil
end

-- The lowest price beside `price`, where what is on record tells it; nil: it is not reduced; false: it is a reduction
-- that has begun and is not on record yet.
local function known_lowest(row, price)
  local recorded = given(row.recorded) or { row.price }
  local amount, lowest = recorded[1], given(recorded[2])
  if amount == price then return lowest end
  if lowest and price < amount then return lowest end
  if price < row.price or price < amount then return false end
end

-- What the rows of a page (one currency) cost everybody now: list of {price, lowest (nil: not reduced, or there was no
-- price before)}; or nil and a problem if the rules fail.
function M.shown(db, rows)
  local now = fastr.time.now()
  local prices, failed = unit_prices(rows, now)
  if not prices then return nil, failed end
  local shown, begun = {}, {}
  for i, row in ipairs(rows) do
    local lowest = known_lowest(row, prices[i])
    if lowest == false then begun[#begun + 1] = row.sku end
    shown[i] = { price = prices[i], lowest = lowest or nil, asked = lowest == false }
  end
  if not begun[1] then return shown end
  local lowest = store.lowest_prices(db, begun, rows[1].currency, fastr.time.iso(ms_of(now) - PRIOR_MS), now)
  for i, row in ipairs(rows) do
    if shown[i].asked then shown[i].lowest = lowest[row.sku] end
  end
  return shown
end

return M
