-- gate: what a pack must show before it prices anybody's cart. Each check is a name, whether it holds, what it found,
-- and how long it took; the first one that fails ends the list. The report of a pack is kept under its hash (reports).

local carts = require "services.rules.carts"
local child = require "services.rules.child"
local golden = require "services.rules.golden"
local invariants = require "services.rules.invariants"
local packs = require "services.rules.packs"
local report = require "services.rules.report"
local specs = require "services.rules.specs"
local subjects = require "services.rules.subjects"
local words = require "services.rules.words"

local M = {}

local array = fastr.json.array

-- Against the parent a cart may cost a fifth more, or so many instructions: a promotion that is added costs some.
local DEARER, ROOM = 1.2, 500

-- Every price of `list`: nil, what is wrong and the facts that show it if one is impossible, else what was decided: {
-- made = list of {decision, info}, instructions }.
local function hold(pack, list)
  local made, instructions = {}, 0
  for i, facts in ipairs(list) do
    local decision, info = pack:decide("price.cart", facts)
    if not decision then return nil, info, facts end
    local wrong = invariants.broken(facts, decision)
    if wrong then return nil, wrong, facts end
    made[i], instructions = { decision, info }, instructions + info.instructions
  end
  return { made = made, instructions = instructions }
end

-- ---- the checks -----------------------------------------------------------------------------------------------------

local checks = {}

-- `run(state)` returns what it found, or nil and what is wrong. `quick`: so that a rule that was saved can go live.
local function check(name, run, quick)
  checks[#checks + 1] = { name = name, run = run, quick = quick or false }
end

check("syntax, names, manifest", function(state)
  local pack, message = packs.open(state.source)
  if not pack then return nil, message end
  state.pack, state.counts.files = pack, 0
  for _ in pairs(pack:files()) do state.counts.files = state.counts.files + 1 end
  return state.counts.files .. " files"
end, true)

check("examples", function(state)
  local examples, message = packs.prove(state.pack, state.source)
  if not examples then return nil, message end
  state.counts.examples = examples
  return examples .. " hold"
end, true)

-- Holds in any case: the shop that runs may have categories that the data files have not.
check("categories", function(state)
  return subjects.line(state.pack) or "every one that is named has products"
end)

check("specs", function(state)
  local held, files = specs.run(state.source)
  if not held then return nil, files end
  state.counts.specs = held
  return held == 0 and "none: fastr rules new makes a rule with its spec"
    or ("%d in %d %s hold"):format(held, files, files == 1 and "file" or "files")
end)

local function shown(wrong, facts)
  return wrong .. "; the cart: " .. fastr.json.canonical(facts)
end

check("invariants", function(state)
  local found, wrong, facts = hold(state.pack, state.facts)
  if not found then return nil, shown(wrong, facts) end
  state.found, state.counts.carts = found, state.made_up
  for i = 1, state.made_up do
    wrong = invariants.ordered(state.pack, state.facts[i], found.made[i][1])
    if wrong then return nil, shown(wrong, state.facts[i]) end
  end
  return ("%s carts: whole amounts, sums and trace agree, no order of lines"):format(words.count(#state.facts))
end)

-- The facts in a file, one a line, for another process.
local function written(list)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for _, facts in ipairs(list) do file:write(fastr.json.encode(facts), "\n") end
  file:close()
  return path
end

local function decided_elsewhere(source, list)
  local path = written(list)
  local said = child.run(child.command({ "decide", "price.cart", "--lines", "--explain", "applied", "--pack", source },
    "<" .. child.quoted(path)))
  os.remove(path)
  return said:gmatch("[^\n]+")
end

-- Each process of LuaJIT hashes texts with a seed of its own, and lays its memory out anew: what depends on the order
-- of a table or on an address differs between them.
check("two hash seeds", function(state)
  local next_line = decided_elsewhere(state.source, state.facts)
  for i, made in ipairs(state.found.made) do
    made[1].pack = state.pack:hash()
    local line = next_line()
    if not line then return nil, "the other process has not decided all carts" end
    if line ~= fastr.json.canonical(made[1]) then
      return nil, shown("decides differently in another process", state.facts[i])
    end
  end
  return ("%s carts are the same in two processes"):format(words.count(#state.facts))
end)

check("cost", function(state)
  local counts, number = state.counts, math.max(1, #state.facts)
  counts.instructions = math.floor(state.found.instructions / number + 0.5)
  local text = words.count(counts.instructions) .. " instructions a cart"
  if not state.parent then return text end
  local before = hold(state.parent, state.facts)
  if not before then return text .. "; the parent cannot price them" end
  counts.parent_instructions = math.floor(before.instructions / number + 0.5)
  text = ("%s (%+.0f %%)"):format(text, (state.found.instructions / before.instructions - 1) * 100)
  local most = math.max(before.instructions * DEARER, before.instructions + ROOM * #state.facts)
  if state.found.instructions <= most then return text end
  if state.dearer then return text .. ", taken in: " .. state.dearer end
  return nil, ("%s: more than 20 %% (and %d instructions) above its parent; --dearer REASON takes it in"):format(text,
    ROOM)
end)

-- Carts whose price somebody wants to know of when it changes.
check("golden carts", function(state)
  local tally, message = golden.compare(packs.with_all_on(state.pack), state.meant)
  if not tally then return nil, message end
  if tally.changed == 0 and tally.failed == 0 then return words.count(tally.orders) .. " cost what they did" end
  local lines = { report.line(tally, "golden cart") }
  for _, list in ipairs { tally.dearer, tally.cheaper, tally.otherwise } do
    for _, change in ipairs(list) do lines[#lines + 1] = "  " .. report.one(change) end
  end
  lines[#lines + 1] = "if that is meant: fastr rules accept"
  return nil, table.concat(lines, "\n")
end)

check("recorded orders", function(state)
  local tally, first = report.new(), #state.facts - #state.orders
  for i, order in ipairs(state.orders) do report.add(tally, order, nil, unpack(state.found.made[first + i])) end
  state.counts.orders, state.counts.orders_changed = #state.orders, tally.changed
  if #state.orders == 0 then return "none to compare with: --shop or --orders FILE brings them" end
  return report.line(tally)
end)

-- ---- the gate -------------------------------------------------------------------------------------------------------

local function one(each, state)
  local began = fastr.time.unix_ms()
  local detail, wrong = each.run(state)
  return { name = each.name, ok = detail ~= nil, detail = detail or wrong, ms = fastr.time.unix_ms() - began }
end

local function state_of(source, options)
  local orders = options.orders or {}
  local facts = carts.with(orders)
  return { source = source, parent = options.parent, dearer = options.dearer, orders = orders, facts = facts,
    meant = options.is_meant and options.parent and packs.with_all_on(options.parent) or nil,
    made_up = #facts - #orders, counts = {} }
end

-- Runs the checks on the rules at `source` (a folder or a hash). `options`: parent, an opened pack that they come
-- after; is_meant, whether what that makes of the golden carts was meant; orders, recorded ones; dearer, the reason
-- why they may cost more than a fifth more than the parent. The report: { ok, hash (nil if it does not build), parent,
-- made_at, checks = list of { name, ok, detail, ms }, counts = {files, examples, specs, carts, orders, orders_changed,
-- instructions, parent_instructions}, as far as it came, dearer }.
function M.run(source, options)
  local state = state_of(source, options or {})
  local out = { ok = true, checks = array {}, parent = state.parent and state.parent:hash() or nil,
    made_at = fastr.time.now(), dearer = state.dearer, counts = state.counts }
  for _, each in ipairs(checks) do
    local result = one(each, state)
    table.insert(out.checks, result)
    out.ok = result.ok
    if not out.ok then break end
  end
  out.hash = state.pack and state.pack:hash() or nil
  return out
end

return M
