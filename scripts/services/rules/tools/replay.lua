-- fastr rules replay: proves the past, or shows what an edit would have changed in it.

local compare = require "services.rules.compare"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local report = require "services.rules.report"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules replay [--since TIME] [--orders FILE]",
  "    decides every placed order again by the pack it was decided by; exit 1 and the first difference if there is one",
  "fastr rules replay --with DIR|sha256:HASH [--since TIME] [--orders FILE]",
  "    what these rules would have changed in the placed orders: how much, and the ten largest each way",
}

local terminal -- whether somebody looks at standard error

local function bar(count)
  if terminal == nil then terminal = os.execute("test -t 2") == 0 end
  if terminal and count % 50 == 0 then io.stderr:write(("\r%s orders"):format(words.count(count))) end
end

local function wipe()
  if terminal then io.stderr:write("\r", (" "):rep(30), "\r") end
end

-- ---- proving the past ---------------------------------------------------------------------------------------------

-- What is wrong with the order's past, or nil.
local function disproved(pack, order)
  local decision, message = pack:decide("price.cart", order.facts)
  if not decision then return message end
  local difference = compare.decisions(report.as_placed(order), decision)
  if not difference then return nil end
  if difference.trace then return "trace " .. words.parting(difference.trace, order.currency) end
  return "total " .. words.change(difference.delta, order.currency)
end

local function prove(given)
  local kept, proved, wrong, began = {}, 0, nil, fastr.time.unix_ms()
  local count, message = recorded.each(given.since, given.orders, function(order)
    local pack, failed = kept[order.pack], nil
    if not pack then
      pack, failed = packs.open(order.pack)
      kept[order.pack] = pack
    end
    proved = proved + 1
    failed = failed or disproved(pack, order)
    bar(proved)
    if failed then wrong = ("order %s (%s, rules %s): %s"):format(order.number, order.placed_at, words.hash(order.pack),
      failed) end
    return failed == nil
  end)
  wipe()
  if not count then return false, message end
  if wrong then
    io.stderr:write(wrong, "\n")
    return false
  end
  local number = 0
  for _ in pairs(kept) do number = number + 1 end
  local ms = math.max(1, fastr.time.unix_ms() - began)
  print(("%s orders by %d packs: every one as it was, to the penny   %s ms, %s a second"):format(words.count(count),
    number, words.count(ms), words.count(math.floor(count * 1000 / ms))))
  return true
end

-- ---- what an edit would have changed ------------------------------------------------------------------------------

local function replay_with(given)
  local draft, message = packs.open(given.with, true)
  if not draft then
    io.stderr:write(message, "\n")
    return false
  end
  local tally = report.new()
  local count, unread = recorded.each(given.since, given.orders, function(order)
    report.add(tally, order, nil, draft:decide("price.cart", order.facts))
    bar(tally.orders)
  end)
  wipe()
  if not count then return false, unread end
  report.show(tally)
  return true
end

function M.main(arguments)
  local given, message = options.read(arguments, {}, { since = true, with = true, orders = true })
  if not given then return nil, message end
  if given.with then return replay_with(given) end
  return prove(given)
end

return M
