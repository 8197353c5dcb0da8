-- money: between {amount = 1099, currency = "GBP"} of the API and the bare integers of rules and tables.
-- The arithmetic of prices (allocation, rounding, tax), the currencies and their decimals are fastr.money's.

local M = {}

local exact = fastr.money

-- Minor units (an integer within 2^53) and an ISO 4217 code. Raises for a fraction: that is a bug, not an input.
function M.new(amount, currency)
  if not exact.is_amount(amount) then
    error("money.new: amount must be whole minor units, got " .. tostring(amount), 2)
  end
  if type(currency) ~= "string" or not pcall(exact.exponent, currency) then
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

-- Digits after the point for a currency. Raises for one that ISO 4217 does not have.
function M.exponent(currency)
  return exact.exponent(currency)
end

-- For people, without the currency's name: "10.99", "-0.05", and "500" of a currency without minor units.
function M.decimal(amount, currency)
  return exact.format(amount, currency)
end

-- For people: "10.99 GBP", "-0.05 GBP", "500 JPY".
function M.text(amount, currency)
  return M.decimal(amount, currency) .. " " .. currency
end

return M
