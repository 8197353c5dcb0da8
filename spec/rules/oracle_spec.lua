-- price.cart against an independent reading of the pricing rules in Python, on random carts and on the real invoices;
-- and what holds of every price, whoever computes it.
local shell = require "spec.support.shell"

describe("price.cart", function()
  it("agrees with the oracle to the penny on 20,000 random carts", function()
    assert.equal("20000 carts agree (seed 20261123)", shell.must "python3 spec/oracle/compare.py 20000 20261123")
  end)

  it("agrees with the oracle on every real invoice", function()
    assert.equal("431 invoices agree, retail and wholesale, by line, by unit and in total",
      shell.must "python3 spec/oracle/invoices.py")
  end)

  it("prices faulty facts or refuses them with a path, and does nothing else", function()
    assert.equal("306 known faults, and 3000 faulty facts, are priced or refused with a path (seed 20261123)",
      shell.must "python3 spec/oracle/bad_facts.py 3000 20261123")
  end)

  it("has the properties of a price on 20,000 random carts, changed in several ways", function()
    assert.equal("6 properties hold of 20000 carts (seed 20261123)",
      shell.must "python3 spec/oracle/properties.py 20000 20261123")
  end)

  it("is caught, by a small cart, when it has one of these properties no more", function()
    assert.truthy(shell.must("python3 spec/oracle/mutants.py")
      :find "6 of 6 properties fail when they should, and are shown why")
  end)
end)
