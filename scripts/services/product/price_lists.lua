-- price_lists: what a product costs instead of its list price, from a quantity on, to a group, in a zone, for a time:
-- checked before it is kept, for one product or for many at once. Which row counts for a line is for the rules to say.
--
-- A row is {price = {amount, currency}, min_quantity, max_quantity, customer_group, zone, from, to}.

local csv = require "lib.csv"
local problem = require "lib.problem"
local shape = require "lib.shape"
local store = require "services.product.store"

local M = {}

local BATCH = 50 -- products looked through at a time
local YEAR_1, YEAR_10000 = -62135596800000, 253402300800000 -- milliseconds since 1970
M.MOST_PRICE = 100000000000 -- minor units: a page of such products, or a full line of one, can still be added up
M.MOST_ROWS = 200           -- of one product
M.MOST_AT_ONCE = 5000       -- rows, of many

local units = shape.optional(shape.integer { min = 1, max = 9999, doc = "units of the line" })

local function row_shape(sku)
  return shape.object {
    sku = sku, price = shape.money { min = 0, max = M.MOST_PRICE, doc = "of one unit" },
    min_quantity = units, max_quantity = units,
    customer_group = shape.optional(shape.text { min = 1, max = 60, doc = "only for customers of this group" }),
    zone = shape.optional(shape.text { min = 1, max = 60, doc = "only where it is sent there" }),
    from = shape.optional(shape.text { format = "date-time" }),
    to = shape.optional(shape.text { format = "date-time", doc = "the moment belongs to it" }),
  }
end

M.row = row_shape()
local ROW_OF_MANY = row_shape(shape.text { min = 1, max = 64 })

local function given(value)
  if value == fastr.json.null then return nil end
  return value
end

-- A row of the store as staff gave it.
function M.shown(row)
  return { price = { amount = row.amount, currency = row.currency }, min_quantity = given(row.min_quantity),
    max_quantity = given(row.max_quantity), customer_group = given(row.customer_group), zone = given(row.zone),
    from = given(row.starts_at), to = given(row.ends_at) }
end

-- The same moment by UTC's clock, which every reader of the table takes; nil stays nil, false is beyond the years 1 to
-- 9999.
local function utc(time)
  if time == nil then return nil end
  local ms = fastr.text.time(time)
  return ms ~= nil and ms >= YEAR_1 and ms < YEAR_10000 and fastr.time.iso(ms)
end

-- ---- what is wrong with a list ------------------------------------------------------------------------------------

-- Equal for rows that hold for the same lines at the same times: only their amounts could tell them apart.
local function key_of(row)
  return table.concat({ row.price.currency, row.min_quantity or "", row.max_quantity or "", row.customer_group or "",
    row.zone or "", utc(row.from) or "", utc(row.to) or "" }, "\n")
end

-- The first row that ties with one before it: its place and an error; or nil. `name(i)`: what the i-th row is called.
local function tie(rows, name)
  local seen = {}
  for i, row in ipairs(rows) do
    local key = key_of(row)
    if seen[key] then
      return i, { field = "", problem = ("ties with %s: both are for the same lines at the same times")
        :format(name(seen[key])) }
    end
    seen[key] = i
  end
end

local function beyond(rows)
  for i, row in ipairs(rows) do
    for _, name in ipairs { "from", "to" } do
      if utc(row[name]) == false then return i, { field = name, problem = "is beyond the years 1 to 9999" } end
    end
  end
end

local function facts_of(row)
  return { currency = row.price.currency, amount = row.price.amount, min_quantity = row.min_quantity,
    max_quantity = row.max_quantity, rules = { customer_group = row.customer_group, zone = row.zone, from = row.from,
    to = row.to } }
end

-- What pricing has against the rows, in the same words; what cannot be priced is not kept. Or false and a problem if
-- the rules fail.
local function unpriceable(sku, rows)
  local facts = {}
  for i, row in ipairs(rows) do facts[i] = facts_of(row) end
  local decision, message, code = fastr.rules.decide("price.cart", { now = fastr.time.now(),
    currency = fastr.setting("shop.currency", "GBP"),
    lines = { { sku = sku, quantity = 1, unit_price = 0, prices = fastr.json.array(facts) } } })
  if decision then return nil end
  if code ~= "facts_invalid" then return false, problem.new(code, { detail = message }) end
  local number, field, text = message:match("^lines%[1%]%.prices%[(%d+)%]%.?([^:]*): (.*)$")
  if not number then return 1, { field = "", problem = message } end
  return tonumber(number), { field = (field:gsub("^rules%.?", "")), problem = text }
end

-- The place of the first wrong row and {field, problem}; nil: the rows can be a price list. False and a problem if the
-- rules fail.
local function first_wrong(sku, rows, name)
  local i, wrong = beyond(rows)
  if not i then i, wrong = tie(rows, name) end
  if not i then return unpriceable(sku, rows) end
  return i, wrong
end

-- Nil, or the problem with a product's price list as it came in a body: the row and the field are named.
function M.refusal(sku, rows)
  local function name(i) return ("rows[%d]"):format(i - 1) end
  local i, wrong = first_wrong(sku, rows, name)
  if i == nil then return nil end
  if i == false then return wrong end
  local path = name(i) .. (wrong.field ~= "" and "." .. wrong.field or "")
  return problem.new("validation", { detail = path .. ": " .. wrong.problem, errors = fastr.json.array { {
    ["in"] = "body", path = path, problem = wrong.problem } } })
end

-- ---- keeping ------------------------------------------------------------------------------------------------------

-- Puts the rows of each of the products ({sku, rows}), whose rows in the database are locked, in the place of its price
-- list. Returns the currencies whose prices may have changed: {[sku] = list}.
function M.replace(tx, products, now)
  local skus, kept, currencies = {}, {}, {}
  for i, product in ipairs(products) do
    skus[i], currencies[product.sku] = product.sku, {}
    for place, row in ipairs(product.rows) do
      kept[#kept + 1] = { sku = product.sku, place = place, currency = row.price.currency, amount = row.price.amount,
        min_quantity = row.min_quantity, max_quantity = row.max_quantity, customer_group = row.customer_group,
        zone = row.zone, starts_at = utc(row.from), ends_at = utc(row.to) }
      table.insert(currencies[product.sku], row.price.currency)
    end
  end
  for _, old in ipairs(store.put_price_rows(tx, skus, kept, now)) do
    table.insert(currencies[old.sku], old.currency)
  end
  return currencies
end

-- ---- many products at once ----------------------------------------------------------------------------------------

local NUMBERS = { amount = true, min_quantity = true, max_quantity = true }
local COLUMNS = { sku = true, currency = true, amount = true, min_quantity = true, max_quantity = true,
  customer_group = true, zone = true, from = true, to = true }

-- A record of a CSV file as a row; what stands for a number and is none stays a text, which the shape refuses.
local function row_of(names, record)
  local row, price = {}, {}
  for i, name in ipairs(names) do
    local text = record[i] or ""
    local value = text ~= "" and (NUMBERS[name] and text:find("^%d+$") and tonumber(text) or text) or nil
    if name == "amount" or name == "currency" then price[name] = value else row[name] = value end
  end
  row.price = price
  return row
end

local function malformed(text)
  return nil, problem.new("validation", { detail = "csv: " .. text, errors = fastr.json.array { {
    ["in"] = "body", path = "csv", problem = text } } })
end

-- The names in the first line; nil and what is wrong with them.
local function header(records)
  local names, seen = records[1], {}
  if not names then return nil, "its first line must name the columns" end
  for _, name in ipairs(names) do
    if not COLUMNS[name] then return nil, "there is no column " .. shape.shown(name) end
    if seen[name] then return nil, "the column " .. name .. " is there twice" end
    seen[name] = true
  end
  for _, name in ipairs { "sku", "currency", "amount" } do
    if not seen[name] then return nil, "the column " .. name .. " is missing" end
  end
  return names
end

-- The rows of a CSV text, and the line on which each begins; or nil and a problem.
function M.of_csv(text)
  local records, wrong = csv.records(text)
  if not records then return malformed(wrong) end
  local names
  names, wrong = header(records)
  if not names then return malformed(wrong) end
  local rows, numbers = {}, {}
  for i = 2, #records do
    if #records[i] ~= #names then
      return malformed(("line %d: %d fields, where the first line names %d"):format(records[i].line, #records[i],
        #names))
    end
    rows[i - 1], numbers[i - 1] = row_of(names, records[i]), records[i].line
  end
  if #rows > M.MOST_AT_ONCE then return malformed(("at most %d rows at once"):format(M.MOST_AT_ONCE)) end
  return rows, numbers
end

-- Tells of a row that was not taken: `report` is the list that is told, {row, sku, field, problem}.
local function tell(report, number, sku, field, text)
  report[#report + 1] = { row = number, sku = sku, field = field, problem = text }
end

-- Rows by product: list of {sku, rows, numbers, wrong (places of rows that are)}, in the order of sku. A row whose
-- shape is wrong is told, and spoils its product's list.
local function by_product(rows, numbers, report)
  local products, list = {}, {}
  for i, row in ipairs(rows) do
    local errors = ROW_OF_MANY.check(row)
    local sku = type(row) == "table" and type(row.sku) == "string" and row.sku or nil
    for _, each in ipairs(errors or {}) do tell(report, numbers[i], sku, each.path, each.problem) end
    if sku then
      local product = products[sku] or { sku = sku, rows = {}, numbers = {}, wrong = {} }
      if not products[sku] then products[sku], list[#list + 1] = product, product end
      table.insert(product.rows, row)
      table.insert(product.numbers, numbers[i])
      product.wrong[#product.rows] = errors and true or nil
      product.spoilt = product.spoilt or errors and numbers[i] or nil
    end
  end
  table.sort(list, function(a, b) return a.sku < b.sku end)
  return list
end

-- The product's list is not taken, because of its i-th row.
local function spoil(product, i, field, text, report)
  tell(report, product.numbers[i], product.sku, field, text)
  product.wrong[i], product.spoilt = true, product.numbers[i]
end

-- The rows of a spoilt list that are right themselves are told that they were not taken.
local function tell_others(product, report)
  for i, number in ipairs(product.numbers) do
    if not product.wrong[i] then
      tell(report, number, product.sku, "", ("not taken: row %d of this product is wrong"):format(product.spoilt))
    end
  end
end

-- Looks through a product's rows. True, or nil and a problem if the rules fail.
local function examine(product, report)
  if not product.spoilt and #product.rows > M.MOST_ROWS then
    spoil(product, M.MOST_ROWS + 1, "", ("a product has at most %d rows"):format(M.MOST_ROWS), report)
  end
  if not product.spoilt then
    local i, wrong = first_wrong(product.sku, product.rows, function(i)
      return ("row %d"):format(product.numbers[i])
    end)
    if i == false then return nil, wrong end
    if i then spoil(product, i, wrong.field, wrong.problem, report) end
  end
  if product.spoilt then tell_others(product, report) end
  return true
end

-- Looks through the rows of many products ({sku, and the fields of a row}; `numbers`: what each is called in the
-- report), letting others go on in between (waits). Returns the products that can have their new lists, {sku, rows,
-- numbers}, and the report; or nil and a problem if the rules fail.
function M.examine_many(rows, numbers)
  local report, good = {}, {}
  for i, product in ipairs(by_product(rows, numbers, report)) do
    local able, failed = examine(product, report)
    if not able then return nil, failed end
    if not product.spoilt then good[#good + 1] = product end
    if i % BATCH == 0 then fastr.time.sleep(0) end
  end
  return good, report
end

-- Replaces the price lists of `products` as they were examined; those that are not sold are told in the report. Returns
-- the changed products, the currencies as replace does, and the whole report in the order of the rows.
function M.replace_many(tx, products, examined)
  local skus, known, changed, report = {}, {}, {}, {}
  for i, each in ipairs(examined) do report[i] = each end
  for i, product in ipairs(products) do skus[i] = product.sku end
  for _, row in ipairs(store.lock_products(tx, skus)) do known[row.sku] = true end
  for _, product in ipairs(products) do
    if known[product.sku] then
      changed[#changed + 1] = product
    else
      for _, number in ipairs(product.numbers) do
        tell(report, number, product.sku, "sku", "there is no product " .. product.sku)
      end
    end
  end
  table.sort(report, function(a, b) return a.row < b.row end)
  return changed, M.replace(tx, changed, fastr.time.now()), report
end

return M
