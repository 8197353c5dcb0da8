-- price.cart against an independent reading of the pricing rules in Python, on random carts and promotions.
describe("price.cart", function()
  it("agrees with the oracle to the penny on 2,000 random carts", function()
    local pipe = io.popen("python3 spec/oracle/compare.py 2000 2>&1", "r")
    local said = pipe:read("*a")
    pipe:close()
    assert.equal("2000 carts agree (seed 20261123)\n", said)
  end)
end)
