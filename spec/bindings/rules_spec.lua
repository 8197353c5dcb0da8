-- fastr.rules: decisions by the checkout's own pack.
local rules = fastr.rules

local function cart(lines, more)
  local facts = { currency = "GBP", now = "2026-11-23T10:00:00Z", zone = "GB", lines = lines, promotions = {} }
  for name, value in pairs(more or {}) do facts[name] = value end
  return facts
end

describe("fastr.rules", function()
  it("prices a cart with the pack it names", function()
    local decision, info = rules.decide("price.cart", cart { { sku = "A", quantity = 3, unit_price = 333 } })
    assert.equal(999, decision.total)
    assert.equal(rules.pack(), info.pack)
    assert.equal(info.pack, decision.pack)
    assert.equal(1, info.abi)
  end)

  it("refuses unknown fields with their path, and unknown points", function()
    local line = { sku = "A", quantity = 1, unit_price = 1, categry = {} }
    local none, message, code = rules.decide("price.cart", cart { line })
    assert.is_nil(none)
    assert.equal("facts_invalid", code)
    assert.equal("lines[1].categry: unknown field (did you mean 'categories'?)", message)
    assert.equal("facts_invalid", select(3, rules.decide("price.cat", {})))
  end)

  it("says of a version that is not kept that it has gone", function()
    assert.equal("rules_version_gone", select(3, rules.decide("price.cart", cart {}, { pack = ("0"):rep(64) })))
  end)

  it("explains what did not apply, with both operands, when asked", function()
    local facts = cart({ { sku = "A", quantity = 1, unit_price = 400 } }, { promotions = { { id = "p",
      conditions = { min_items_total = 500 }, actions = { { type = "order_percent", value = 10 } } } } })
    local decision = rules.decide("price.cart", facts, { explain = "full" })
    assert.same({ rule = "p", stage = "order", outcome = "not_applied", condition = "min_items_total", actual = 400,
      wanted = 500, unit = "money", of = "the cart" }, decision.trace[1])
    assert.same({}, rules.decide("price.cart", facts).trace)
  end)

  it("gives the same decision for the same facts", function()
    local facts = cart({ { sku = "A", quantity = 7, unit_price = 333, categories = { "home/candles" } } })
    facts.promotions = nil
    local first = fastr.json.canonical((rules.decide("price.cart", facts)))
    for _ = 1, 50 do assert.equal(first, fastr.json.canonical((rules.decide("price.cart", facts)))) end
  end)

  it("decides the same about facts and decisions that are JSON texts", function()
    local facts = cart({ { sku = 'A "b" \\ ü', quantity = 7, unit_price = 333, categories = { "lighting/candles" } },
      { sku = "B", quantity = 2, unit_price = 9999, tax_category = "standard", categories = fastr.json.array {} } })
    facts.promotions, facts.coupons, facts.customer = nil, { "WELCOME", "NONE" }, fastr.json.null
    facts.shipping = { { method = "post", fee = 350 } }
    for _, explain in ipairs { "none", "applied", "full" } do
      local decision = rules.decide("price.cart", facts, { explain = explain })
      local text = assert(rules.decide_text("price.cart", fastr.json.encode(facts), { explain = explain }))
      assert.equal(fastr.json.canonical(decision), fastr.json.canonical(fastr.json.decode(text)))
    end
    local asked = { from = "placed", to = "paid", who = "service" }
    assert.same(rules.decide("order.transition", asked),
      fastr.json.decode(rules.decide_text("order.transition", fastr.json.encode(asked))))
  end)

  it("refuses texts that are no JSON, and facts in them as it refuses tables", function()
    assert.equal("json", select(3, rules.decide_text("price.cart", "{")))
    assert.equal("json", select(3, rules.decide_text("price.cart", '{"currency":"GBP","currency":"EUR"}')))
    local bad = { cart { { sku = "A", quantity = 0, unit_price = 1 } }, cart { { sku = "A", unit_price = 1 } },
      cart { { sku = "A", quantity = 1, unit_price = 1, categry = {} } }, cart({}, { coupons = { 1 } }),
      cart({}, { settings = { tax_rounding = "lines" } }), cart({}, { currency = fastr.json.null }),
      cart({}, { lines = { x = 1 } }), { lines = {} } }
    for _, facts in ipairs(bad) do
      local _, expected, code = rules.decide("price.cart", facts)
      assert.equal("facts_invalid", code)
      local none, message, text_code = rules.decide_text("price.cart", fastr.json.encode(facts))
      assert.is_nil(none)
      assert.equal(code, text_code)
      assert.equal(expected, message)
    end
    assert.equal("facts: an object is expected, not a list", select(2, rules.decide_text("price.cart", "[1]")))
    assert.equal("rules_version_gone", select(3, rules.decide_text("price.cart", "{}", { pack = ("0"):rep(64) })))
    assert.equal("facts_invalid", select(3, rules.decide_text("price.cat", "{}")))
  end)

  it("answers the other decision points", function()
    assert.is_true(rules.decide("order.transition", { from = "placed", to = "paid", who = "service" }).allow)
    assert.is_false(rules.decide("order.transition", { from = "delivered", to = "paid", who = "service" }).allow)
    assert.equal("order_confirmation", rules.decide("notify.select", { event = "order.placed.v1" }).template)
    assert.equal("test", rules.decide("payment.route", { currency = "GBP", amount = 1 }).provider)
    assert.is_false(rules.decide("cart.accept", { currency = "GBP", lines = { { sku = "A", quantity = 2 } },
      stock = { A = 1 } }).accept)
  end)
end)

describe("a pack that is opened", function()
  local shell = require "spec.support.shell"
  local dir

  before_each(function()
    dir = shell.must("mktemp -d"):match("%S+")
    shell.must(("cp -r scripts/rules %s/rules && mkdir %s/rules/deep"):format(dir, dir))
  end)
  after_each(function() shell.must("rm -rf " .. dir) end)

  local function refused(what)
    local pack, message, code = rules.open(dir .. "/rules")
    assert.is_nil(pack)
    assert.equal("invalid", code)
    assert.truthy(message:find(what, 1, true), message)
  end

  it("has no links, which lead in circles or to a secret", function()
    for _, target in ipairs { "/etc/passwd", ".", "../../nowhere" } do
      shell.must(("ln -sfn %s %s/rules/deep/link.lua"):format(target, dir))
      refused("deep/link.lua is a symbolic link")
    end
  end)

  it("has no files whose names a terminal would obey", function()
    shell.must(("touch \"%s/rules/deep/$(printf 'a\\033b').lua\""):format(dir))
    refused("has a control character")
  end)

  it("is text, specs included", function()
    shell.must(("mkdir -p %s/rules/spec && printf '\\033LJ' >%s/rules/spec/a_spec.lua"):format(dir, dir))
    refused("spec/a_spec.lua:1: is bytecode")
  end)
end)
