-- fastr rules accept: golden carts whose price was meant to change take over the new one.

local golden = require "services.rules.golden"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local report = require "services.rules.report"

local M = {}

M.usage = {
  "fastr rules accept [NAME ...] [--with DIR|sha256:HASH]",
  "    golden carts (all, or these) take over what the rules on disk make of them; says what that is in money",
}

function M.main(arguments)
  local given, message = options.read(arguments, { rest = true }, { with = true })
  if not given then return nil, message end
  local pack, failed = packs.open(given.with, true)
  if not pack then return false, failed end
  local tally = report.new()
  local done, wrong = golden.accept(pack, given.rest, function(change)
    report.count(tally, 1, { [change.currency] = change.before }, 0)
    report.changed(tally, change)
    print(report.one(change))
  end)
  if not done then return false, wrong end
  print(tally.changed == 0 and "no golden cart differs" or report.accepted(tally))
  return true
end

return M
