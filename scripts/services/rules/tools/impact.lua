-- fastr rules impact: the orders that a version priced, and what another would have charged: how far a mistake went.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local report = require "services.rules.report"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules impact HASH [--with DIR|sha256:HASH] [--since TIME] [--orders FILE]",
  "    the orders that the version HASH (or its beginning) priced, with what others (default: live) would have charged",
}

local function source_of(given)
  if given.with then return given.with end
  local live, message = packs.live()
  return live and live.hash, message
end

function M.main(arguments)
  local given, message = options.read(arguments, { "hash" }, { since = true, with = true, orders = true })
  if not given then return nil, message end
  if not given.hash then return nil, "which version's orders? (fastr rules status shows the live one)" end
  local source, pack, count
  source, message = source_of(given)
  if not source then return false, message end
  pack, message = packs.open(source)
  if not pack then return false, message end
  local wanted, tally = given.hash:gsub("^sha256:", ""), report.new()
  count, message = recorded.each(given.since, given.orders, function(order)
    if order.pack:sub(8, 7 + #wanted) == wanted then
      report.add(tally, order, nil, pack:decide("price.cart", order.facts))
    end
  end)
  if not count then return false, message end
  print(("%s of %s orders were priced by %s; by %s:"):format(words.count(tally.orders), words.count(count),
    words.hash(given.hash), words.hash(pack:hash())))
  report.show(tally)
  return true
end

return M
