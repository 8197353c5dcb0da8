-- returns: goods that come back. What a unit gives back is frozen in the order: what it cost after its share of every
-- discount, and its share of an added tax. Units come back in the order in which they were priced, so that all of a
-- line give back exactly what was paid for it, in whichever parts they come.
--
-- Units that are cancelled before the order is sent are a case of it: they give back the same, and never left.
--
--   accept, cancel (one transaction, under the order's lock) -> stock back, money back: each once for the return's id

local money = require "lib.money"
local problem = require "lib.problem"
local shapes = require "lib.order"
local store = require "services.order.store"
local transition = require "services.order.transition"
local work = require "services.order.work"

local M = {}

local array = fastr.json.array

local CALL = { timeout_ms = 3000 }
local PAY = { timeout_ms = 6000 }
local FIRST_MS, LONGEST_MS = 15000, 300000

local function after(ms)
  return fastr.time.iso(fastr.time.unix_ms() + ms)
end

-- ---- what comes back ----------------------------------------------------------------------------------------------

-- The units of a frozen line. Orders of before kept what they are made from.
local function units_of(line)
  return line.units or shapes.units_of({ quantity = line.quantity, total = line.total.amount,
    unit_discounts = line.unit_discounts, tax = line.tax.amount, tax_included = line.tax_included.amount },
    money.of(line.total.currency))
end

-- What units from + 1 to from + n of a frozen line give back: {refund, tax, tax_included} in minor units; the taxes are
-- those within the refund, added to prices and contained in them.
function M.worth(line, from, n)
  local sum = { refund = 0, tax = 0, tax_included = 0 }
  for _, each in ipairs(units_of(line)) do
    local count = math.min(math.max(each.quantity - from, 0), n)
    sum.refund = sum.refund + count * (each.total.amount + each.tax.amount)
    sum.tax, sum.tax_included = sum.tax + count * each.tax.amount, sum.tax_included + count * each.tax_included.amount
    from, n = math.max(from - each.quantity, 0), n - count
  end
  return sum
end

local function refuse(errors, i, field, text, more)
  local entry = { ["in"] = "body", path = ("lines[%d].%s"):format(i - 1, field), problem = text }
  for name, value in pairs(more or {}) do entry[name] = value end
  errors[#errors + 1] = entry
end

-- The lines of a return with what each gives back; or nil and the problem. `back`: units that came back before.
local function priced(order, wanted, back)
  local known, seen, lines, errors, too_many = {}, {}, {}, {}, false
  for _, line in ipairs(order.lines) do known[line.sku] = line end
  for i, each in ipairs(wanted) do
    local line, before = known[each.sku], back[each.sku] or 0
    if not line or seen[each.sku] then
      refuse(errors, i, "sku", line and "is named twice" or "is not in this order")
    elseif each.quantity > line.quantity - before then
      too_many = true
      refuse(errors, i, "quantity", ("%d of %d are left to come back"):format(line.quantity - before, line.quantity),
        { left = line.quantity - before })
    else
      local given = M.worth(line, before, each.quantity)
      lines[#lines + 1] = { sku = each.sku, quantity = each.quantity, restock = each.restock ~= false,
        refund = given.refund, tax = given.tax, tax_included = given.tax_included }
    end
    seen[each.sku] = true
  end
  if #errors == 0 then return lines end
  return nil, problem.new(too_many and "return_too_large" or "validation", { errors = array(errors),
    detail = errors[1].path .. " " .. errors[1].problem })
end

-- Is everything of the order back, with these lines? (More than there is of one is refused elsewhere.)
local function is_complete(order, lines, back)
  local now = {}
  for _, line in ipairs(lines) do now[line.sku] = line.quantity end
  for _, line in ipairs(order.lines) do
    if (back[line.sku] or 0) + (now[line.sku] or 0) < line.quantity then return false end
  end
  return true
end

local function goes_back_to_stock(lines)
  for _, line in ipairs(lines) do
    if line.restock then return "due" end
  end
  return "none"
end

local function said(lines, what, reason)
  local parts = {}
  for i = 1, math.min(#lines, 5) do parts[i] = lines[i].quantity .. " x " .. lines[i].sku end
  local text = table.concat(parts, ", ") .. (#lines > 5 and ", and more " or " ") .. what
  return reason ~= "" and text .. ": " .. reason or text
end

local function announce(tx, order, made, who, back)
  local is_return = made.kind == "return"
  local change = { who = who, reason = said(made.lines, is_return and "came back" or "cancelled", made.reason),
    extra = { ["return"] = { id = made.id, lines = array(made.lines),
      refund = { amount = made.amount, currency = order.currency } } } }
  if not is_return then return transition.note(tx, order, "units_cancelled", change) end
  if is_complete(order, made.lines, back) then return transition.move(tx, order, "returned", change) end
  return transition.note(tx, order, "goods_returned", change)
end

-- What was paid for an order's shipments, with an added tax.
local function shipping_paid(shipments)
  local sum = 0
  for _, each in ipairs(shipments) do sum = sum + each.total + each.tax end
  return sum
end

-- Writes down what gives these lines back, of a kind ("return", "cancellation"), and tells it.
local function book(tx, order, made, who, back)
  made.order, made.actor, made.amount = order.id, transition.actor(who), made.shipping
  for _, line in ipairs(made.lines) do made.amount = made.amount + line.refund end
  made.restock, made.refund = goes_back_to_stock(made.lines), made.amount > 0 and "due" or "none"
  made.next_try_at = after(FIRST_MS)
  store.add_return(tx, made, fastr.time.now())
  return announce(tx, order, made, who, back)
end

-- Takes goods back into a locked order: true (also if the return `id` was accepted before), or nil and a problem.
-- `body`: lines {sku, quantity, restock}, reason. Whether `who` may is the rules' to say, and whether what was paid for
-- the shipping goes back with the last of the goods.
function M.accept(tx, order, id, body, who)
  if store.has_return(tx, id) then return true end
  local back = store.returned(tx, order.id)
  local ok, decision = transition.allowed(order, "returned", who, is_complete(order, body.lines, back))
  if not ok then return nil, decision end
  local lines, failed = priced(order, body.lines, back)
  if not lines then return nil, failed end
  local shipping = decision.refund_shipping and shipping_paid(store.priced(tx, order.id).shipping) or 0
  return book(tx, order, { id = id, kind = "return", lines = lines, shipping = shipping, reason = body.reason or "" },
    who, back)
end

local IS_CAPTURED = { paid = true, fulfilling = true }

-- Cancels some units of a locked order that is paid and not sent: true (also if it is done already), or nil and a
-- problem. Where nothing is left of the order all of it is cancelled, with its shipping. `body`: lines, reason.
function M.cancel(tx, order, id, body, who)
  if order.status == "cancelled" or store.has_return(tx, id) then return true end
  local ok, failed = transition.allowed(order, "cancelled", who)
  if not ok then return nil, failed end
  if not IS_CAPTURED[order.status] then
    return nil, problem.new("order_transition_refused", { status_now = order.status,
      detail = "Its money has not been taken yet: all of the order can be cancelled, or some of it once it is paid" })
  end
  local back = store.returned(tx, order.id)
  local lines
  lines, failed = priced(order, body.lines, back)
  if not lines then return nil, failed end
  local reason = body.reason or ""
  if is_complete(order, lines, back) then
    return work.cancel(tx, order, who, reason ~= "" and reason or "all of it was cancelled")
  end
  return book(tx, order, { id = id, kind = "cancellation", lines = lines, shipping = 0, reason = reason }, who,
    back)
end

-- ---- stock and money ----------------------------------------------------------------------------------------------

local function restock(r)
  local lines = {}
  for _, line in ipairs(r.lines) do
    if line.restock then lines[#lines + 1] = { sku = line.sku, quantity = line.quantity } end
  end
  return fastr.call("product", "restock", { order = r.order, key = "return:" .. r.id, lines = array(lines) }, CALL)
end

-- Some of the payment was given back by amount before, and less is left than these goods cost: what is left goes back.
-- It is noted before it is asked for, so that whoever goes on asks for the same.
local function lower_to(db, r, left)
  r.short, r.amount = r.short + r.amount - left, left
  store.lower_return(db, r)
end

local function refund(r, db)
  -- All of the order was cancelled before these units had their money: it goes back with the rest.
  if r.status == "cancelled" then
    lower_to(db, r, 0)
    return true
  end
  if not r.payment then return nil, problem.new("payment_not_found", { detail = "The order was not paid" }) end
  local reply, failed = fastr.call("payment", "refund", { payment = r.payment, amount = r.amount, key = r.id }, PAY)
  local left = not reply and failed.code == "refund_too_large" and failed.left and failed.left.amount or 0
  if left > 0 and left < r.amount then
    lower_to(db, r, left)
    return refund(r, db)
  end
  if reply and reply.status ~= "succeeded" then return nil, problem.new("unavailable", { detail = "is pending" }) end
  return reply, failed
end

-- Runs one of the two if it is due, and notes what became of it.
local function step(db, r, name, run)
  if r[name] ~= "due" then return end
  local ok, failed = run(r, db)
  if ok then
    r[name] = "done"
  else
    r.why = name .. ": " .. (failed.detail or failed.code)
    if failed.status < 500 then r[name] = "refused" end
  end
end

-- Gives back what a return still has to give; what cannot be done now is tried again by the job. What is refused stays
-- so, with the reason, for staff to see.
function M.finish(db, id)
  local r = store.load_return(db, id)
  if not r then return end
  r.why = ""
  step(db, r, "restock", restock)
  step(db, r, "refund", refund)
  local is_due = r.restock == "due" or r.refund == "due"
  r.next_try_at = is_due and after(math.min(LONGEST_MS, 1000 * 2 ^ math.min(r.tries, 10))) or nil
  if r.restock == "refused" or r.refund == "refused" then
    fastr.log.error("a return cannot be given back", { order = r.order, ["return"] = r.id, why = r.why })
  end
  store.set_return(db, r)
end

return M
