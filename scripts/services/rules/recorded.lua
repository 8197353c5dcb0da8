-- recorded: the orders that were really placed, with the facts their prices were decided from. They come from the
-- running shop, or from a file of them, one JSON object a line.

local call = require "platform.call"

local M = {}

local PAGE = 200

local function each_of_file(path, visit)
  local file, message = io.open(path, "r")
  if not file then return nil, message end
  local count = 0
  for line in file:lines() do
    count = count + 1
    local order
    order, message = fastr.json.decode(line)
    if type(order) ~= "table" or type(order.facts) ~= "table" then
      file:close()
      return nil, ("%s:%d: %s"):format(path, count, message or "an order with its facts is expected")
    end
    if visit(order) == false then break end
  end
  file:close()
  return count
end

local function page(query)
  fastr.task.set("service", "rules")
  local reply, failed = call.call("order", "recorded", query)
  if reply then return reply.items end
  return nil, "the shop's orders cannot be read: " .. (failed.detail or failed.title or failed.code)
end

-- The facts of the running shop's cart with this id, now: { facts, version, pack }, or nil and why not.
function M.cart(id)
  fastr.task.set("service", "rules")
  local reply, failed = call.call("cart", "facts", { cart = id })
  if reply then return reply end
  return nil, "the cart cannot be read: " .. (failed.detail or failed.title or failed.code)
end

-- The order of this number, or nil and why not.
function M.find(number, path)
  local found
  if path then
    local count, message = each_of_file(path, function(order)
      if order.number == number then found = order end
      return found == nil
    end)
    if not count then return nil, message end
  else
    local items, message = page { number = number, limit = 1 }
    if not items then return nil, message end
    found = items[1]
  end
  if not found then return nil, "no placed order has the number " .. number end
  return found
end

-- Calls visit(order) for every placed order since `since` (RFC 3339; nil: all), in the order of their placing: { id,
-- number, placed_at, total, line_totals, currency, facts, trace, pack, abi }. Stops early when visit returns false.
-- `path`: a file instead of the shop. The number visited, or nil and why they cannot be read.
function M.each(since, path, visit)
  if path then return each_of_file(path, visit) end
  local count, after = 0, nil
  while true do
    local items, message = page { after = after, since = since, limit = PAGE }
    if not items then return nil, message end
    for _, order in ipairs(items) do
      count = count + 1
      if visit(order) == false then return count end
      after = order.id
    end
    if #items < PAGE then return count end
  end
end

-- All of them as a list, or nil and why they cannot be read.
function M.all(path)
  local orders = {}
  local count, message = M.each(nil, path, function(order) orders[#orders + 1] = order end)
  if not count then return nil, message end
  return orders
end

return M
