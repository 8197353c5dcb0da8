-- cache: facts kept in Redis for a short time; never the only copy, never decisions. With Redis away every fetch calls
-- its function.
--
-- Each key has an entry (c:KEY) and a generation (g:KEY) that an invalidation raises. Who fills an entry says which
-- generation it saw before it looked at the facts; when that has passed, the fill is refused. So a slow reader cannot
-- put back what a writer has just forgotten. In one worker only one task at a time looks a missing key up; the others
-- wait for it.

local M = {}

local redis, json, flight = fastr.redis, fastr.json, fastr.flight

local GENERATION_MS = 600000 -- longer than any task
local JOINS = 3              -- how often a task waits for another that then ends without a value

local FILL = [[
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[2]) > tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1]]

local FORGET = [[
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])]]

-- An entry is {v = value, n = version}; one that is older than asked for is passed by.
local function usable(text, version)
  local entry = text and json.decode(text)
  if type(entry) ~= "table" or entry.v == nil then return nil end
  if version and (type(entry.n) ~= "number" or entry.n < version) then return nil end
  return entry
end

-- The entry and the generation, in one round trip. nil, nil when Redis is away.
local function look(key, version)
  local found = redis.call("MGET", "c:" .. key, "g:" .. key)
  if not found then return nil, nil end
  return usable(found[1] or nil, version), found[2] or ""
end

-- Expiry differs by up to a tenth either way, so that entries made together do not end together.
local function fill(key, generation, text, options)
  local jittered = math.floor(options.ttl_ms * (0.9 + 0.2 * math.random()))
  redis.call("EVAL", FILL, 2, "c:" .. key, "g:" .. key, generation, text, math.max(jittered, 1),
    GENERATION_MS - (options.settle_ms or 0))
end

-- Calls the function and keeps a value other than nil and false. Returns its results and the entry's text.
local function produce(key, options, generation, fn)
  local value, failed, code = fn()
  if value == nil or value == false or failed ~= nil then return nil, value, failed, code end
  local text = json.encode { v = value, n = type(value) == "table" and type(value.version) == "number"
    and value.version or nil }
  if text and generation then fill(key, generation, text, options) end
  return text, value
end

local function lead(key, name, options, generation, fn)
  local ok, text, value, failed, code = pcall(produce, key, options, generation, fn)
  flight.land(name, ok and text or nil)
  if not ok then error(text, 0) end
  return value, failed, code
end

-- cache.fetch(key, {ttl_ms=, version=, settle_ms=}, fn) (waits) -> the cached value, or what fn() returns.
-- A table or other JSON value is kept for about ttl_ms; nil, false and `nil, failed` of fn are passed on and not kept.
-- `version`: an entry whose value has a lower (or no) field `version` is passed by.
-- `settle_ms`: for so long after a forget nothing is kept: the replica that fn reads may not have the change yet.
-- What fn raises is raised. A cached table is the caller's own copy.
function M.fetch(key, options, fn)
  local entry, generation = look(key, options.version)
  if entry then return entry.v end
  if fastr.task.in_transaction() then return fn() end -- others must not wait for its locks
  local name = "cache." .. key
  for _ = 1, JOINS do
    local first, text = flight.join(name)
    if first then return lead(key, name, options, generation, fn) end
    entry = usable(text, options.version)
    if entry then return entry.v end
  end
  return fn()
end

-- cache.forget(key, ...) (waits): the entries are gone, and fills that began before are refused. Call it after the
-- commit. Returns true, or nil, message, code when Redis is away (entries then live until they expire).
function M.forget(...)
  for _, key in ipairs { ... } do
    local done, message, code = redis.call("EVAL", FORGET, 2, "c:" .. key, "g:" .. key, GENERATION_MS)
    if not done then return nil, message, code end
  end
  return true
end

return M
