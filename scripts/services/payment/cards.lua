-- cards: is this a card that can be charged? Brand by the issuer's range (ISO/IEC 7812), length, check digit, expiry,
-- length of the security code. Pure: nothing is kept, and no text made here holds anything of what was sent.

local luhn = require "lib.luhn"

local M = {}

local YEARS_AHEAD = 50 -- a later expiry is a slip of the keyboard

-- Ranges of the first six digits, narrow ones before the wide ones that contain them.
local BRANDS = {
  { name = "amex", cvc = 4, lengths = { [15] = true }, ranges = { { 340000, 349999 }, { 370000, 379999 } } },
  { name = "jcb", lengths = { from = 16, to = 19 }, ranges = { { 352800, 358999 } } },
  { name = "diners", lengths = { from = 14, to = 19 },
    ranges = { { 300000, 305999 }, { 309500, 309599 }, { 360000, 369999 }, { 380000, 399999 } } },
  { name = "discover", lengths = { from = 16, to = 19 },
    ranges = { { 601100, 601199 }, { 622126, 622925 }, { 644000, 659999 } } },
  { name = "unionpay", lengths = { from = 16, to = 19 }, ranges = { { 620000, 629999 }, { 810000, 817199 } } },
  { name = "mastercard", lengths = { [16] = true }, ranges = { { 510000, 559999 }, { 222100, 272099 } } },
  { name = "maestro", lengths = { from = 12, to = 19 },
    ranges = { { 500000, 509999 }, { 560000, 589999 }, { 639000, 639099 }, { 670000, 679999 } } },
  { name = "visa", lengths = { [13] = true, [16] = true, [19] = true }, ranges = { { 400000, 499999 } } },
}

local function within(ranges, prefix)
  for _, range in ipairs(ranges) do
    if prefix >= range[1] and prefix <= range[2] then return true end
  end
  return false
end

local function brand_of(digits)
  local prefix = tonumber(digits:sub(1, 6))
  for _, brand in ipairs(BRANDS) do
    if within(brand.ranges, prefix) then return brand end
  end
end

local function has_length(brand, length)
  local lengths = brand.lengths
  return lengths[length] or (lengths.from ~= nil and length >= lengths.from and length <= lengths.to)
end

-- The digits of a number as people write it: single blanks or dashes between digits are left out. Or nil, problem.
local function digits_of(text)
  if text == "" then return nil, "is empty" end
  if text:find("[^0-9 -]") then return nil, "must hold digits only (blanks and dashes between them are allowed)" end
  if text:find("^[ -]") or text:find("[ -]$") or text:find("[ -][ -]") then
    return nil, "has a blank or dash that is not between two digits"
  end
  return (text:gsub("[ -]", ""))
end

-- The digits and the brand, or nil, nil, problem.
local function check_number(text)
  local digits, wrong = digits_of(text)
  if not digits then return nil, nil, wrong end
  if #digits < 12 or #digits > 19 then return nil, nil, "must have 12 to 19 digits" end
  local brand = brand_of(digits)
  if brand and not has_length(brand, #digits) then
    return nil, nil, "has the wrong number of digits for " .. brand.name
  end
  if not luhn.fits(digits) then return nil, nil, "is mistyped: its check digit does not fit" end
  if not brand then return nil, nil, "is of no brand that is taken here" end
  return digits, brand
end

-- A card is good until the end of its month.
local function check_expiry(month, year, now)
  local this_year, this_month = now:match("^(%d+)%-(%d+)")
  this_year, this_month = tonumber(this_year), tonumber(this_month)
  if month < 1 or month > 12 then return "exp_month", "must be 1 to 12" end
  if year < 1000 then return "exp_year", "must have four digits" end
  if year > this_year + YEARS_AHEAD then return "exp_year", "is too far in the future" end
  if year < this_year then return "exp_year", "is in the past: the card has expired" end
  if year == this_year and month < this_month then return "exp_month", "is in the past: the card has expired" end
end

-- Has a card of this expiry run out at `now` (RFC 3339 UTC)?
function M.has_expired(month, year, now)
  return check_expiry(month, year, now) ~= nil
end

local function check_cvc(cvc, brand)
  local due = brand and (brand.cvc or 3)
  if cvc == "" then return "is empty" end
  if cvc:find("[^0-9]") then return "must hold digits only" end
  if due and #cvc ~= due then return "must have " .. due .. " digits for " .. brand.name end
  if #cvc < 3 or #cvc > 4 then return "must have 3 or 4 digits" end
end

-- Checks `card` {number, exp_month, exp_year, cvc (texts and integers)} at `now` (RFC 3339 UTC). Returns a new table
-- {number (digits), brand, last4, exp_month, exp_year}, without the security code; or nil and a list of
-- {path, problem}, one for each field that is wrong.
function M.check(card, now)
  local errors = {}
  local function say(field, text)
    if text then errors[#errors + 1] = { path = "card." .. field, problem = text } end
  end
  local digits, brand, wrong = check_number(card.number)
  say("number", wrong)
  local field, text = check_expiry(card.exp_month, card.exp_year, now)
  if field then say(field, text) end
  say("cvc", check_cvc(card.cvc, brand))
  if #errors > 0 then return nil, errors end
  return { number = digits, brand = brand.name, last4 = digits:sub(-4), exp_month = card.exp_month,
    exp_year = card.exp_year }
end

return M
