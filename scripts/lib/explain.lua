-- explain: the trace of a price in words: for a customer, what he was given and what a little more would give him; for
-- who supports him, every rule, with the condition that failed and both of its operands. Pure Lua; what a promotion is
-- called (`says`) is written with the rule and comes with the trace.

local money = require "lib.money"

local M = {}

-- ---- for a customer -----------------------------------------------------------------------------------------------

-- What each promotion took off by a trace, in the order of the trace: list of { promotion, amount = money, stage (the
-- first; what it did to the catalogue's price stands apart), says, detail = "You saved 4.79: 10 % off orders of 150.00
-- or more" }. Together they are the discounts of a decision: those of the stage "catalog" have gone into unit prices.
function M.discounts(trace, currency)
  local list, at = {}, { [true] = {}, [false] = {} }
  for _, entry in ipairs(trace) do
    local known = at[entry.stage == "catalog"]
    if entry.outcome == "applied" and known[entry.rule] then
      known[entry.rule].amount.amount = known[entry.rule].amount.amount + entry.amount
    elseif entry.outcome == "applied" then
      known[entry.rule] = { promotion = entry.rule, amount = money.new(entry.amount, currency), stage = entry.stage,
        says = entry.says or entry.rule }
      list[#list + 1] = known[entry.rule]
    end
  end
  for _, each in ipairs(list) do
    each.detail = ("You saved %s: %s"):format(money.decimal(each.amount.amount, currency), each.says)
  end
  return list
end

local REFUSED = setmetatable({
  unknown = "There is no coupon %s; upper and lower case differ",
  not_started = "The coupon %s is not valid yet", expired = "The coupon %s is no longer valid",
  used_up = "The coupon %s has been used up", used_up_for_customer = "You have used the coupon %s already",
  budget_spent = "The coupon %s has been used up",
  already_applied = "The coupon %s is for a promotion that another one in the cart has brought already",
  replaced_by_exclusive = "The coupon %s does not go with another offer that applies",
}, { __index = function() return "The coupon %s is not for this cart or customer" end })

-- Why a coupon was refused, by the reason of a decision.
function M.refused_coupon(code, reason)
  return REFUSED[reason]:format(code)
end

-- A condition that something in the cart counts for already: more of it is a help, anything else is an advertisement.
local function threshold_of(entry, currency)
  if entry.outcome ~= "not_applied" or not entry.says then return nil end
  local missing = entry.wanted - entry.actual
  if entry.actual <= 0 or missing <= 0 then return nil end
  local found = { kind = "promotion", promotion = entry.rule, of = entry.of }
  if entry.unit == "money" then
    local what = (entry.of or "the cart") == "the cart" and "" or " of " .. entry.of
    found.missing = missing
    found.detail = ("Add %s%s: %s"):format(money.decimal(missing, currency), what, entry.says)
  else
    found.missing_units = missing
    found.detail = ("%d more of %s: %s"):format(missing, entry.of or "the cart", entry.says)
  end
  return found
end

-- What a little more would give, by a full trace: list of { kind = "promotion", promotion, of, detail, missing = minor
-- units | missing_units = units }: the conditions of which everything but the amount or the quantity holds.
function M.thresholds(trace, currency)
  local list = {}
  for _, entry in ipairs(trace) do list[#list + 1] = threshold_of(entry, currency) end
  return list
end

-- The shipping option to tell of: the chosen method, or, while none is chosen, the first that spending more makes free.
function M.free_option(options, method)
  for _, option in ipairs(options) do
    if option.missing_for_free and (not method or option.method == method) then return option end
  end
end

-- "Add 3.20 for free delivery (Standard, 3 to 5 days)". `option`: of shipping.options, with missing_for_free.
function M.free_delivery(option, currency)
  return ("Add %s for free delivery (%s)"):format(money.decimal(option.missing_for_free, currency),
    option.name or option.method)
end

-- ---- for who supports him -----------------------------------------------------------------------------------------

local function operand(entry, value, currency)
  if entry.unit == "money" and type(value) == "number" then return money.decimal(value, currency) end
  return tostring(value)
end

-- An entry of a trace: "not applied: at_least 3 of lighting/candles: has 2, needs 3"; nil: "takes no part".
function M.entry(entry, currency)
  if not entry then return "takes no part" end
  if entry.outcome == "applied" then return "applied " .. money.decimal(-entry.amount, currency) end
  if entry.outcome == "lost" then return "lost to " .. tostring(entry.to) .. ", which is exclusive" end
  if entry.outcome == "truncated" then return ("%d more rules were looked at"):format(entry.count) end
  if entry.condition == "enabled" then return "switched off" end
  local text = entry.outcome:gsub("_", " ")
  if entry.condition then text = text .. ": " .. entry.condition end
  if entry.actual ~= nil then
    text = ("%s: has %s, needs %s"):format(text, operand(entry, entry.actual, currency),
      operand(entry, entry.wanted, currency))
  end
  return text
end

return M
