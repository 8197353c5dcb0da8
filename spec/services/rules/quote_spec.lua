-- The quote answers what fastr.rules decides, and says where wrong facts are wrong.
local handlers = require "services.rules.handlers"

describe("POST /pricing/quote", function()
  it("answers the decision with its full trace", function()
    local facts = { currency = "GBP", now = "2026-11-23T10:00:00Z", promotions = {},
      lines = { { sku = "A", quantity = 2, unit_price = 150 } } }
    local status, text, headers = handlers.quote { body = fastr.json.encode(facts) }
    local decision = fastr.json.decode(text)
    assert.equal(200, status)
    assert.equal("application/json", headers["Content-Type"])
    assert.equal(300, decision.total)
    assert.equal(fastr.rules.pack(), decision.pack)
  end)

  it("refuses wrong facts with the path", function()
    local none, problem = handlers.quote {
      body = '{"currency":"GBP","now":"2026-11-23T10:00:00Z","lines":[{}]}' }
    assert.is_nil(none)
    assert.equal("facts_invalid", problem.code)
    assert.truthy(problem.errors[1].path:find("lines[1]", 1, true))
  end)

  it("refuses amounts that no sum can hold", function()
    for _, fee in ipairs { 9007199254740991, 9007199254740991 - 299 } do
      local none, problem = handlers.quote { body = fastr.json.encode { currency = "GBP",
        now = "2026-11-23T10:00:00Z", lines = { { sku = "A", quantity = 2, unit_price = 150 } },
        shipping = { { method = "standard", fee = fee } } } }
      assert.is_nil(none)
      assert.same({ "facts_invalid", 422 }, { problem.code, problem.status })
    end
  end)

  it("refuses a body that is no JSON", function()
    local none, problem = handlers.quote { body = '{"currency":' }
    assert.is_nil(none)
    assert.equal("body_not_json", problem.code)
  end)
end)
