-- No service decides business: what is looked for in scripts/services, scripts/platform and scripts/lib is a price, a
-- fee, a rate, a limit or a status rule of their own. Decisions are made by rules, at their points.
--
-- The command line's tools (services/rules) show money and decide none; the test provider (services/provider) stands
-- for somebody else's machine: both are left out.

local lines_of = require("spec.support.shell").lines

-- ---- what is looked for -------------------------------------------------------------------------------------------

-- Words that name money or units; compared or reckoned with a number of one's own they are a decision.
local AMOUNTS = { "total", "amount", "price", "fee", "discount", "quantity", "units", "subtotal", "percent", "rate",
  "refund", "due", "spent", "orders_placed", "stock", "available" }
local STATUSES = { "placing", "placed", "paid", "fulfilling", "shipped", "delivered", "returned" }

-- Numbers that a service may have, and why none of them is a business decision. A new one must be put here.
local CONSTANTS = {
  time = "how long a machine waits, tries again, keeps or forgets: ^[%w_]*_MS$ ^[%w_]*_S$ ^[%w_]*_SECONDS$ ^KEEP",
  size = "how much is taken, kept or read at once: BATCH ROUNDS ATTEMPTS MOST_ERRORS MOST_HEADER MOST_OWN PAGE_BYTES "
    .. "SILENT_BATCH LOOK_UPS JOINS NOTE_TRIES BYTES ADDRESSES_MAX METHODS_MAX MOST_STRANGE MOST_CARDS "
    .. "FORM_BYTES CART_LENGTH",
  exact = "so that a sum stays exact: MOST_PRICE LARGEST",
  format = "of a mail, RFC 5322 and RFC 2047, or of a random code: LINE WORD CHARACTERS BITS",
  card = "a slip of the keyboard: YEARS_AHEAD",
  lock = "the name of an advisory lock: ^[%w_]*LOCK$",
  page = "how much a page shows, and from where on it says so: SHELVES FROM_EACH ON_PAGE FEW",
}

local function is_known(name)
  for _, why in pairs(CONSTANTS) do
    for word in why:match(": (.*)$"):gmatch("%S+") do
      if name == word or (word:find("%^") and name:find(word)) then return true end
    end
  end
  return false
end

local function code_of(text)
  return (text:gsub("%-%-[^\n]*", ""))
end

-- The line without what stands in its texts: a number there is not reckoned with.
local function without_texts(line)
  return (line:gsub('"[^"]*"', '""'):gsub("'[^']*'", "''"))
end

local look_for = {}

-- A number with a name: of which kind is it?
function look_for.constant(line)
  local names, values = line:match("^local ([%u][%u%d_, ]*) = ([%d].*)$")
  if not names then return nil end
  for name in names:gmatch("[%u%d_]+") do
    if not is_known(name) then return "a number of its own: " .. name .. " = " .. values end
  end
end

-- total >= 5000, price * 0.2, amount / 100
function look_for.amount(line)
  line = without_texts(line)
  for _, word in ipairs(AMOUNTS) do
    local named = "%f[%w_]" .. word .. "%f[^%w_]%)?%s*"
    local sign, number = line:match(named .. "([<>]=?)%s*([%d.]+)")
    if not sign then sign, number = line:match(named .. "([*/])%s*([%d.]+)") end
    if sign and number ~= "0" and number ~= "1" then return ("%s %s %s"):format(word, sign, number) end
    sign, number = line:match("([%d.]+)%s*([<>*]=?)%s*[%w_.]*" .. "%f[%w_]" .. word .. "%f[^%w_]")
    if sign and sign ~= "0" and sign ~= "1" then return ("%s %s %s"):format(sign, number, word) end
  end
end

-- A percentage, a share of something: 0.2, 1.5, / 100
function look_for.share(line)
  line = without_texts(line)
  local share = line:match("[%*/]%s*(%d*%.%d+)") or line:match("(%d*%.%d+)%s*%*") or line:match("/%s*(100)%f[%D]")
  return share and "a share: " .. share
end

-- Two of an order's statuses as from and to, in one line: { paid = { shipped = true } }, from == "paid" and to == ...
function look_for.transition(line)
  local found = {}
  for _, status in ipairs(STATUSES) do
    if line:find("[=~]=%s*[\"']" .. status .. "[\"']") or line:find("%f[%w]" .. status .. "%s*=%s*{") then
      found[#found + 1] = status
    end
  end
  if #found > 1 then return "from one status to another: " .. table.concat(found, ", ") end
end

-- Everything that is found in a text: list of "FILE:LINE: what".
local function findings(file, text)
  local found, number = {}, 0
  for line in (code_of(text) .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    for _, look in pairs(look_for) do
      local what = look(line)
      if what then found[#found + 1] = ("%s:%d: %s"):format(file, number, what) end
    end
  end
  table.sort(found)
  return found
end

-- What is found and is no business decision, and why.
local MEANT = {
  ["scripts/lib/mime.lua: a share: 100"] = "leap years",
  ["scripts/platform/cache.lua: a share: 0.2"] = "jitter of an expiry",
  ["scripts/platform/status.lua: a share: 100"] = "two digits of a number that is shown",
  ["scripts/services/cart/checkout.lua: from one status to another: placed, paid"] = "how a checkout ended well",
  ["scripts/services/notification/compose.lua: from one status to another: placing, placed"] = "was anything paid?",
}

local function files(...)
  return lines_of("find " .. table.concat({ ... }, " ") .. " -name '*.lua' | LC_ALL=C sort")
end

local function is_left_out(file)
  return file:find("^scripts/services/rules/") or file:find("^scripts/services/provider/")
end

local function read(file) return assert(fastr.files.read(file)) end

-- ---- the promises -------------------------------------------------------------------------------------------------

describe("what services have of their own", function()
  it("is no price, fee, rate, limit or status rule", function()
    local found = {}
    for _, file in ipairs(files("scripts/services", "scripts/platform", "scripts/lib")) do
      for _, each in ipairs(is_left_out(file) and {} or findings(file, read(file))) do
        if not MEANT[(each:gsub(":%d+:", ":", 1))] then found[#found + 1] = each end
      end
    end
    assert.same({}, found)
  end)

  it("is found where it is planted", function()
    for planted, what in pairs {
      ["local FREE_FROM = 5000"] = "a number of its own: FREE_FROM = 5000",
      ["local FEE, RATE = 395, 20"] = "a number of its own: FEE = 395, 20",
      ["if cart.total >= 5000 then fee = 0 end"] = "total >= 5000",
      ["if 50 < line.quantity then return end"] = "50 < quantity",
      ["local tax = price * 20"] = "price * 20",
      ["local off = sum * 0.1"] = "a share: 0.1",
      ["local off = sum / 100"] = "a share: 100",
      ["local NEXT = { paid = { shipped = true }, shipped = { delivered = true } }"] =
        "from one status to another: paid, shipped",
      ["if to == 'shipped' and from == 'paid' then return true end"] = "from one status to another: paid, shipped",
    } do
      assert.same({ "x.lua:1: " .. what }, findings("x.lua", planted), planted)
    end
    for _, harmless in ipairs { "-- free from 5000", "local BATCH = 50", "if refund > 0 then return end",
      "local LEASE_MS = 15000", 'if order.status == "placing" then return end' } do
      assert.same({}, findings("x.lua", harmless), harmless)
    end
  end)

  it("changes a status in one statement, which the rules allow first", function()
    local setting, moving = {}, {}
    for _, file in ipairs(files("scripts/services/order")) do
      local text = code_of(read(file))
      for _ in text:gmatch("update orders set[^%]]-%f[%w]status = %$") do setting[#setting + 1] = file end
      for _ in text:gmatch("store%.set_status%(") do moving[#moving + 1] = file end
    end
    assert.same({ "scripts/services/order/store.lua" }, setting)
    assert.same({ "scripts/services/order/transition.lua" }, moving)
  end)
end)

describe("the decision points", function()
  it("are asked by the services that the reference names, and there are no others", function()
    local asked = {}
    for _, file in ipairs(files("scripts/services")) do
      if not file:find("^scripts/services/rules/") then
        local service = file:match("^scripts/services/(%w+)/")
        for point in code_of(read(file)):gmatch("decide[%w_]*%(%s*\"([%w.]+)\"") do
          asked[point] = asked[point] or {}
          asked[point][service] = true
        end
      end
    end
    local expected = {}
    for point, services in read("docs/rules.md"):gmatch("\n| `(%l+%.%l+)` | `[%w/_.]+` | ([%l, ]+) |") do
      expected[point] = services ~= "rules" and {} or nil -- which asks of packs whatever it is told to
      for service in services:gmatch("%l+") do
        if expected[point] then expected[point][service] = true end
      end
    end
    assert.same(expected, asked)
    local count = 0
    for _ in pairs(asked) do count = count + 1 end
    assert.equal(9, count)
  end)
end)
