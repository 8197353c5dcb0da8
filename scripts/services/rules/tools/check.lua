-- fastr rules check: the gate, on the rules on disk or elsewhere; needs no server.

local gate = require "services.rules.gate"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"

local M = {}

M.usage = {
  "fastr rules check [DIR|sha256:HASH] [--parent DIR|sha256:HASH] [--orders FILE | --shop] [--json | --junit]",
  "    syntax, names, examples, possible prices, the same under two hash seeds, cost against the parent (default: the",
  "    live rules), placed orders (of a file, or of the running shop); exit 1 with file, line and the likely cure",
}

local function escape(text)
  return (text:gsub("[&<>\"\n]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
    ["\n"] = "&#10;" }))
end

local function junit(result)
  local failures = result.ok and 0 or 1
  local out = { '<?xml version="1.0" encoding="UTF-8"?>',
    ('<testsuite name="fastr rules check" tests="%d" failures="%d">'):format(#result.checks, failures) }
  for _, check in ipairs(result.checks) do
    local head = ('  <testcase name="%s" time="%.3f"'):format(escape(check.name), check.ms / 1000)
    out[#out + 1] = check.ok and head .. "/>"
      or ('%s><failure message="%s"/></testcase>'):format(head, escape(check.detail))
  end
  return table.concat(out, "\n") .. "\n</testsuite>"
end

local function show(result)
  for _, check in ipairs(result.checks) do
    if check.ok then
      print(("ok    %-30s %s   %d ms"):format(check.name, check.detail, check.ms))
    else
      io.stderr:write("FAIL  ", check.name, "\n", check.detail, "\n")
    end
  end
end

-- The pack that is compared with: the one that was named, the live one, or none.
local function parent_of(given)
  if given.parent then return packs.open(given.parent) end
  return (packs.open_live())
end

local function orders_of(given)
  if not given.shop and not given.orders then return {} end
  return recorded.all(given.orders)
end

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, { parent = true, orders = true, shop = false,
    json = false, junit = false })
  if not given then return nil, message end
  local parent, orders, wrong
  parent, wrong = parent_of(given)
  if not parent and wrong then return false, "--parent: " .. wrong end
  orders, wrong = orders_of(given)
  if not orders then return false, wrong end
  local result = gate.run(given.source or packs.folder(), parent, orders)
  if given.json then
    print(fastr.json.encode(result))
  elseif given.junit then
    print(junit(result))
  else
    show(result)
  end
  return result.ok
end

return M
