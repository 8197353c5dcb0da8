-- books: what an order says of itself beside what payment and product say of it, each difference in words. Pure: it is
-- handed the three and looks nothing up.

local M = {}

local LATE_S = 900 -- work that has waited so long is not under way any more

local BOUGHT = { placed = true, paid = true, fulfilling = true, shipped = true, delivered = true, returned = true }
local PAID = { paid = true, fulfilling = true, shipped = true, delivered = true, returned = true }
local NOTHING = { declined = true, voided = true, refunded = true }

local function name_of(order)
  return order.number and ("order %s (%s)"):format(order.number, order.id) or "order " .. order.id
end

-- The words of a difference, for one order.
local function teller(order, list)
  local function money(amount) return fastr.money.format(amount, order.currency) .. " " .. order.currency end
  return function(code, repair, text, ...)
    local arguments = { ... }
    for i, value in ipairs(arguments) do
      if type(value) == "number" then arguments[i] = money(value) end
    end
    list[#list + 1] = { code = code, order = order.id, repair = repair,
      text = name_of(order) .. " " .. text:format(unpack(arguments)) }
    return list[#list]
  end
end

-- ---- money --------------------------------------------------------------------------------------------------------

local function sums(accounts)
  local all = { captured = 0, refunded = 0, set_aside = 0, from_gift_cards = 0, to_gift_cards = 0 }
  for _, a in ipairs(accounts) do
    for name in pairs(all) do all[name] = all[name] + a[name] end
  end
  all.kept = all.captured - all.refunded + all.from_gift_cards - all.to_gift_cards
  return all
end

-- Attempts that the order takes for ended, while payment keeps money for them.
local function keepers(order, accounts)
  local ended, list = {}, {}
  for _, attempt in ipairs(order.attempts) do ended[attempt.id] = NOTHING[attempt.status] end
  for _, a in ipairs(accounts) do
    local all = sums { a }
    if ended[a.payment] and all.kept + all.set_aside > 0 then list[#list + 1] = a end
  end
  return list
end

local function kept_by_ended(order, accounts, tell)
  for _, a in ipairs(keepers(order, accounts)) do
    local found = tell("kept_by_ended_attempt", "void", "has an attempt (payment %s) that came to nothing, and %s are "
      .. "kept for it", a.payment, sums({ a }).kept + a.set_aside)
    found.payment = a.payment
  end
  return #keepers(order, accounts) > 0
end

local function money_of_bought(order, accounts, tell)
  local all = sums(accounts)
  if PAID[order.status] and all.captured ~= order.due then
    return tell("paid_differs", nil, "is %s: %s were due, payment captured %s", order.status, order.due, all.captured)
  end
  if all.from_gift_cards ~= order.from_gift_cards then
    return tell("gift_cards_differ", nil, "is %s: gift cards were to pay %s, payment took %s from them", order.status,
      order.from_gift_cards, all.from_gift_cards)
  end
  if order.status == "placed" and all.captured > 0 then
    return tell("captured_not_paid", "look", "is still placed, and payment captured %s for it", all.captured)
  end
  if order.status == "placed" and order.due > 0 and all.set_aside ~= order.due then
    return tell("not_set_aside", "look", "waits to be accepted: %s are due, payment has %s set aside", order.due,
      all.set_aside)
  end
end

local function money_of_unbought(order, accounts, tell)
  local all = sums(accounts)
  if all.kept + all.set_aside > 0 then
    tell("kept_for_nothing", order.status == "cancelled" and "undo" or "place",
      "is %s, and payment keeps %s of it (%s more set aside)", order.status, all.kept, all.set_aside)
  end
end

-- Returns that say that their money went back, and it did not.
local function money_of_returns(order, accounts, tell)
  local given = {}
  for _, a in ipairs(accounts) do
    for _, op in ipairs(a.operations) do
      if op.kind == "refund" and op.state == "succeeded" then given[op.key] = (given[op.key] or 0) + op.amount end
    end
  end
  for _, r in ipairs(order.returns) do
    if r.refund == "done" and given[r.id] ~= r.amount then
      tell("return_not_refunded", nil, "has the return %s of %s, and payment gave back %s for it", r.id, r.amount,
        given[r.id] or 0)
    end
  end
end

-- ---- stock --------------------------------------------------------------------------------------------------------

-- Units by SKU; the same SKU in two lines is one.
local function units(lines, into, sign)
  into = into or {}
  for _, line in ipairs(lines) do into[line.sku] = (into[line.sku] or 0) + (sign or 1) * line.quantity end
  return into
end

-- "3 x 84077, -1 x 22423" of what `a` has more than `b`; nil when they have the same.
local function more(a, b)
  local list, all = {}, {}
  for sku in pairs(a) do all[sku] = true end
  for sku in pairs(b) do all[sku] = true end
  for sku in pairs(all) do
    local n = (a[sku] or 0) - (b[sku] or 0)
    if n ~= 0 then list[#list + 1] = ("%d x %s"):format(n, sku) end
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or nil
end

local function stock_of_bought(order, taken, tell)
  if not taken or taken.state ~= "committed" then
    return tell("stock_not_taken", taken and "commit" or nil, "is %s, and its stock was never taken (%s)", order.status,
      taken and "its hold is " .. taken.state or "nothing was ever held")
  end
  local apart = more(units(taken.lines), units(order.lines))
  if apart then tell("stock_differs", nil, "took other units than it has: %s too many", apart) end
end

local function stock_of_cancelled(taken, tell)
  if not taken then return end
  if taken.state == "held" then return tell("still_held", "undo", "is cancelled, and still holds stock") end
  if taken.state ~= "committed" then return end
  local out = units(taken.lines)
  for _, back in ipairs(taken.restocks) do units(back.lines, out, -1) end
  local missing = more(out, {})
  if missing then tell("not_restocked", "undo", "is cancelled, and did not give back %s", missing) end
end

local function stock_of_returns(order, taken, tell)
  local back = {}
  for _, each in ipairs(taken and taken.restocks or {}) do back[each.key] = units(each.lines) end
  for _, r in ipairs(order.returns) do
    local due = {}
    for _, line in ipairs(r.lines) do
      if line.restock then due[line.sku] = (due[line.sku] or 0) + line.quantity end
    end
    local apart = r.restock == "done" and more(due, back["return:" .. r.id] or {})
    if apart then tell("return_not_restocked", nil, "has the return %s, and %s did not come back", r.id, apart) end
  end
end

-- ---- one order ----------------------------------------------------------------------------------------------------

-- Work that is left and that nobody has done for a long while; true when there is any work, late or not.
local function has_work(order, tell)
  if not order.work then return false end
  if order.waits_s > LATE_S then
    tell("stuck", "wake", "has waited for %s: %s", ("%d minutes to be done with '%s'"):format(
      order.waits_s / 60, order.work), order.work_reason ~= "" and order.work_reason or "nobody worked on it")
  end
  return true
end

-- What an order, its payments' accounts (payment.accounts) and its stock (product.taken, or nil) differ in: list of
-- {code, text, order, payment, repair}. An order on which work is left is only looked at for being late. `repair` says
-- what may put it right: look, undo, place, wake (turn the order to that), commit, void; nil where a person must.
function M.differences(order, accounts, taken)
  local list = {}
  local tell = teller(order, list)
  if has_work(order, tell) then return list end
  local is_told = kept_by_ended(order, accounts, tell)
  if BOUGHT[order.status] then
    if not is_told then money_of_bought(order, accounts, tell) end
    money_of_returns(order, accounts, tell)
    stock_of_bought(order, taken, tell)
    stock_of_returns(order, taken, tell)
  else
    if not is_told then money_of_unbought(order, accounts, tell) end
    if order.status == "cancelled" then stock_of_cancelled(taken, tell) end
  end
  return list
end

return M
