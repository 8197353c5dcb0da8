-- Every mistake in a pack is shown with its file, line and column, a caret below it, and the likely cure.
local places = require "services.rules.places"
local shell = require "spec.support.shell"

local RULE, DEFINITIONS = "promotions/three_for_two_candles.lua", "definitions/promotions.lua"

local shop = assert(fastr.rules.open("scripts/rules"))

-- `file` of the shop's pack with the plain text `from` replaced by `to`, as what is wrong with it is shown: the
-- message, and what is above the caret.
local function shown(file, from, to)
  local text = shop:files()[file]
  local at, stop = text:find(from, 1, true)
  assert(at, "no " .. from)
  text = text:sub(1, at - 1) .. to .. text:sub(stop + 1)
  local pack, message = shop:with(file, text)
  if pack then pack, message = pack:prove() end
  assert.is_nil(pack, to .. " holds")
  local named, number, what = message:match("^([%w_/]+%.lua):(%d+): (.*)$")
  assert.equal(file, named, message)
  local path = os.tmpname()
  shell.write(path, text)
  local said = assert(places.shown(path, tonumber(number), what), message)
  os.remove(path)
  local first, line, caret = said:match("^[^:]+:%d+:%d+: ([^\n]*)\n *%d+ | ([^\n]*)\n *| ([^\n]*)")
  local before, mark = caret:match("^(%s*)(%^~*)")
  return first, line:sub(#before + 1, #before + #mark), said
end

local function points_at(file, from, to, above, expected)
  local first, marked = shown(file, from, to)
  assert.equal(above, marked, first)
  assert.truthy(first:find(expected, 1, true), first)
end

describe("a mistake in a rule points at", function()
  for name, case in pairs {
    ["a field's wrong type"] = { 'stage = "item"', 'stage = "item", priority = "high"', "priority",
      "is a number, not a string" },
    ["an unknown field"] = { "apply =", "aply =", "aply", "did you mean 'apply'?" },
    ["an unknown stage"] = { '"item"', '"itm"', "itm", "did you mean 'item'?" },
    ["a helper that got a number for a text"] = { 'category "lighting/candles"', "category(5)", "category",
      "takes texts, not a number" },
    ["a helper that got a text for its subject"] = { 'at_least(3, category "lighting/candles")',
      'at_least(3, "lighting/candles")', "at_least", 'of what? category "..."' },
    ["an offer that got a text for a number"] = { "every = 3", 'every = "three"', "every",
      "is a number, not a string" },
    ["an offer's unknown argument"] = { "every = 3", "evry = 3", "evry", "did you mean 'every'?" },
    ["an offer that there is not"] = { "cheapest_free", "cheapest_fre", "cheapest_fre",
      "did you mean 'cheapest_free'?" },
    ["an offer that is not told by name"] = { "cart:cheapest_free {", "cart:percent_off(10) cart:cheapest_free {",
      "percent_off", "is told by name" },
    ["a percentage of more than all"] = { "cart:cheapest_free {",
      "cart:percent_off { percent = 120 } cart:cheapest_free {", "percent_off", "from 0 to 100" },
    ["what is no condition"] = { "when = {", "when = { {},", "when", "is not a condition" },
    ["an example's unknown field"] = { "total = 200", "totl = 200", "totl", "did you mean 'total'?" },
  } do
    it(name, function() points_at(RULE, unpack(case)) end)
  end

  it("the line in which `apply` raises, with all of it", function()
    local first, marked = shown(RULE, "function(cart) ", "function(cart) error 'I am tired' ")
    assert.equal("I am tired", first)
    assert.truthy(marked:find("^apply = function%(cart%) error 'I am tired' "))
  end)

  it("the example that costs something else, and says line by line and of the rule what happened", function()
    local first, marked, said = shown(RULE, "every = 3", "every = 2")
    assert.equal("example 2 (six candles, two free): total is 300, expected 400", first)
    assert.truthy(marked:find('^{ "six candles, two free"'))
    assert.truthy(said:find("\n    CANDLE  6 x 100  300\n    three_for_two_candles  applied -300", 1, true), said)
    said = select(3, shown(RULE, "at_least(3", "at_least(7"))
    assert.truthy(said:find("not applied: at_least 7 of lighting/candles: has 6, needs 7", 1, true), said)
  end)
end)

describe("a mistake in a definition points at", function()
  for name, case in pairs {
    ["an unknown field of the entry that is meant"] = { 'coupon = "WELCOME"', 'copon = "WELCOME"', "copon",
      "did you mean 'coupon'?" },
    ["an unknown condition"] = { "min_items_total", "min_item_total", "min_item_total",
      "did you mean 'min_items_total'?" },
    ["an unknown action"] = { "order_percent", "order_percnt", "order_percnt", "did you mean 'order_percent'?" },
    ["a value that is none"] = { "value = 10", 'value = "ten"', "value", "a percentage from 0 to 100" },
    ["a time that is none"] = { "2026-11-01T", "2026-13-01T", "2026-13-01T00:00:00Z", "is not a date-time" },
    ["a name that is taken"] = { '"welcome"', '"ten_off_over_150"', "ten_off_over_150", "there is another promotion" },
  } do
    it(name, function() points_at(DEFINITIONS, unpack(case)) end)
  end
end)
