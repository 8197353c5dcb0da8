-- replay: decides recorded orders again, in as many processes as there are cores, and says what came of it.
--
--   M.run --fork/exec--> fastr rules replay --part 1/4 --one JSON message a line--> M.run --> hear(message)
--
-- Messages: { done = orders, weight, sums, instructions } now and then; { pack } for each pack that is opened; of an
-- order { wrong = {number, placed_at, pack, what} } when its past is not proved, { change } when it would have cost
-- something else, { same } when not (only for who wants to hear of each), { failure = {number, message} } when it
-- cannot be decided.

local child = require "services.rules.child"
local compare = require "services.rules.compare"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local report = require "services.rules.report"
local words = require "services.rules.words"

local M = {}

local POINT = "price.cart"
local TELL_EVERY = 100 -- orders
local PACKS_OPEN = 8

-- ---- one order ----------------------------------------------------------------------------------------------------

-- function(hash) -> pack, or nil and why not; few are open at a time. `opened` hears of each.
local function opener(opened)
  local open, failed, order = {}, {}, {}
  return function(hash)
    if open[hash] or failed[hash] then return open[hash], failed[hash] end
    open[hash], failed[hash] = packs.open(hash)
    if failed[hash] then return nil, failed[hash] end
    opened(hash)
    order[#order + 1] = hash
    if #order > PACKS_OPEN then
      local oldest = table.remove(order, 1)
      open[oldest]:close()
      open[oldest] = nil
    end
    return open[hash]
  end
end

-- What is wrong with the arithmetic that an order asks for, or nil.
local function lost_arithmetic(abi)
  local newest, oldest = fastr.rules.abi, fastr.rules.oldest_abi
  if abi >= oldest and abi <= newest then return nil end
  return ("it was priced with version %d of the arithmetic; this fastr has %d to %d"):format(abi, oldest, newest)
end

local function parted(order, text)
  local before, message = fastr.json.decode(order.decision)
  if type(before) ~= "table" then return "its decision is no object" .. (message and ": " .. message or "") end
  local now = fastr.json.decode(text)
  local trace = before.trace and compare.traces(before.trace, now.trace, true)
  if trace then return ("trace entry %d: %s"):format(trace.index, words.parting(trace, order.currency)) end
  local first = compare.fields(before, now)
  return first and words.field(first)
end

-- What the order charges otherwise than its decision says, or nil.
local function charged(order)
  local decision = fastr.json.decode(order.decision)
  for _, name in ipairs { "total", "due" } do
    if order[name] and decision[name] and decision[name] ~= order[name] then
      return words.field { field = name, before = order[name], after = decision[name] }
    end
  end
end

-- Does the text of its decision have these very amounts? A look at the text, where most orders end.
local function says_so(order)
  local function has(name) return order.decision:find(('"%s":%d,'):format(name, order[name] or -1), 1, true) end
  return has "total" and has "due"
end

-- What is wrong with an order's past, or nil. Where all is well, texts are compared and no table is made.
local function disproved(pack, order)
  local lost = lost_arithmetic(order.abi)
  if lost then return lost end
  local text, message = pack:decide_text(POINT, order.facts)
  if not text then return message end
  local wrong = text ~= order.decision and parted(order, text)
  if wrong then return wrong end
  if not order.proof then return charged(order) end
  if fastr.crypto.sha256(order.facts .. "\n" .. order.decision) ~= order.proof then
    return "its facts or its decision are not those that were stored with it: their SHA-256 is another one"
  end
  if not says_so(order) then return charged(order) end
end

local function prove_with(tell)
  local open = opener(function(hash) tell { pack = hash } end)
  return function(order)
    local pack, failed = open(order.pack)
    local what = failed or disproved(pack, order)
    if what then
      tell { wrong = { number = order.number, placed_at = order.placed_at, pack = order.pack,
        what = what:sub(1, 2000) } }
    end
    return 0
  end
end

local PACK = #(',"pack":"sha256:"}') + 64 -- the end of every decision's text

local function same_but_pack(a, b)
  return a == b or (#a == #b and a:sub(1, -PACK - 1) == b:sub(1, -PACK - 1))
end

local function compare_with(pack, every, tell)
  return function(order)
    local text, info = pack:decide_text(POINT, order.facts)
    if not text then
      tell { failure = { number = order.number, message = info:sub(1, 2000) } }
      return 0
    end
    local difference = not same_but_pack(text, order.decision)
      and compare.decisions(fastr.json.decode(order.decision), fastr.json.decode(text))
    if difference then
      tell { change = report.change(order, difference) }
    elseif every then
      tell { same = { number = order.number, placed_at = order.placed_at, currency = order.currency,
        before = order.total, after = order.total, delta = 0 } }
    end
    return info.instructions
  end
end

-- ---- all of them --------------------------------------------------------------------------------------------------

-- The pack that is compared with, or nil and why not. It must not have been edited since the first process read it.
local function draft_of(job)
  local pack, message = packs.open(job.with)
  if not pack then return nil, message end
  if job.hash and pack:hash() ~= job.hash then return nil, job.with .. " was edited meanwhile" end
  return pack
end

-- Decides the orders of `job` in this process: { since, pack, path, part, parts } as recorded.each takes them; with = a
-- folder or hash to compare with (nil: the past is proved), hash = what it must be, every = whether orders that would
-- not change are told of too. True, or nil and why they could not all be looked at.
function M.work(job, tell)
  local draft, message
  if job.with then
    draft, message = draft_of(job)
    if not draft then return nil, message end
  end
  local decide = draft and compare_with(draft, job.every, tell) or prove_with(tell)
  local since = { done = 0, weight = 0, sums = {}, instructions = 0 }
  local function flush()
    if since.done > 0 then tell(since) end
    since = { done = 0, weight = 0, sums = {}, instructions = 0 }
  end
  local count
  count, message = recorded.each(job, function(order, weight)
    since.instructions = since.instructions + decide(order)
    since.done, since.weight = since.done + 1, since.weight + weight
    since.sums[order.currency] = (since.sums[order.currency] or 0) + order.total
    if since.done == TELL_EVERY then flush() end
  end)
  flush()
  if not count then return nil, message end
  return true
end

-- ---- in several processes -----------------------------------------------------------------------------------------

local OPTIONS = { since = "--since", pack = "--pack", path = "--orders", with = "--with", hash = "--hash" }

-- The shell's text that runs a part of the job and then says how it ended.
local function part_of(job, part, parts)
  local list = { "replay", "--part", ("%d/%d"):format(part, parts) }
  for name, option in pairs(OPTIONS) do
    if job[name] then list[#list + 1], list[#list + 2] = option, job[name] end
  end
  if job.every then list[#list + 1] = "--every" end
  return ("{ %s; echo '{\"ended\":%d,\"status\":'$?'}'; } &"):format(child.command(list, "</dev/null"), part + 1)
end

local function start(job, parts)
  local script = {}
  for part = 0, parts - 1 do script[part + 1] = part_of(job, part, parts) end
  script[parts + 1] = "wait"
  return io.popen(table.concat(script, "\n"), "r")
end

-- Hears out all processes: true, or nil and which did not end well.
local function listen(pipe, parts, hear)
  local ended, wrong = 0, nil
  for line in pipe:lines() do
    local message = fastr.json.decode(line)
    if not message then
      wrong = "a process of the replay wrote what is no message: " .. line:sub(1, 200)
    elseif message.ended then
      ended = ended + 1
      if message.status ~= 0 then
        wrong = wrong or ("process %d of %d ended with status %d"):format(message.ended, parts, message.status)
      end
    elseif message.unread then
      wrong = message.unread
    else
      hear(message)
    end
  end
  pipe:close()
  if ended < parts then wrong = wrong or ("%d of %d processes never ended well"):format(parts - ended, parts) end
  return wrong == nil or nil, wrong
end

local function cores()
  local pipe = io.popen("nproc")
  local number = tonumber(pipe:read("*l"))
  pipe:close()
  return math.max(1, math.min(number or 1, 64))
end

local WORTH = { orders = 2000, bytes = 8000000 } -- from so much on, more processes save more than they cost

-- Decides the orders of `job` in `jobs` processes (nil: as many as there are cores, if there is enough to do), and
-- calls hear(message) for what they say. `weight`: of recorded.weight. True, or nil and why not all could be looked at.
function M.run(job, jobs, weight, hear)
  local parts = jobs or (weight >= (job.path and WORTH.bytes or WORTH.orders) and cores() or 1)
  if parts == 1 then return M.work(job, hear) end
  return listen(start(job, parts), parts, hear)
end

-- One of those processes: writes its messages, a line each, none longer than a pipe takes at once.
function M.part(job)
  local function tell(message)
    if not (io.stdout:write(fastr.json.encode(message), "\n") and io.stdout:flush()) then os.exit(1) end
  end
  local well, message = M.work(job, tell)
  if not well then tell { unread = message:sub(1, 3000) } end
  return well == true
end

-- ---- the bar ------------------------------------------------------------------------------------------------------

-- { add(message), wipe() }: how far it has come, on standard error, where that is a terminal.
function M.bar(weight)
  local bar, done, orders, began, shown = {}, 0, 0, fastr.time.unix_ms(), 0
  local terminal = os.execute("test -t 2") == 0
  function bar.add(message)
    done, orders = done + (message.weight or 0), orders + (message.done or 0)
    local now = fastr.time.unix_ms()
    if not terminal or now - shown < 100 then return end
    shown = now
    local share = weight > 0 and math.min(1, done / weight) or 1
    local width = math.floor(share * 30)
    io.stderr:write(("\r[%s%s] %3d %%  %s orders, %s a second "):format(("#"):rep(width), ("."):rep(30 - width),
      math.floor(share * 100), words.count(orders), words.count(math.floor(orders * 1000 / math.max(1, now - began)))))
  end
  function bar.wipe()
    if terminal and shown > 0 then io.stderr:write("\r", (" "):rep(78), "\r") end
  end
  return bar
end

return M
