-- words: the texts of the pages, one file per language below texts/, and how money and days are written in it.

local M = {}

local LANGUAGES = { "en", "de" }

M.default = "en"
M.known = {}

local texts, scopes = {}, {}

-- What templates look up: "t.cart" for the text `cart`.
local function scope_of(list)
  local scope = {}
  for key, value in pairs(list) do
    if type(value) == "string" then scope["t." .. key] = value end
  end
  return scope
end

for _, language in ipairs(LANGUAGES) do
  texts[language] = require("services.storefront.texts." .. language)
  scopes[language], M.known[language] = scope_of(texts[language]), true
end

-- All texts of a language, for templates.
function M.all(language)
  return scopes[language]
end

-- {code, name, chosen} of each language, for people to choose.
function M.choices(current)
  local list = {}
  for i, code in ipairs(LANGUAGES) do
    list[i] = { code = code, called = texts[code].language_name, chosen = code == current }
  end
  return list
end

-- The text `key` with each {name} replaced; nil: there is none.
function M.find(language, key, values)
  local text = texts[language][key]
  if type(text) ~= "string" then return nil end
  return (text:gsub("{(%w+)}", values or {}))
end

-- The same of a text that must be there; raises.
function M.say(language, key, values)
  return M.find(language, key, values) or error("words: " .. language .. " has no text " .. key, 2)
end

local SYMBOLS = { GBP = "£", EUR = "€", USD = "$", JPY = "¥" }

local function grouped(digits, separator)
  local text = digits:reverse():gsub("(%d%d%d)", "%1" .. separator):reverse()
  return (text:gsub("^%" .. separator, ""))
end

-- {amount, currency} for people: "£1,234.50", "1.234,50 £".
function M.money(language, money)
  local form = texts[language].money
  local sign, whole, part = fastr.money.format(money.amount, money.currency):match("^(%-?)(%d+)%.?(%d*)$")
  local number = grouped(whole, form.thousands) .. (part ~= "" and form.point .. part or "")
  local symbol = SYMBOLS[money.currency]
  if not symbol then return sign .. number .. " " .. money.currency end
  return (form.pattern:gsub("[-#$]", { ["-"] = sign, ["#"] = number, ["$"] = symbol }))
end

-- The day of an RFC 3339 time, for people: "23 November 2026", "23. November 2026".
function M.day(language, time)
  local y, m, d = time:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)")
  local form = texts[language].day
  return (form.pattern:gsub("[dmy]", { d = tostring(tonumber(d)), m = form.months[tonumber(m)], y = y }))
end

return M
