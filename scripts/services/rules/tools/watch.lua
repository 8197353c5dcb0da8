-- fastr rules watch: each time a rule is saved, says within a moment whether it is sound, what it would have changed in
-- the shop's real orders, in money, and makes it live. For development: it asks nobody. The rest of the gate follows in
-- a process of its own, and says so when it turns red.

local child = require "services.rules.child"
local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local report = require "services.rules.report"
local reports = require "services.rules.reports"
local subjects = require "services.rules.subjects"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules watch [--orders FILE] [--dry]",
  "    at each save: checks, what it would have changed in the placed orders, and live (--dry: not live)",
}

local POLL_MS, SETTLE_MS = 60, 15

-- ---- what is compared with ----------------------------------------------------------------------------------------

-- The recorded orders as the parent pack decides them: { orders = list of {order, before}, instructions }.
local function decided_by(pack, orders)
  local past = { orders = {}, instructions = 0 }
  for i, order in ipairs(orders) do
    local before, info = pack:decide("price.cart", order.facts)
    past.orders[i] = { order = order, before = before }
    past.instructions = past.instructions + (before and info.instructions or 0)
  end
  return past
end

-- What the draft makes of them, and the next parent's past.
local function replay(draft, past)
  local tally, next_past = report.new(), { orders = {} }
  for i, each in ipairs(past.orders) do
    local after = report.add(tally, each.order, each.before, draft:decide("price.cart", each.order.facts))
    next_past.orders[i] = { order = each.order, before = after }
  end
  next_past.instructions = tally.instructions
  return tally, next_past
end

-- ---- the screen ---------------------------------------------------------------------------------------------------

-- Which files differ between two packs: "three_for_two.lua", or "3 files".
local function changed(before, after)
  local names, old, new = {}, before:files(), after:files()
  for name, text in pairs(new) do
    if old[name] ~= text then names[#names + 1] = name end
  end
  for name in pairs(old) do
    if new[name] == nil then names[#names + 1] = name .. " (gone)" end
  end
  table.sort(names)
  if #names > 3 then return #names .. " files" end
  return table.concat(names, ", ")
end

local function cost(tally, past)
  if tally.orders == 0 then return "" end
  local each = math.floor(tally.instructions / tally.orders + 0.5)
  local percent = past.instructions > 0 and (tally.instructions / past.instructions - 1) * 100 or 0
  return (", %s instructions an order (%+.0f %%)"):format(words.count(each), percent)
end

local function show(names, examples, tally, past, ms)
  local text = ("saved %s   ok   %d examples%s"):format(names, examples, cost(tally, past))
  print(("%-86s %4d ms"):format(text, ms))
  print(report.line(tally) .. (tally.worst and "   worst: " .. report.one(tally.worst) or ""))
end

local function go_live(draft, tally, given)
  if given.dry then
    print("not live: --dry")
    return
  end
  local done, message = packs.activate(draft)
  if not done then
    print("not live: " .. message)
    return
  end
  print(("live as %s%s   undo: fastr rules rollback"):format(words.hash(draft:hash()),
    tally.worst and "   why: fastr rules explain " .. tally.worst.number or ""))
end

-- ---- the rest of the gate -----------------------------------------------------------------------------------------

local waiting -- the hash of what is being checked

-- Starts the whole gate on a pack that was made live, against the one before it; its report says what came of it.
local function check_later(draft, parent, given)
  local source = draft:store() and draft:hash() or packs.folder()
  local arguments = { "check", source, "--parent", parent:store() and parent:hash() or source }
  if given.orders then
    arguments[5], arguments[6] = "--orders", given.orders
  end
  reports.forget(draft:hash())
  waiting = child.start(child.command(arguments)) and draft:hash() or nil
end

-- Says what came of it, once it is there.
local function say_checked()
  local result = waiting and reports.of(waiting)
  if not result then return end
  print(("gate %s   %s\n"):format(words.hash(waiting), reports.line(result)))
  waiting = nil
end

-- ---- the loop -----------------------------------------------------------------------------------------------------

-- Waits until the folder differs from `hash` and stands still: its new hash.
local function next_save(folder, hash)
  while true do
    local now = fastr.rules.hash(folder)
    if now and now ~= hash then
      fastr.time.sleep(SETTLE_MS)
      if fastr.rules.hash(folder) == now then return now end
    else
      say_checked()
      fastr.time.sleep(POLL_MS)
    end
  end
end

-- One save: the pack that is the parent of the next, and its past.
local function on_save(folder, parent, past, given)
  local began = fastr.time.unix_ms()
  local draft, examples = packs.open(folder, true)
  if not draft then
    print(examples .. "\nnot live; " .. words.hash(parent:hash()) .. " goes on\n")
    return parent, past
  end
  local tally, next_past = replay(draft, past)
  show(changed(parent, draft), examples, tally, past, fastr.time.unix_ms() - began)
  local unknown = subjects.line(draft)
  if unknown then print("but " .. unknown) end
  go_live(draft, tally, given)
  print("")
  check_later(draft, parent, given)
  parent:close()
  return draft, next_past
end

function M.main(arguments)
  local given, message = options.read(arguments, {}, { orders = true, dry = false })
  if not given then return nil, message end
  io.stdout:setvbuf("line")
  local folder = packs.folder()
  local parent
  parent = packs.open_live()
  if not parent then parent, message = packs.open(folder) end
  if not parent then return false, message end
  local hash = fastr.rules.hash(folder) -- before it is compared: what is saved meanwhile is seen
  if not packs.is_on_disk(parent) then hash = parent:hash() end
  local orders, unread = recorded.sample(given.orders)
  local past = decided_by(parent, orders or {})
  print(("watching %s: live is %s; %s placed orders to compare with%s\n"):format(folder, words.hash(parent:hash()),
    words.count(#past.orders), unread and " (" .. unread .. ")" or ""))
  while true do
    hash = next_save(folder, hash)
    parent, past = on_save(folder, parent, past, given)
  end
end

return M
