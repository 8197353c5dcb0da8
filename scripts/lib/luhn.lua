-- luhn: the check digit of card numbers (ISO/IEC 7812-1, annex B). Pure Lua.

local M = {}

-- Does the last of `digits` (a text of digits only, with at least one) fit those before it?
function M.fits(digits)
  local sum = 0
  for i = 1, #digits do
    local digit = digits:byte(-i) - 48
    if i % 2 == 0 then digit = digit * 2 end
    sum = sum + (digit > 9 and digit - 9 or digit)
  end
  return sum % 10 == 0
end

return M
