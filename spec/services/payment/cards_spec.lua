-- cards: what can be charged, and what is said of the rest.

local cards = require "services.payment.cards"
local luhn = require "lib.luhn"

local NOW = "2026-11-23T12:00:00.000Z"

local function check(changes)
  local card = { number = "4242424242424242", exp_month = 12, exp_year = 2030, cvc = "123" }
  for name, value in pairs(changes or {}) do card[name] = value end
  return cards.check(card, NOW)
end

-- The one error that `changes` cause, as "field problem".
local function error_of(changes)
  local card, errors = check(changes)
  assert.is_nil(card)
  assert.equal(1, #errors)
  return errors[1].path .. " " .. errors[1].problem
end

-- `digits` with the check digit that fits, the last one.
local function completed(digits)
  for last = 0, 9 do
    if luhn.fits(digits .. last) then return digits .. last end
  end
end

describe("a card", function()
  it("is taken with its brand, without its security code", function()
    assert.same({ number = "4242424242424242", brand = "visa", last4 = "4242", exp_month = 12, exp_year = 2030 },
      (check()))
  end)

  for number, brand in pairs {
    ["4000056655665556"] = "visa", ["4222222222222"] = "visa", ["5555555555554444"] = "mastercard",
    ["2223003122003222"] = "mastercard", ["6011111111111117"] = "discover", ["6445644564456445"] = "discover",
    ["3056930009020004"] = "diners", ["36227206271667"] = "diners", ["3566002020360505"] = "jcb",
    ["6200000000000005"] = "unionpay", ["6205500000000000004"] = "unionpay", ["6759649826438453"] = "maestro",
  } do
    it("of " .. brand .. " is known by its number: " .. number:sub(1, 6), function()
      assert.equal(brand, assert(check { number = number }).brand)
    end)
  end

  it("may be typed with blanks or dashes between the digits", function()
    assert.equal("4242424242424242", assert(check { number = "4242 4242 4242 4242" }).number)
    assert.equal("378282246310005", assert(check { number = "3782-822463-10005", cvc = "1234" }).number)
  end)

  it("at the edges of a range belongs to it", function()
    for prefix, brand in pairs { ["222100"] = "mastercard", ["272099"] = "mastercard", ["510000"] = "mastercard",
      ["559999"] = "mastercard", ["352800"] = "jcb", ["358999"] = "jcb", ["622126"] = "discover" } do
      assert.equal(brand, assert(check { number = completed(prefix .. "000000000") }).brand)
    end
    for _, prefix in ipairs { "222099", "272100", "352799", "359000" } do
      assert.equal("card.number is of no brand that is taken here",
        error_of { number = completed(prefix .. "000000000") })
    end
  end)
end)

describe("a number", function()
  for text, problem in pairs {
    ["4242424242424241"] = "is mistyped: its check digit does not fit",
    ["2424242424242424"] = "is mistyped: its check digit does not fit",
    ["42424242424242424"] = "has the wrong number of digits for visa",
    ["42424242424"] = "must have 12 to 19 digits",
    ["42424242424242424242"] = "must have 12 to 19 digits",
    ["4242 4242 4242 424x"] = "must hold digits only (blanks and dashes between them are allowed)",
    ["４２４２"] = "must hold digits only (blanks and dashes between them are allowed)",
    [""] = "is empty",
    [" 4242424242424242"] = "has a blank or dash that is not between two digits",
    ["4242--4242-4242-4242"] = "has a blank or dash that is not between two digits",
    ["0000000000000000"] = "is of no brand that is taken here",
  } do
    it(string.format("%q is refused: %s", text, problem), function()
      assert.equal("card.number " .. problem, error_of { number = text })
    end)
  end

  it("of every length from 12 to 20 digits is taken where its brand has it, and else refused", function()
    local taken = { [13] = true, [16] = true, [19] = true }
    for length = 12, 20 do
      local card = check { number = completed("4" .. ("0"):rep(length - 2)) }
      assert.equal(taken[length] or false, card ~= nil)
    end
  end)

  it("with any one digit changed, or two neighbours swapped, is refused", function()
    local number = "4000056655665556"
    for i = 1, #number do
      local digit = tonumber(number:sub(i, i))
      local changed = number:sub(1, i - 1) .. (digit + 1) % 10 .. number:sub(i + 1)
      assert.is_nil((check { number = changed }))
    end
    assert.is_nil((check { number = "4000065655665556" }))
  end)
end)

describe("an expiry", function()
  it("is good until the end of its month", function()
    assert.is_table(check { exp_month = 11, exp_year = 2026 })
    assert.equal("card.exp_month is in the past: the card has expired", error_of { exp_month = 10, exp_year = 2026 })
    assert.equal("card.exp_year is in the past: the card has expired", error_of { exp_month = 12, exp_year = 2025 })
  end)

  it("is refused where it is none", function()
    assert.equal("card.exp_month must be 1 to 12", error_of { exp_month = 0 })
    assert.equal("card.exp_month must be 1 to 12", error_of { exp_month = 13 })
    assert.equal("card.exp_year must have four digits", error_of { exp_year = 30 })
    assert.equal("card.exp_year must have four digits", error_of { exp_year = -1 })
    assert.equal("card.exp_year is too far in the future", error_of { exp_year = 2077 })
    assert.equal("card.exp_year is too far in the future", error_of { exp_year = 99999 })
  end)

  it("can be asked later", function()
    assert.is_false(cards.has_expired(11, 2026, NOW))
    assert.is_true(cards.has_expired(10, 2026, NOW))
  end)
end)

describe("a security code", function()
  it("has four digits on American Express, three elsewhere", function()
    assert.is_table(check { number = "378282246310005", cvc = "1234" })
    assert.equal("card.cvc must have 4 digits for amex", error_of { number = "378282246310005", cvc = "123" })
    assert.equal("card.cvc must have 3 digits for visa", error_of { cvc = "1234" })
    assert.equal("card.cvc must hold digits only", error_of { cvc = "12a" })
    assert.equal("card.cvc is empty", error_of { cvc = "" })
  end)
end)

it("everything that is wrong is said at once, and nothing that was sent is repeated", function()
  local _, errors = cards.check({ number = "4242424242424241", exp_month = 77, exp_year = 2030, cvc = "98765" }, NOW)
  local text = fastr.json.encode(errors)
  assert.equal(3, #errors)
  for _, secret in ipairs { "4242", "98765", "77" } do assert.is_nil(text:find(secret, 1, true)) end
end)
