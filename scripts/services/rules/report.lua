-- report: what a pack would have changed in recorded orders, summed up in money. A tally stays small however many
-- orders it counts: the ten largest changes each way are kept.

local compare = require "services.rules.compare"
local words = require "services.rules.words"

local M = {}

local KEPT = 10

-- { orders, instructions, changed, failed, sums and deltas by currency, dearer, cheaper = the largest changes,
-- otherwise = the first that move no money, worst = the change that moves most money, or nil, failures = the first }
function M.new()
  return { orders = 0, instructions = 0, changed = 0, failed = 0, sums = {}, deltas = {},
    dearer = fastr.json.array {}, cheaper = fastr.json.array {}, otherwise = fastr.json.array {},
    failures = fastr.json.array {} }
end

-- ---- one order ----------------------------------------------------------------------------------------------------

-- What a difference of compare.decisions is called: { number, placed_at, currency, before, after, delta, sku, quantity,
-- reason }; sku and quantity are of the line that moves most.
function M.change(order, difference)
  local line = difference.lines[1] or {}
  local reason = difference.trace and words.parting(difference.trace, order.currency)
    or words.field(difference.first)
  return { number = order.number, placed_at = order.placed_at, currency = order.currency,
    before = order.total, after = order.total + difference.delta, delta = difference.delta,
    sku = line.sku, quantity = line.quantity, reason = reason:sub(1, 600) }
end

-- "536544  -18.20  84077 x 14  three_for_two: not applied ...; now applied -18.20"
function M.one(change)
  return ("%s  %s%s  %s"):format(change.number, words.change(change.delta, change.currency),
    change.sku and ("  %s x %d"):format(change.sku, change.quantity) or "", change.reason)
end

-- ---- counting -----------------------------------------------------------------------------------------------------

local function add_to(sums, currency, amount)
  sums[currency] = (sums[currency] or 0) + amount
end

-- Numbers of orders in the order of counting.
local function counts_before(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function moves_more(a, b)
  if math.abs(a.delta) ~= math.abs(b.delta) then return math.abs(a.delta) > math.abs(b.delta) end
  return counts_before(a.number, b.number)
end

-- Puts an item where it belongs in a sorted list of so many at most.
function M.keep(list, item, before, most)
  local at = #list
  while at > 0 and before(item, list[at]) do at = at - 1 end
  if at == most then return end
  table.insert(list, at + 1, item)
  list[most + 1] = nil
end

-- Is the order of `a` earlier than that of `b`?
function M.earlier(a, b) return counts_before(a.number, b.number) end

-- So many orders more, with what was charged for them by currency, and the instructions that deciding them took.
function M.count(tally, orders, sums, instructions)
  tally.orders, tally.instructions = tally.orders + orders, tally.instructions + instructions
  for currency, sum in pairs(sums) do add_to(tally.sums, currency, sum) end
end

-- One of them changes.
function M.changed(tally, change)
  tally.changed = tally.changed + 1
  add_to(tally.deltas, change.currency, change.delta)
  if change.delta > 0 then M.keep(tally.dearer, change, moves_more, KEPT) end
  if change.delta < 0 then M.keep(tally.cheaper, change, moves_more, KEPT) end
  if change.delta == 0 then M.keep(tally.otherwise, change, M.earlier, KEPT) end
  if not tally.worst or moves_more(change, tally.worst) then tally.worst = change end
end

-- One of them cannot be decided: { number, message }.
function M.failed(tally, failure)
  tally.failed = tally.failed + 1
  M.keep(tally.failures, failure, M.earlier, KEPT)
end

-- Adds one recorded order (its decision a table) and what pack:decide made of its facts: `after`, `info` (nil and a
-- message if it failed). `before`: the decision to compare with; nil: what was charged. Returns `after`.
function M.add(tally, order, before, after, info)
  M.count(tally, 1, { [order.currency] = order.total }, after and info.instructions or 0)
  if not after then
    M.failed(tally, { number = order.number, message = info })
    return
  end
  local difference = compare.decisions(before or order.decision, after)
  if difference then M.changed(tally, M.change(order, difference)) end
  return after
end

-- ---- telling ------------------------------------------------------------------------------------------------------

local function money(tally)
  local parts = {}
  for currency, delta in pairs(tally.deltas) do
    local sum = tally.sums[currency]
    parts[#parts + 1] = ("%s %s (%+.1f %%)"):format(words.change(delta, currency), currency,
      sum > 0 and delta * 100 / sum or 0)
  end
  table.sort(parts)
  return table.concat(parts, ", ")
end

-- "431 real orders: 31 change, -212.40 GBP (-0.9 %)"; `what` for things of another kind, "golden cart".
function M.line(tally, what)
  local text = words.many(tally.orders, what or "real order") .. ": "
  if tally.failed > 0 then
    local first = tally.failures[1]
    text = text .. ("%s FAIL, %s %s: %s; "):format(words.count(tally.failed), what or "order", first.number,
      first.message)
  end
  if tally.changed == 0 then return text .. "none changes" end
  return text .. ("%s %s, %s"):format(words.count(tally.changed), tally.changed == 1 and "changes" or "change",
    money(tally))
end

-- "2 golden carts accepted, -1.20 GBP (-0.3 %)"
function M.accepted(tally)
  return ("%s accepted, %s"):format(words.many(tally.changed, "golden cart"), money(tally))
end

local function show_each(title, list)
  if #list == 0 then return end
  print(title)
  for _, change in ipairs(list) do print("  " .. M.one(change)) end
end

-- Prints the sum and the ten largest changes each way.
function M.show(tally)
  print(M.line(tally))
  show_each("dearer:", tally.dearer)
  show_each("cheaper:", tally.cheaper)
  show_each("at the same price, but decided otherwise:", tally.otherwise)
end

return M
