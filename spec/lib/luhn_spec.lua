-- luhn: one digit, and one only, fits.

local luhn = require "lib.luhn"

describe("the check digit", function()
  it("fits the published numbers, of odd and of even length", function()
    for _, digits in ipairs { "0", "18", "79927398713", "378282246310005", "4242424242424242", "6304000000000000" } do
      assert.is_true(luhn.fits(digits), digits)
    end
  end)

  it("is the only one of ten that fits", function()
    for _, digits in ipairs { "", "1", "7992739871", "424242424242424" } do
      local fitting = 0
      for last = 0, 9 do fitting = fitting + (luhn.fits(digits .. last) and 1 or 0) end
      assert.equal(1, fitting, digits)
    end
  end)

  it("tells one wrong digit and two neighbours that changed places", function()
    for _, digits in ipairs { "79927398712", "79972398713", "4242424242424224", "378282246310050" } do
      assert.is_false(luhn.fits(digits), digits)
    end
  end)
end)
