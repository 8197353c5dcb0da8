-- recorded: the orders that were really placed, with the facts their prices were decided from. They come from the
-- running shop, or from a file of them, one JSON object a line.
--
-- An order is { id, number, placed_at, currency, total, due, pack, abi, proof, facts, decision }. Facts and decision
-- are the texts that were kept (in a file they may be objects too); `proof` is the SHA-256 of both, absent in old ones.

local call = require "platform.call"

local M = {}

local PAGE = 200

-- ---- from a file --------------------------------------------------------------------------------------------------

local function as_text(value)
  return type(value) == "table" and fastr.json.canonical(value) or value
end

local FIELDS = { "number", "placed_at", "currency", "total", "pack", "abi", "facts", "decision" }

-- The order of a line of a file, or nil and what is wrong with it.
local function parse(line)
  local order, message = fastr.json.decode(line)
  if type(order) ~= "table" then return nil, message or "an order is an object" end
  for _, name in ipairs(FIELDS) do
    if order[name] == nil then return nil, "an order has " .. name end
  end
  order.facts, order.decision = as_text(order.facts), as_text(order.decision)
  return order
end

-- The file, where its share `which.part` of `which.parts` begins and where it ends: a line belongs to whom its first
-- byte belongs to.
local function open_share(which)
  local file, message = io.open(which.path, "r")
  if not file then return nil, message end
  local size, part, parts = file:seek("end"), which.part or 0, which.parts or 1
  local from = math.floor(size * part / parts)
  file:seek("set", math.max(from - 1, 0))
  if from > 0 then from = from + #(file:read("*l") or "") end
  return file, from, math.floor(size * (part + 1) / parts)
end

-- Was it placed at `since` (milliseconds) or later, by a pack whose hash begins so? Either may be nil.
local function is_wanted(order, pack, since)
  return (not since or fastr.time.parse(order.placed_at) >= since)
    and (not pack or order.pack:sub(1, #pack) == pack)
end

local function each_of_file(which, visit)
  local file, at, stop = open_share(which)
  if not file then return nil, at end
  local since, count = which.since and fastr.time.parse(which.since), 0
  while at < stop do
    local line = file:read("*l")
    if not line then break end
    local order, message = parse(line)
    if not order then
      file:close()
      return nil, ("%s, the line at byte %d: %s"):format(which.path, at, message)
    end
    at = at + #line + 1
    if is_wanted(order, which.pack, since) then
      count = count + 1
      if visit(order, #line + 1) == false then break end
    end
  end
  file:close()
  return count
end

-- ---- from the shop ------------------------------------------------------------------------------------------------

-- Asks a service of the shop: its reply, or nil and why `what` cannot be read.
local function ask(service, op, body, what)
  fastr.task.set("service", "rules")
  local reply, failed = call.call(service, op, body)
  if reply then return reply end
  return nil, ("%s cannot be read: %s"):format(what, failed.detail or failed.title or failed.code)
end

local function ask_orders(op, body)
  return ask("order", op, body, "the shop's orders")
end

local function each_of_shop(which, visit)
  local count, after = 0, nil
  while true do
    local page, message = ask_orders("recorded", { after = after, since = which.since, pack = which.pack, limit = PAGE,
      part = which.part, parts = which.parts })
    if not page then return nil, message end
    for _, order in ipairs(page.items) do
      count, after = count + 1, order.id
      if visit(order, 1) == false then return count end
    end
    if #page.items == 0 then return count end
  end
end

-- ---- asking -------------------------------------------------------------------------------------------------------

-- Calls visit(order, weight) for every placed order, in the order of their placing, a page in memory at a time. `which`
-- says which: since (RFC 3339), pack (what its hash begins with, "sha256:..."), path (a file instead of the shop), and
-- part (from 0) of parts, a share. `weight` adds up to M.weight. Stops early when visit returns false. The number
-- visited, or nil and why they cannot be read.
function M.each(which, visit)
  if which.path then return each_of_file(which, visit) end
  return each_of_shop(which, visit)
end

-- What all of them weigh: their number, or the bytes of their file; nil and why they cannot be read.
function M.weight(which)
  if not which.path then
    local reply, message = ask_orders("recorded_count", { since = which.since, pack = which.pack })
    return reply and reply.count, message
  end
  local file, message = io.open(which.path, "r")
  if not file then return nil, message end
  local size = file:seek("end")
  file:close()
  return size
end

-- The order with facts and decision as tables; or nil and what is wrong with them.
local function opened(order)
  local facts, message = fastr.json.decode(order.facts)
  local decision, wrong = fastr.json.decode(order.decision)
  if type(facts) ~= "table" or type(decision) ~= "table" then
    return nil, ("order %s: %s"):format(order.number, message or wrong or "facts and decision are objects")
  end
  order.facts, order.decision = facts, decision
  return order
end

local function find_in_file(number, path)
  local found
  local count, message = each_of_file({ path = path }, function(order)
    if order.number == number then found = order end
    return found == nil
  end)
  return count and { found }, message
end

local function find_in_shop(number)
  local page, message = ask_orders("recorded", { number = number, limit = 1 })
  return page and page.items, message
end

-- The order of this number, in the file at `path` or (nil) in the shop, with facts and decision as tables; or nil and
-- why not.
function M.find(number, path)
  local found, message
  if path then found, message = find_in_file(number, path) else found, message = find_in_shop(number) end
  if not found then return nil, message end
  if not found[1] then return nil, "no placed order has the number " .. number end
  return opened(found[1])
end

local MOST, MOST_PARTS = 1000, 256

-- How many shares the shop's orders are to be cut into so that one of them is a sample that fits; nil and why not.
local function shares()
  local count, message = M.weight {}
  if not count then return nil, message end
  return math.min(MOST_PARTS, math.max(1, math.ceil(count / MOST)))
end

-- Those of a file, or of the shop (about a thousand of them, placed at any time, where there are more), as a list with
-- facts and decisions as tables, and "one in N of them" if these are not all; or nil and why they cannot be read.
function M.sample(path)
  local parts, message = 1, nil
  if not path then parts, message = shares() end
  if not parts then return nil, message end
  local orders, wrong = {}, nil
  local count, unread = M.each({ path = path, part = 0, parts = parts }, function(order)
    orders[#orders + 1], wrong = opened(order)
    return wrong == nil
  end)
  if not count or wrong then return nil, wrong or unread end
  return orders, parts > 1 and ("one in %d of them"):format(parts) or nil
end

-- The facts of the running shop's cart with this id, now: { facts, version, pack }, or nil and why not.
function M.cart(id)
  return ask("cart", "facts", { cart = id }, "the cart")
end

return M
