-- docs/rules.md and docs/api.lua against the code: everything a rule can name is in both, and nothing else is.

local shell = require "spec.support.shell"

local function read(path) return assert(fastr.files.read(path)) end

-- Within the pack, told as the answer of one more decision point.
local PROBE = [[
local rule, offers = require "price.rule", require "price.offers"
local conditions, facts = require "price.conditions", require "price.facts"
local actions = require "price.actions"

local function keys(of)
  local list = {}
  for name in pairs(of) do list[#list + 1] = tostring(name) end
  return array(list)
end

local function each(of, read)
  local out = {}
  for name, value in pairs(of) do out[name] = read(value) end
  return out
end

local answer = { words = keys(rule.words), fields = keys(rule.fields), examples = keys(rule.example_fields),
  takes = offers.takes, offers = keys(offers.methods), conditions = keys(facts.conditions.fields),
  ordered = array(conditions.order), promotion = keys(facts.promotion.fields), actions = keys(actions),
  facts = each(points, function(point) return keys(point.facts.fields) end), needed = array(rule.needed),
  files = each(points, function(point) return point.file or "" end),
  answers = each(points, function(point) return keys(point.answer and point.answer.fields or {}) end) }
points.reference = { doc = "", facts = { kind = "object", fields = {} }, decide = function() return answer end }

return {
]]

local code, shop

setup(function()
  shop = assert(fastr.rules.open("scripts/rules"))
  local init = shop:files()["init.lua"]
  local at = assert(init:find("\nreturn {\n", 1, true))
  local probe = assert(shop:with("init.lua", init:sub(1, at) .. PROBE .. init:sub(at + 10)))
  code = assert(probe:decide("reference", {}))
  probe:close()
end)

local HELPERS = { select = true, categories = true, lines_meant = true } -- of price/words.lua, for the pack itself

-- ---- what C gives rules -------------------------------------------------------------------------------------------

-- The texts in an array of C that is declared by `name`.
local function names_in(path, name)
  local body = assert(read(path):match("%f[%w_]" .. name .. "%[%] = {(.-)};"), path .. " has no " .. name)
  local list = {}
  for each in body:gmatch('"(.-)"') do list[#list + 1] = each end
  return list
end

local ENV = "runtime/sandbox_env.c"

local function joined(...)
  local list = {}
  for _, part in ipairs { ... } do
    for _, each in ipairs(part) do list[#list + 1] = each end
  end
  return list
end

local function libraries()
  return {
    [""] = joined(names_in(ENV, "base_names"), names_in(ENV, "own_base")),
    math = names_in(ENV, "math_names"), table = names_in(ENV, "table_charged"),
    string = joined(names_in(ENV, "string_names"), names_in(ENV, "string_charged"), { "rep", "format" }),
    pack = names_in(ENV, "own_pack"), text = names_in("bindings/text.c", "functions"),
    money = joined(names_in("bindings/money.c", "functions"), { "max", "ledger" }),
  }
end

-- ---- what the pages say -------------------------------------------------------------------------------------------

-- The names at the beginning of the rows of the table whose head begins with `head`: `a`, `b(x)`, `c { y }`.
local function rows(head)
  local page, list = read("docs/rules.md"), {}
  local from = select(2, page:find("\n| " .. head, 1, true))
  assert(from, "docs/rules.md has no table that begins with '" .. head .. "'")
  local body = page:sub(from):match("\n|%-.-\n(.-)\n\n")
  for row in (body .. "\n"):gmatch("| (.-) |[^\n]*\n") do
    for name in row:gmatch("`([%w_.]+)[^`]*`") do list[#list + 1] = name end
  end
  return list
end

-- The arguments that a row of the table of offers names: name -> true.
local function arguments_in_page(offer)
  local told = read("docs/rules.md"):match("\n| `" .. offer .. " {(.-)}` |") or ""
  local set = {}
  for name in told:gmatch("[%w_]+") do set[name] = true end
  return set
end

local api -- lines of docs/api.lua

local function api_functions(owner)
  local list = {}
  for name in api:gmatch("\nfunction " .. owner .. "([%w_]+)%(") do list[#list + 1] = name end
  return list
end

-- The fields of a class: name -> whether it is needed.
local function api_fields(class)
  local set = {}
  local body = assert(api:match("\n%-%-%-@class " .. class .. "%f[^%w_][^\n]*\n(.-)\n[^-]"), "no class " .. class)
  for name, optional in (body .. "\n"):gmatch("%-%-%-@field ([%w_%[%]]+)(%??)") do
    set[name:match("[^%[%]]+")] = optional == ""
  end
  return set
end

-- What an offer takes by its annotation: name -> whether it is needed.
local function api_arguments(offer)
  local told = api:match("%-%-%-@param how%?? ([^\n]+)\nfunction Cart:" .. offer .. "%(")
  local class = told and told:match("^%u%a+")
  if class then return api_fields(class) end
  local set = {}
  for name, optional in (told and told:match("^%b{}") or ""):gmatch("([%w_]+)(%??):") do set[name] = optional == "" end
  return set
end

local function keys(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  return list
end

local function sorted(list, without)
  local out = {}
  for _, name in ipairs(list) do
    if not (without and without[name]) then out[#out + 1] = name end
  end
  table.sort(out)
  return out
end

-- Both lists have the same names, each once.
local function agree(expected, actual, without)
  assert.same(sorted(expected, without), sorted(actual, without))
end

local function contains_all(list, page, what)
  for _, name in ipairs(list) do assert.truthy(page:find(name, 1, true), what .. " " .. name) end
end

-- ---- the promises -------------------------------------------------------------------------------------------------

describe("docs/rules.md", function()
  it("has every field of a rule and of an example", function()
    agree(code.fields, rows "field |")
    agree(code.examples, joined(rows "example |", { "1" }))
  end)

  it("has every word", function()
    agree(code.words, joined(rows "word | lines", rows "word | holds", { "rule", "tier" }), HELPERS)
    assert.truthy(read("docs/rules.md"):find("`tier(", 1, true))
  end)

  it("has every offer with all its arguments, and what can be read of a cart", function()
    agree(joined(code.offers, { "customer", "zone", "now", "shipping" }),
      joined(rows "on `cart` | takes off", rows "on `cart` | is"))
    for offer, takes in pairs(code.takes) do
      agree(keys(takes), keys(arguments_in_page(offer)))
    end
  end)

  it("has every field, condition and action of promotions that are data", function()
    local section = read("docs/rules.md"):match("\n## Promotions as data\n(.-)\n## ")
    agree(code.conditions, rows "condition | value")
    agree(code.conditions, code.ordered)
    contains_all(code.promotion, section, "field")
    contains_all(code.actions, section, "action")
    local told = section:match("`scripts/rules/price/actions/`:(.-)%. The same")
    local list = {}
    for name in told:gmatch("`([%w_]+)`") do list[#list + 1] = name end
    agree(code.actions, list)
  end)

  it("has every field of every answer, and who asks", function()
    local sold = assert(shop:decide("price.cart", { currency = "GBP", now = "2026-11-23T12:00:00Z",
      lines = { { sku = "A", quantity = 1, unit_price = 100 } } }))
    sold.pack = nil
    code.answers["price.cart"] = keys(sold)
    for point, fields in pairs(code.answers) do
      local row = assert(read("docs/rules.md"):match("\n(| `" .. point .. "`[^\n]*)"))
      local answer = row:match("| ([^|]+) |$")
      for _, name in ipairs(fields) do
        assert.truthy(answer:find("`" .. name .. "`", 1, true), ("%s answers %s"):format(point, name))
      end
      for service in row:match("^|[^|]+|[^|]+|([^|]+)|"):gmatch("%l+") do
        local asked = shell.must("grep -rl '\"" .. point .. "\"' scripts/services/" .. service)
        assert.truthy(asked ~= "", service .. " does not ask " .. point)
      end
    end
  end)

  it("names no function of a ledger that there is none of, and every one that gives", function()
    local section = read("docs/rules.md"):match("\n| `cart.ledger` |.-\n|%-.-\n(.-)\n\n")
    local known, told = {}, {}
    for _, name in ipairs(names_in("bindings/ledger.c", "methods")) do known[name] = true end
    for name in section:gmatch("([%w_]+)%(") do
      told[name] = true
      assert.is_true(known[name], "a ledger has no " .. name)
    end
    for _, file in ipairs(assert(fastr.files.list("scripts/rules/price/actions"))) do
      for name in read("scripts/rules/price/actions/" .. file):gmatch("ledger:([%w_]+)%(") do
        assert.is_true(told[name], file .. " uses " .. name)
      end
    end
  end)

  it("has an example of each decision point, which is answered so", function()
    local seen = {}
    for block in read("docs/rules.md"):gmatch("\n```json\n(\"[%l.]+\": .-)\n```") do
      local example = assert(fastr.json.decode("{" .. block:gsub('\n"answer":', ',\n"answer":') .. "}"))
      local answer = example.answer
      example.answer = nil
      local point, facts = next(example)
      local decision = assert(shop:decide(point, facts, { explain = "full" }))
      decision.pack = nil
      assert.equal(fastr.json.canonical(answer), fastr.json.canonical(decision), point)
      seen[#seen + 1] = point
    end
    agree(keys(code.facts), seen)
  end)

  it("has every decision point with its facts", function()
    local in_price = {}
    for _, name in ipairs(code.facts["price.cart"]) do in_price[name] = true end
    agree(keys(code.facts), rows "point |")
    for point, fields in pairs(code.facts) do
      local row = assert(read("docs/rules.md"):match("\n(| `" .. point .. "`[^\n]*)"))
      local known = row:find("| as ", 1, true) and in_price or {}
      for _, name in ipairs(fields) do
        assert.truthy(known[name] or row:find("`" .. name .. "`", 1, true), ("%s %s"):format(point, name))
      end
    end
  end)

  it("has every name of the sandbox", function()
    local section = read("docs/rules.md"):match("\n## What a rule has\n(.-)\n## ")
    for library, names in pairs(libraries()) do
      assert.truthy(section:find("`" .. library, 1, true), library)
      for _, name in ipairs(names) do
        assert.truthy(section:find("[`(]" .. name .. "%f[^%w_]"), library .. "." .. name .. " is missing")
      end
    end
  end)

  it("prints a first rule that holds", function()
    local text = assert(read("docs/rules.md"):match("\n```lua\n(return rule {.-\n}\n)```"))
    local pack = assert(shop:with("promotions/mugs.lua", text))
    assert.is_true(assert(pack:prove()) > assert(shop:prove()))
  end)

  it("lists every verb of fastr rules that decides, and no other", function()
    local help = shell.must("bin/fastr rules --help")
    for verb in read("docs/rules.md"):gmatch("`fastr rules (%l+)") do
      assert.truthy(("\n" .. help):find("\nfastr rules " .. verb .. "%f[%W]"), "there is no fastr rules " .. verb)
    end
  end)
end)

describe("docs/api.lua", function()
  setup(function() api = read("docs/api.lua") end)

  it("is Lua, and begins as annotations do", function()
    assert.truthy(loadstring(api))
    assert.equal("---@meta", api:match("^[^\n]*"))
  end)

  it("has every word and global of its own", function()
    agree(joined(code.words, { "array", "refuse" }), api_functions "", HELPERS)
  end)

  it("has every field of a rule and of an example, needed where they are", function()
    local fields = api_fields "Rule"
    agree(code.fields, keys(fields))
    for name, needed in pairs(fields) do
      local found = false
      for _, each in ipairs(code.needed) do found = found or each == name end
      assert.equal(found, needed, name)
    end
    agree(code.examples, keys(api_fields "Example"))
  end)

  it("has every offer, with what it takes, needed where it is", function()
    agree(code.offers, api_functions "Cart:")
    for offer, takes in pairs(code.takes) do assert.same(takes, api_arguments(offer), offer) end
  end)

  it("has every function of pack, money and text", function()
    local all = libraries()
    agree(all.pack, api_functions "pack%.")
    agree(all.text, api_functions "text%.")
    agree(all.money, joined(api_functions "money%.", { "max" }))
    assert.truthy(api:find("\nmoney.max = ", 1, true))
  end)
end)
