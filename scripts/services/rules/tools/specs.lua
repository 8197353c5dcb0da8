-- fastr rules specs: runs a pack's own specs, spec/*_spec.lua, with busted, and prints what came of them as JSON. The
-- gate starts it as a process of its own, with limits; it is no command for people and not in the help.
--
-- A spec asks for decisions of the pack that is checked, through the same sandbox as in production: `rules.decide`,
-- `rules.price`, `rules.entry` (docs/rules.md). Besides busted's words it can name what is in NAMES: no file, no
-- process, no socket, nothing that loads code.

local options = require "services.rules.options"
local packs = require "services.rules.packs"

local M = {}

M.usage = { "fastr rules specs DIR|sha256:HASH" }

local array = fastr.json.array

-- ---- what a spec can name -----------------------------------------------------------------------------------------

local NAMES = { "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawset", "select",
  "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", "math", "string", "table" }

local function copy_of(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, each in pairs(value) do copy[name] = each end
  return copy
end

local function names(rules)
  local set = { rules = rules, print = function(...)
    for i = 1, select("#", ...) do io.stderr:write(i > 1 and "\t" or "", tostring((select(i, ...)))) end
    io.stderr:write("\n")
  end }
  for _, name in ipairs(NAMES) do set[name] = copy_of(_G[name]) end
  set.string.dump = nil
  function set.getmetatable(value) -- that of texts is this process's own
    return type(value) ~= "string" and getmetatable(value) or nil
  end
  return set
end

-- ---- what a spec asks ---------------------------------------------------------------------------------------------

-- The lines of a cart in the form of examples: { SKU = { quantity, unit price [, category] } }, in the order of SKUs.
local function lines_of(cart)
  local lines = array {}
  for sku, line in pairs(cart) do
    lines[#lines + 1] = { sku = sku, quantity = line[1], unit_price = line[2], categories = array { line[3] },
      tax_category = line.tax, floor_price = line.floor }
  end
  table.sort(lines, function(a, b) return a.sku < b.sku end)
  return lines
end

local function api(pack)
  local rules = {}

  -- decision, info; or nil, message, code.
  function rules.decide(point, facts)
    return pack:decide(point, facts, { explain = "full" })
  end

  -- The decision of price.cart on a cart; `more`: further facts. Raises with why there is none.
  function rules.price(cart, more)
    local facts = { currency = "GBP", now = "2026-12-01T12:00:00Z", zone = "GB", lines = lines_of(cart) }
    for name, value in pairs(more or {}) do facts[name] = value end
    local decision, message = rules.decide("price.cart", facts)
    return decision or error(message, 2)
  end

  -- What became of a rule in a decision: its entry of the trace, or nil.
  function rules.entry(decision, rule)
    for _, entry in ipairs(decision.trace) do
      if entry.rule == rule then return entry end
    end
  end

  return rules
end

-- ---- running them -------------------------------------------------------------------------------------------------

-- busted's core, whose specs find in `set` what they find in no context of theirs: nothing of this process.
local function core(set)
  local path = assert(package.searchpath("busted.environment", package.path))
  local environment = assert(loadfile(path))
  setfenv(environment, setmetatable({ _G = set }, { __index = _G }))
  package.loaded["busted.environment"] = environment()
  local busted = require "busted.core"()
  require "busted"(busted)
  return busted
end

local function name_of(busted, element)
  local parts = { element.name }
  local above = busted.context.parent(element)
  while above and above.descriptor == "describe" do
    table.insert(parts, 1, above.name)
    above = busted.context.parent(above)
  end
  return table.concat(parts, " ")
end

-- Collects into `out` what holds and what does not.
local function listen(busted, out)
  busted.subscribe({ "test", "end" }, function(_, _, status)
    out.tests = out.tests + 1
    if status == "success" then out.held = out.held + 1 end
  end)
  for _, kind in ipairs { "failure", "error" } do
    busted.subscribe({ kind }, function(element, _, message)
      local is_test = element.descriptor == "it"
      out.failures[#out.failures + 1] = { name = is_test and name_of(busted, element) or element.name or "",
        message = tostring(message) }
    end)
  end
end

local function trace(_, info) return info end

-- Each spec file of the pack as a file of busted's.
local function add_files(busted, pack, out)
  local files = {}
  for name in pairs(pack:files()) do
    if name:find("^spec/.*_spec%.lua$") then files[#files + 1] = name end
  end
  table.sort(files)
  for _, name in ipairs(files) do
    local chunk, message = loadstring(pack:files()[name], "@" .. name, "t")
    if chunk then
      busted.executors.file(name, setmetatable({ getTrace = trace }, { __call = chunk }))
    else
      out.failures[#out.failures + 1] = { name = name, message = message }
    end
  end
  out.files = #files
end

local function run(pack)
  local out = { files = 0, tests = 0, held = 0, failures = array {} }
  local busted = core(names(api(pack)))
  listen(busted, out)
  add_files(busted, pack, out)
  require "busted.execute"(busted)(1, {})
  return out
end

function M.main(arguments)
  local given, message = options.read(arguments, { "source" }, {})
  if not given then return nil, message end
  local pack
  pack, message = packs.open(given.source)
  if not pack then return false, message end
  if not package.searchpath("busted.core", package.path) then
    print(fastr.json.encode { missing = "busted" })
    return true
  end
  print(fastr.json.encode(run(packs.with_all_on(pack))))
  return true
end

return M
