-- invariants: what every price is, whatever the rules: whole amounts from 0, nothing dearer than by the list, the sum
-- of the trace what was taken off, and the same for the same cart in another order.

local M = {}

local array = fastr.json.array

local function is_amount(value)
  return type(value) == "number" and value >= 0 and value % 1 == 0 and value < 9007199254740992
end

local AMOUNTS = { "items_total", "discount_total", "shipping_total", "shipping_discount_total", "tax_total",
  "tax_included_total", "total", "due" }

-- What the lines cost by the facts, before any rule; nil where a price table says it.
local function by_the_list(facts)
  local sum = 0
  for _, line in ipairs(facts.lines) do
    if line.prices then return nil end
    sum = sum + line.quantity * line.unit_price
  end
  return sum
end

local function applied(decision, catalogue)
  local sum = 0
  for _, entry in ipairs(decision.trace) do
    if entry.outcome == "applied" and (entry.stage == "catalog") == catalogue then sum = sum + entry.amount end
  end
  return sum
end

local function wrong_amount(decision)
  for _, name in ipairs(AMOUNTS) do
    if not is_amount(decision[name]) then return name .. " is " .. tostring(decision[name]) end
  end
  for i, line in ipairs(decision.lines) do
    if not is_amount(line.total) then return ("line %d is %s"):format(i, tostring(line.total)) end
  end
end

local function wrong_sum(facts, decision)
  local lines, off = 0, 0
  for _, line in ipairs(decision.lines) do
    lines, off = lines + line.total, off + line.item_discount + line.order_discount
  end
  if lines ~= decision.items_total - decision.discount_total or off ~= decision.discount_total then
    return "the lines do not add up to the items less the discount"
  end
  local sum = lines + decision.shipping_total - decision.shipping_discount_total + decision.tax_total
  if sum ~= decision.total then return ("the parts add up to %d, not to %d"):format(sum, decision.total) end
  local list = by_the_list(facts)
  if list and decision.items_total > list then return "the items cost more than by the list" end
  if list and list - decision.items_total ~= applied(decision, true) then
    return "the trace does not add up to what the catalogue's rules took off"
  end
end

local function wrong_trace(decision)
  if applied(decision, false) ~= decision.discount_total + decision.shipping_discount_total then
    return "the trace does not add up to what was taken off"
  end
end

-- What no price may be: nil, or what is wrong with this one.
function M.broken(facts, decision)
  return wrong_amount(decision) or wrong_sum(facts, decision) or wrong_trace(decision)
end

-- The same cart, its last line first.
local function reversed(facts)
  local other = {}
  for name, value in pairs(facts) do other[name] = value end
  other.lines = array {}
  for i, line in ipairs(facts.lines) do other.lines[#facts.lines - i + 1] = line end
  return other
end

-- Does the total depend on the order of the lines? nil, or how.
function M.ordered(pack, facts, decision)
  if #facts.lines < 2 then return nil end
  local other, message = pack:decide("price.cart", reversed(facts))
  if not other then return message end
  if other.total == decision.total then return nil end
  return ("costs %d, and %d with its lines in the other order"):format(decision.total, other.total)
end

return M
