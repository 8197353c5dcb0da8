-- stock: the rules of holding, taking and giving back units. All functions run in the caller's transaction, lock the
-- order's reservation first and then stock rows in the order of sku, and are safe to repeat.
--
--            hold                    commit
--   (none) --------> held --------------------> committed --> restock, some units, once per key
--             ^       |  ^                         ^
--      hold   |       |  | extend, hold            | commit, if the units are still there
--             |       v  |                         |
--          released  expired ----------------------+
--
-- What is refused: holding or taking more than there is, giving back what was committed, restocking more than was
-- taken.

local problem = require "lib.problem"
local outbox = require "platform.outbox"
local store = require "services.product.store"

local M = {}

-- Lines of one sku summed into one, in the order of sku.
local function summed(lines)
  local total, result = {}, {}
  for _, line in ipairs(lines) do
    if not total[line.sku] then
      total[line.sku] = { sku = line.sku, quantity = 0 }
      result[#result + 1] = total[line.sku]
    end
    total[line.sku].quantity = total[line.sku].quantity + line.quantity
  end
  table.sort(result, function(a, b) return a.sku < b.sku end)
  return result
end

local function same(a, b)
  if #a ~= #b then return false end
  for i, line in ipairs(a) do
    if line.sku ~= b[i].sku or line.quantity ~= b[i].quantity then return false end
  end
  return true
end

local function skus_of(lines)
  local skus = {}
  for i, line in ipairs(lines) do skus[i] = line.sku end
  return skus
end

local function short_of(sku, wanted, available)
  return { path = sku, problem = ("%d wanted, %d there"):format(wanted, available), wanted = wanted,
    available = available }
end

local function shortage(short)
  local names = {}
  for i, e in ipairs(short) do names[i] = e.path end
  return problem.new("insufficient_stock", { errors = fastr.json.array(short),
    detail = "Not enough of " .. table.concat(names, ", ", 1, math.min(#names, 10)) })
end

-- Locks the lines' stock; nil and a problem if others' holds leave less than the lines want.
local function check(tx, lines, order, now)
  local skus = skus_of(lines)
  local on_hand = store.lock_stock(tx, skus)
  local taken, short = store.held_by_others(tx, skus, order, now), {}
  for _, line in ipairs(lines) do
    local left = (on_hand[line.sku] or 0) - (taken[line.sku] or 0)
    if left < line.quantity then
      short[#short + 1] = short_of(line.sku, line.quantity, math.max(0, left))
    end
  end
  if #short > 0 then return nil, shortage(short) end
  return true
end

local function announce(tx, r, kind, lines, reason)
  outbox.add(tx, { topic = "stock", key = r.order, type = "stock." .. kind .. ".v1", sequence = r.version,
    data = { order = r.order, lines = fastr.json.array(lines), reason = reason } })
end

-- Moves a locked reservation to `state` and tells the world.
local function move(tx, r, state, event, lines, now, reason)
  r.state, r.version = state, r.version + 1
  store.save_reservation(tx, r, now)
  announce(tx, r, event, lines, reason)
  return r
end

local function drop(tx, r, kind, now)
  store.drop_holds(tx, r.order)
  if #r.lines > 0 then
    store.record(tx, r.lines, { kind = kind, on_hand = 0, held = -1, order = r.order, now = now, actor = "order" })
  end
end

local function later(now, seconds)
  return fastr.time.iso(fastr.time.parse(now) + seconds * 1000)
end

-- The same lines, still held: only the time changes.
local function prolong(tx, r, seconds, now)
  r.expires_at = later(now, seconds)
  store.extend_holds(tx, r.order, r.expires_at)
  store.save_reservation(tx, r, now)
  return r
end

local function alive(r, now)
  return r.state == "held" and fastr.time.parse(r.expires_at) > fastr.time.parse(now)
end

local function hold_lines(tx, r, lines, seconds, now)
  local ok, failed = check(tx, lines, r.order, now)
  if not ok then return nil, failed end
  if r.state == "held" then drop(tx, r, "release", now) end
  r.lines, r.expires_at = lines, later(now, seconds)
  store.add_holds(tx, r.order, lines, r.expires_at)
  store.record(tx, lines, { kind = "hold", on_hand = 0, held = 1, order = r.order, now = now, actor = "order" })
  return move(tx, r, "held", "held", lines, now)
end

local function committed(r)
  return problem.new("conflict", { detail = "The stock of order " .. r.order .. " has left the shelf" })
end

-- Makes the order's hold exactly `body.lines` for `body.seconds` from now.
function M.hold(tx, body, now)
  local r, lines = store.open_reservation(tx, body.order, now), summed(body.lines)
  if r.state == "committed" then
    if same(r.lines, lines) then return r end
    return nil, committed(r)
  end
  if alive(r, now) and same(r.lines, lines) then return prolong(tx, r, body.seconds, now) end
  return hold_lines(tx, r, lines, body.seconds, now)
end

local function find(tx, order)
  local r = store.lock_reservation(tx, order)
  if r then return r end
  return nil, problem.new("hold_not_found", { detail = "Order " .. order .. " never held any stock" })
end

-- The same, but for one that was given back: that is not taken up again.
local function find_kept(tx, order)
  local r, failed = find(tx, order)
  if not r or r.state ~= "released" then return r, failed end
  return nil, problem.new("hold_expired", { detail = "The hold of order " .. r.order .. " was given back" })
end

function M.extend(tx, body, now)
  local r, failed = find_kept(tx, body.order)
  if not r then return nil, failed end
  if r.state == "committed" then return r end
  if alive(r, now) then return prolong(tx, r, body.seconds, now) end
  return hold_lines(tx, r, r.lines, body.seconds, now)
end

-- Takes the units off the shelf. A hold that ran out is taken all the same where nobody else was promised the units.
function M.commit(tx, body, now)
  local r, failed = find_kept(tx, body.order)
  if not r then return nil, failed end
  if r.state == "committed" then return r end
  local ok
  ok, failed = check(tx, r.lines, r.order, now)
  if not ok then return nil, failed end
  local held = r.state == "held" and -1 or 0
  store.drop_holds(tx, r.order)
  store.change_on_hand(tx, r.lines, -1)
  store.record(tx, r.lines, { kind = "commit", on_hand = -1, held = held, order = r.order, now = now, actor = "order" })
  return move(tx, r, "committed", "committed", r.lines, now)
end

function M.release(tx, body, now)
  local r = store.open_reservation(tx, body.order, now)
  if r.state == "committed" then return nil, committed(r) end
  if r.state == "released" then return r end
  if r.state == "held" then drop(tx, r, "release", now) end
  return move(tx, r, "released", "released", r.lines, now)
end

-- What may still come back of a committed order; nil and a problem if `lines` are more than that.
local function returnable(tx, r, lines)
  local back, left, short = store.restocked(tx, r.order), {}, {}
  for _, line in ipairs(r.lines) do left[line.sku] = line.quantity - (back[line.sku] or 0) end
  for _, line in ipairs(lines) do
    if line.quantity > (left[line.sku] or 0) then
      short[#short + 1] = short_of(line.sku, line.quantity, left[line.sku] or 0)
    end
  end
  if #short == 0 then return true end
  return nil, problem.new("conflict", { errors = fastr.json.array(short),
    detail = "More would come back than order " .. r.order .. " took" })
end

function M.restock(tx, body, now)
  local r, failed = find(tx, body.order)
  if not r then return nil, failed end
  if r.state ~= "committed" then
    return nil, problem.new("conflict", { detail = "Nothing of order " .. r.order .. " has left the shelf" })
  end
  local lines = summed(body.lines)
  if store.has_restock(tx, r.order, body.key) then return r end
  local ok
  ok, failed = returnable(tx, r, lines)
  if not ok then return nil, failed end
  store.add_restock(tx, r.order, body.key, lines, now)
  store.lock_stock(tx, skus_of(lines))
  store.change_on_hand(tx, lines, 1)
  store.record(tx, lines, { kind = "restock", on_hand = 1, held = 0, order = r.order, now = now, reason = body.key,
    actor = "order" })
  return move(tx, r, "committed", "restocked", lines, now, body.key)
end

-- Adds `delta` units to what is on hand; refused where live holds would promise more than is left.
-- Returns {sku, on_hand, held, available}.
function M.adjust(tx, sku, delta, reason, actor)
  local now = fastr.time.now()
  local on_hand = store.lock_stock(tx, { sku })[sku]
  if not on_hand then return nil, problem.new("product_not_found", { detail = "There is no product " .. sku }) end
  local held = store.held_by_others(tx, { sku }, nil, now)[sku] or 0
  if on_hand + delta < held then
    return nil, problem.new("stock_negative", { detail = ("%d on hand, %d of them held: at most %d can be taken away")
      :format(on_hand, held, on_hand - held) })
  end
  on_hand = store.adjust(tx, sku, delta)
  store.record(tx, { { sku = sku, quantity = delta } }, { kind = "adjust", on_hand = 1, held = 0, reason = reason,
    actor = actor, now = now })
  return { sku = sku, on_hand = on_hand, held = held, available = on_hand - held }
end

-- Lets a hold that ran out go. Nothing happens if the order has moved on meanwhile.
function M.expire(tx, order, now)
  local r = store.lock_reservation(tx, order)
  if not r or r.state ~= "held" or alive(r, now) then return true end
  drop(tx, r, "expire", now)
  return move(tx, r, "expired", "released", r.lines, now, "expired")
end

return M
