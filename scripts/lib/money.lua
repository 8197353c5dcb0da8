-- money: between {amount = 1099, currency = "GBP"} of the API and the bare integers of rules and tables.
-- Pure Lua. The arithmetic of prices (allocation, rounding, tax) is fastr.money's; nothing here divides.

local M = {}

local LARGEST = 9007199254740991 -- 2^53 - 1

-- Currencies whose minor unit is not a hundredth (ISO 4217).
local EXPONENT = { JPY = 0, KRW = 0, VND = 0, CLP = 0, ISK = 0, UGX = 0, XAF = 0, XOF = 0, XPF = 0, PYG = 0, RWF = 0,
  BHD = 3, JOD = 3, KWD = 3, OMR = 3, TND = 3, IQD = 3, LYD = 3 }

-- Minor units (an integer within 2^53) and an ISO 4217 code. Raises for a fraction: that is a bug, not an input.
function M.new(amount, currency)
  if type(amount) ~= "number" or amount % 1 ~= 0 or amount > LARGEST or amount < -LARGEST then
    error("money.new: amount must be whole minor units, got " .. tostring(amount), 2)
  end
  if type(currency) ~= "string" or not currency:find("^%u%u%u$") then
    error("money.new: currency must be an ISO 4217 code, got " .. tostring(currency), 2)
  end
  return { amount = amount, currency = currency }
end

-- money.of(currency) -> function(amount) that makes money of whole minor units; for many, unchecked.
function M.of(currency)
  return function(amount) return { amount = amount, currency = currency } end
end

-- The integer of a money. With `currency`, returns nil, message, "currency" when it is another one.
function M.amount(money, currency)
  if currency and money.currency ~= currency then
    return nil, "expected " .. currency .. ", got " .. money.currency, "currency"
  end
  return money.amount
end

function M.same(a, b)
  return a.amount == b.amount and a.currency == b.currency
end

-- Digits after the point for a currency: 2 unless ISO 4217 says otherwise.
function M.exponent(currency)
  return EXPONENT[currency] or 2
end

-- For people, without the currency's name: "10.99", "-0.05", and "500" of a currency without minor units.
function M.decimal(amount, currency)
  local digits = M.exponent(currency)
  local sign = amount < 0 and "-" or ""
  local whole = string.format("%.0f", math.abs(amount))
  if digits == 0 then return sign .. whole end
  whole = string.rep("0", digits + 1 - #whole) .. whole
  return sign .. whole:sub(1, -digits - 1) .. "." .. whole:sub(-digits)
end

-- For people: "10.99 GBP", "-0.05 GBP", "500 JPY".
function M.text(amount, currency)
  return M.decimal(amount, currency) .. " " .. currency
end

return M
