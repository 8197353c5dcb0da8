-- The quote answers what fastr.rules decides, and says where wrong facts are wrong.
local handlers = require "services.rules.handlers"

describe("POST /pricing/quote", function()
  it("answers the decision with its full trace", function()
    local facts = { currency = "GBP", now = "2026-11-23T10:00:00Z", promotions = {},
      lines = { { sku = "A", quantity = 2, unit_price = 150 } } }
    local status, decision = handlers.quote { body = facts }
    assert.equal(200, status)
    assert.equal(300, decision.total)
    assert.equal(fastr.rules.pack(), decision.pack)
  end)

  it("refuses wrong facts with the path", function()
    local none, problem = handlers.quote { body = { currency = "GBP", now = "2026-11-23T10:00:00Z", lines = { {} } } }
    assert.is_nil(none)
    assert.equal("facts_invalid", problem.code)
    assert.truthy(problem.errors[1].path:find("lines[1]", 1, true))
  end)
end)
