-- fastr rules check: the gate, on the rules on disk or elsewhere; needs no server.

local gate = require "services.rules.gate"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local reports = require "services.rules.reports"

local M = {}

M.usage = {
  "fastr rules check [DIR|sha256:HASH] [--parent DIR|sha256:HASH] [--orders FILE | --shop] [--dearer REASON]",
  "                  [--json | --junit]",
  "    the gate: syntax, names, examples, categories, the pack's specs, invariants, the same in two processes, cost",
  "    against the parent (default: the live rules), golden carts, recorded orders (of a file or of the running shop);",
  "    exit 1 with file, line and cure. The report is kept beside the pack, as var/packs/HASH.report.json",
}

-- The pack that is compared with: the one that was named, the live one, or none.
local function parent_of(given)
  if given.parent then return packs.open(given.parent) end
  return (packs.open_live())
end

local function orders_of(given)
  if not given.shop and not given.orders then return {} end
  return recorded.sample(given.orders)
end

local function show(result, given)
  if given.json then
    print(fastr.json.encode(result))
  elseif given.junit then
    print(reports.junit(result))
  else
    reports.show(result)
  end
end

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, { parent = true, orders = true, shop = false,
    json = false, junit = false, dearer = true })
  if not given then return nil, message end
  local parent, orders, wrong
  parent, wrong = parent_of(given)
  if not parent and wrong then return false, "--parent: " .. wrong end
  orders, wrong = orders_of(given)
  if not orders then return false, wrong end
  local result = gate.run(given.source or packs.folder(), { parent = parent, orders = orders, dearer = given.dearer })
  reports.keep(result) -- where there is no var yet there is nothing to activate either
  show(result, given)
  return result.ok
end

return M
