-- The storefront's texts, pictures and templates: what can be known of them without a shop.

local art = require "services.storefront.art"
local words = require "services.storefront.words"

local function lines_of(command)
  local pipe, list = assert(io.popen(command)), {}
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

local function texts_of(language)
  return require("services.storefront.texts." .. language)
end

-- The names of {places} in a text, sorted.
local function places(text)
  local list = {}
  for name in text:gmatch("{(%w+)}") do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, " ")
end

describe("the texts", function()
  it("say the same things in every language", function()
    local english, german = texts_of "en", texts_of "de"
    for key, text in pairs(english) do
      assert.equal(type(text), type(german[key]), key)
      if type(text) == "string" then assert.equal(places(text), places(german[key]), key) end
    end
    for key in pairs(german) do assert.truthy(english[key], key) end
  end)

  it("are all there where a template names one", function()
    local named = lines_of "cat scripts/services/storefront/pages/*.html | grep -o '{{t\\.[a-z_0-9]*}}' | sort -u"
    assert.truthy(#named > 50)
    for _, tag in ipairs(named) do assert.truthy(texts_of("en")[tag:match("t%.([%l_%d]+)")], tag) end
  end)

  it("are all used", function()
    local room = "scripts/services/storefront/"
    local used = table.concat(lines_of("cat " .. room .. "*.lua " .. room .. "pages/*.html"), "\n")
    for key in pairs(texts_of "en") do
      local family = key:match("^(notice)_") or key:match("^(status)_") or key:match("^(history)_")
      assert.truthy(family or used:find(key, 1, true), key .. " is used nowhere")
    end
  end)
end)

describe("money and days", function()
  it("are written as each language does", function()
    local function both(amount, currency)
      local money = { amount = amount, currency = currency }
      return words.money("en", money) .. " / " .. words.money("de", money)
    end
    assert.equal("£1,234.50 / 1.234,50 £", both(123450, "GBP"))
    assert.equal("-£0.05 / -0,05 £", both(-5, "GBP"))
    assert.equal("¥500 / 500 ¥", both(500, "JPY"))
    assert.equal("1,000,000.125 KWD / 1.000.000,125 KWD", both(1000000125, "KWD"))
    assert.equal("23 November 2026", words.day("en", "2026-11-23T10:00:00Z"))
    assert.equal("1. März 2026", words.day("de", "2026-03-01T10:00:00Z"))
  end)
end)

describe("a price", function()
  local show = require "services.storefront.show"

  it("is said to have been higher only where it was: beside the lowest of the 30 days before", function()
    local function pound(amount) return { amount = amount, currency = "GBP" } end
    local product = { sku = "A", name = "THING", available = 1, price = pound(400), list_price = pound(500),
      lowest_price_30d = pound(450) }
    local shown = show.product("en", product)
    assert.is_truthy(shown.was)
    assert.is_truthy(shown.lowest)
    product.lowest_price_30d = fastr.json.null -- reduced from its first day
    shown = show.product("en", product)
    assert.same({ false, false }, { shown.was, shown.lowest })
  end)
end)

describe("a picture", function()
  local names = lines_of "tail -n +2 data/retail-products.csv | cut -d, -f2"

  it("is drawn for every product, the same each time, and is well-formed", function()
    assert.truthy(#names > 3000)
    for _, name in ipairs(names) do
      local drawing = art.draw(name)
      assert.equal(drawing, art.draw(name))
      local open, closed = 0, 0
      for _ in drawing:gmatch("<%a") do open = open + 1 end
      for _ in drawing:gmatch("/[%a]*>") do closed = closed + 1 end
      assert.equal(open, closed, name)
      assert.is_nil(drawing:find("nan", 1, true))
    end
  end)

  it("is of the thing that is named, in the colour that is named", function()
    assert.truthy(art.draw("RED MUG"):find("#c8372d", 1, true))
    assert.are_not.equal(art.draw("RED MUG"), art.draw("RED CLOCK"))
    assert.are_not.equal(art.draw("RED MUG"), art.draw("BLUE MUG"))
  end)

  it("has no place for what a name could smuggle in", function()
    assert.is_nil(art.draw('"/><script>alert(1)</script>'):find("script", 1, true))
    assert.truthy(art.draw(""):find("</svg>", 1, true))
  end)
end)
