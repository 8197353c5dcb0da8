-- price.cart against an independent reading of the pricing rules in Python, on random carts and promotions.
local shell = require "spec.support.shell"

describe("price.cart", function()
  it("agrees with the oracle to the penny on 20,000 random carts", function()
    assert.equal("20000 carts agree (seed 20261123)", shell.must "python3 spec/oracle/compare.py 20000 20261123")
  end)
end)
