-- gate: what a pack must show before it prices anybody's cart. Each check is a name, whether it holds, what it found,
-- and how long it took; the first one that fails ends the list.

local carts = require "services.rules.carts"
local packs = require "services.rules.packs"
local report = require "services.rules.report"
local subjects = require "services.rules.subjects"
local words = require "services.rules.words"

local M = {}

local array = fastr.json.array

-- Against the parent a cart may cost a fifth more, or so many instructions: a promotion that is added costs some.
local DEARER, ROOM = 1.2, 500

-- ---- invariants -----------------------------------------------------------------------------------------------------

local function is_amount(value)
  return type(value) == "number" and value >= 0 and value % 1 == 0 and value < 9007199254740992
end

local AMOUNTS = { "items_total", "discount_total", "shipping_total", "shipping_discount_total", "tax_total",
  "tax_included_total", "total", "due" }

-- What no price may be, whatever the rules: nil, or what is wrong.
local function broken(decision)
  for _, name in ipairs(AMOUNTS) do
    if not is_amount(decision[name]) then return name .. " is " .. tostring(decision[name]) end
  end
  local lines, off = 0, 0
  for i, line in ipairs(decision.lines) do
    if not is_amount(line.total) then return ("line %d is %s"):format(i, tostring(line.total)) end
    lines, off = lines + line.total, off + line.item_discount + line.order_discount
  end
  if lines ~= decision.items_total - decision.discount_total or off ~= decision.discount_total then
    return "the lines do not add up to the items less the discount"
  end
  local sum = lines + decision.shipping_total - decision.shipping_discount_total + decision.tax_total
  if sum ~= decision.total then return ("the parts add up to %d, not to %d"):format(sum, decision.total) end
end

local function applied(decision)
  local sum = 0
  for _, entry in ipairs(decision.trace) do
    if entry.outcome == "applied" and entry.stage ~= "catalog" then sum = sum + entry.amount end
  end
  return sum
end

-- Every price of `list`: nil and the facts that show it if one is impossible, else what was decided: { made = list of
-- {decision, info}, instructions }.
local function hold(pack, list)
  local made, instructions = {}, 0
  for i, facts in ipairs(list) do
    local decision, info = pack:decide("price.cart", facts)
    if not decision then return nil, info, facts end
    local wrong = broken(decision)
    if not wrong and applied(decision) ~= decision.discount_total + decision.shipping_discount_total then
      wrong = "the trace does not add up to what was taken off"
    end
    if wrong then return nil, wrong, facts end
    made[i], instructions = { decision, info }, instructions + info.instructions
  end
  return { made = made, instructions = instructions }
end

-- ---- the checks -----------------------------------------------------------------------------------------------------

local checks = {}

local function check(name, run)
  checks[#checks + 1] = { name = name, run = run }
end

check("syntax, names, manifest", function(state)
  local pack, message = packs.open(state.source)
  if not pack then return nil, message end
  state.pack = pack
  local count = 0
  for _ in pairs(pack:files()) do count = count + 1 end
  return count .. " files"
end)

check("examples", function(state)
  local examples, message = packs.prove(state.pack, state.source)
  if not examples then return nil, message end
  return examples .. " hold"
end)

-- Holds in any case: the shop that runs may have categories that the data files have not.
check("categories", function(state)
  return subjects.line(state.pack) or "every one that is named has products"
end)

check("prices are possible", function(state)
  local found, wrong, facts = hold(state.pack, state.facts)
  if not found then return nil, wrong .. "; the cart: " .. fastr.json.canonical(facts) end
  state.found = found
  return ("%s carts: integers from 0, sums and trace agree"):format(words.count(#state.facts))
end)

-- Two states of LuaJIT hash texts with different seeds: what depends on the order of a table differs between them.
check("the same in another state", function(state)
  local twin, message = packs.open(state.source)
  if not twin then return nil, message end
  local found, wrong = hold(twin, state.facts)
  twin:close()
  if not found then return nil, wrong end
  for i, made in ipairs(found.made) do
    if fastr.json.canonical(made[1]) ~= fastr.json.canonical(state.found.made[i][1]) then
      return nil, "decides differently with another hash seed; the cart: " .. fastr.json.canonical(state.facts[i])
    end
  end
  return "under two hash seeds"
end)

check("cost", function(state)
  local each = state.found.instructions / #state.facts
  local text = words.count(math.floor(each + 0.5)) .. " instructions a cart"
  if not state.parent then return text end
  local before = hold(state.parent, state.facts)
  if not before then return text .. "; the parent cannot price them" end
  text = ("%s (%+.0f %%)"):format(text, (state.found.instructions / before.instructions - 1) * 100)
  local most = math.max(before.instructions * DEARER, before.instructions + ROOM * #state.facts)
  if state.found.instructions > most then
    return nil, ("%s: more than 20 %% (and %d instructions) above its parent"):format(text, ROOM)
  end
  return text
end)

check("placed orders", function(state)
  local tally, first = report.new(), #state.facts - #state.orders
  for i, order in ipairs(state.orders) do report.add(tally, order, nil, unpack(state.found.made[first + i])) end
  if #state.orders == 0 then return "none to compare with: --shop or --orders FILE brings them" end
  return report.line(tally)
end)

-- Runs the checks on the rules at `source` (a folder or a hash). `parent`: an opened pack that they come after, or nil;
-- `orders`: recorded ones, may be empty. { ok, hash, parent, checks = list of { name, ok, detail, ms } }.
function M.run(source, parent, orders)
  local state = { source = source, parent = parent, orders = orders, facts = carts.with(orders) }
  local out = { ok = true, checks = array {}, parent = parent and parent:hash() or nil }
  for _, each in ipairs(checks) do
    local began = fastr.time.unix_ms()
    local detail, wrong = each.run(state)
    table.insert(out.checks, { name = each.name, ok = detail ~= nil, detail = detail or wrong,
      ms = fastr.time.unix_ms() - began })
    out.ok = detail ~= nil
    if not out.ok then break end
  end
  out.hash = state.pack and state.pack:hash() or nil
  return out
end

return M
