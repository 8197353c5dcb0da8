-- cart.accept: may a cart be as a change would leave it? Quantities, the number of lines, the limits of
-- definitions/limits.lua, and what is in stock.

local facts_shape = require "price.facts"
local limits = require "cart.limits"
local shape = require "engine.shape"
local window = require "engine.window"

local MAX_LINES, MAX_QUANTITY = 1000, 9999

local fields = {}
for name, field in pairs(facts_shape.price.fields) do fields[name] = field end
fields.lines = shape.list(shape.object { sku = shape.text(), quantity = shape.integer(),
  unit_price = shape.optional(shape.count()),
  categories = shape.optional(shape.texts), tax_category = shape.optional(shape.text()),
  floor_price = shape.optional(shape.count()),
  prices = shape.optional(shape.list(facts_shape.price_row, { max = 1000 })) }, { max = 10000 })
fields.change = shape.optional(shape.any())
fields.stock = shape.optional(shape.map(shape.integer()))
fields.now = shape.optional(shape.time)

local function check_line(line, stock, problems)
  local function refuse(code, detail)
    problems[#problems + 1] = { sku = line.sku, code = code, detail = detail }
  end
  if line.quantity < 1 or line.quantity > MAX_QUANTITY then
    return refuse("quantity", ("A quantity is from 1 to %d"):format(MAX_QUANTITY))
  end
  local available = stock and (rawget(stock, line.sku) or 0)
  if available and line.quantity > available then
    refuse("stock", available > 0 and ("Only %d of %s are available"):format(available, line.sku)
      or ("%s is sold out"):format(line.sku))
  end
end

-- Only the lines of the change are held against the stock: taking something out is always allowed.
local function changed(facts)
  local change = facts.change
  if type(change) ~= "table" or type(change.lines) ~= "table" then return nil end
  local set = {}
  for _, line in ipairs(change.lines) do
    if type(line) == "table" and line.sku then set[line.sku] = true end
  end
  return set
end

-- Of the lines that a limit is about: the units of the largest, or of all of them, and the SKU of a changed one.
local function held(limit, facts, only)
  local units, sku = 0, nil
  for _, line in ipairs(facts.lines) do
    local is_changed = not only or rawget(only, line.sku)
    if limits.is_about(limit, line) and (limit.per == "cart" or is_changed) then
      units = limit.per == "cart" and units + line.quantity or math.max(units, line.quantity)
      if is_changed and (not sku or line.quantity == units) then sku = line.sku end
    end
  end
  return units, sku
end

local function check_limits(facts, only, problems)
  local now = window.time(facts.now, "now")
  for _, limit in ipairs(limits.list) do
    if limits.is_for(limit, facts, now) then
      local units, sku = held(limit, facts, only)
      if sku and units > limit.most then
        problems[#problems + 1] = { sku = sku, code = "limit", detail = limit.doc }
      end
    end
  end
end

local function decide(facts)
  local problems, only = {}, changed(facts)
  if #facts.lines > MAX_LINES then
    problems[1] = { sku = "", code = "lines", detail = ("A cart has at most %d lines"):format(MAX_LINES) }
  end
  for _, line in ipairs(facts.lines) do
    check_line(line, (not only or only[line.sku]) and facts.stock or nil, problems)
  end
  check_limits(facts, only, problems)
  return { accept = #problems == 0, problems = array(problems) }
end

return {
  doc = "May the cart be so? accept, or problems {sku, code, detail}.", file = "cart/accept",
  facts = shape.object(fields), needs = { "customer.group" }, decide = decide,
  answer = shape.object { accept = shape.boolean(), problems = shape.list(shape.object { sku = shape.text { min = 0 },
    code = shape.text(), detail = shape.text() }) },
  examples = {
    { "in stock", facts = { currency = "GBP", lines = { { sku = "A", quantity = 2 } }, stock = { A = 2 } },
      answer = { accept = true } },
    { "too many", facts = { currency = "GBP", lines = { { sku = "A", quantity = 3 } }, stock = { A = 2 } },
      answer = { accept = false, problems = { { sku = "A", code = "stock" } } } },
    { "beyond the limit", facts = { currency = "GBP", lines = { { sku = "A", quantity = 10000 } } },
      answer = { accept = false, problems = { { code = "quantity" } } } },
  },
}
