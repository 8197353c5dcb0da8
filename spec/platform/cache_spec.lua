-- platform.cache against Redis, with keys of this run alone.

local cache = require "platform.cache"

local OPTIONS = { ttl_ms = 10000 }
local calls

local function unique() return "spec:" .. fastr.crypto.uuid7() end
local function loader(value)
  return function()
    calls = calls + 1
    return value
  end
end

local function eventually(what, fn)
  local deadline = fastr.time.unix_ms() + 5000
  while not fn() do
    assert(fastr.time.unix_ms() < deadline, what .. " within 5 s")
    fastr.time.sleep(5)
  end
end

setup(function() eventually("Redis answers", function() return fastr.redis.call("PING") end) end)
before_each(function() calls = 0 end)

describe("cache", function()
  it("calls the function once and gives copies afterwards", function()
    local key = unique()
    local first = cache.fetch(key, OPTIONS, loader { price = 5, list = fastr.json.array {} })
    first.price = 6
    local second = cache.fetch(key, OPTIONS, loader { price = 7 })
    assert.equal(5, second.price)
    assert.is_true(fastr.json.is_array(second.list))
    assert.equal(1, calls)
  end)

  it("looks again once the entry has expired", function()
    local key = unique()
    cache.fetch(key, { ttl_ms = 20 }, loader { n = 1 })
    eventually("it expires", function() return cache.fetch(key, { ttl_ms = 20 }, loader { n = 2 }).n == 2 end)
  end)

  it("looks again after forget", function()
    local key = unique()
    cache.fetch(key, OPTIONS, loader { n = 1 })
    assert.is_true(cache.forget(key))
    assert.equal(2, cache.fetch(key, OPTIONS, loader { n = 2 }).n)
  end)

  it("refuses a fill that began before the entry was forgotten", function()
    local key = unique()
    local stale = cache.fetch(key, OPTIONS, function()
      cache.forget(key) -- somebody writes while we look
      return { n = 1 }
    end)
    assert.equal(1, stale.n)
    assert.equal(2, cache.fetch(key, OPTIONS, loader { n = 2 }).n)
  end)

  it("passes by an entry older than the version asked for", function()
    local key = unique()
    cache.fetch(key, OPTIONS, loader { version = 3 })
    assert.equal(3, cache.fetch(key, { ttl_ms = 10000, version = 3 }, loader { version = 9 }).version)
    assert.equal(4, cache.fetch(key, { ttl_ms = 10000, version = 4 }, loader { version = 4 }).version)
    assert.equal(4, cache.fetch(key, { ttl_ms = 10000, version = 4 }, loader { version = 5 }).version)
  end)

  it("passes nil, false and failures on and keeps none of them", function()
    local key = unique()
    assert.is_nil(cache.fetch(key, OPTIONS, loader(nil)))
    assert.is_false(cache.fetch(key, OPTIONS, loader(false)))
    local value, failed = cache.fetch(key, OPTIONS, function() return nil, "no" end)
    assert.same({ nil, "no" }, { value, failed })
    assert.equal(1, cache.fetch(key, OPTIONS, loader { n = 1 }).n)
  end)

  it("raises what the function raises, and the next one tries again", function()
    local key = unique()
    assert.has_error(function() cache.fetch(key, OPTIONS, function() error("boom", 0) end) end, "boom")
    assert.equal(1, cache.fetch(key, OPTIONS, loader { n = 1 }).n)
  end)

  it("lets one task look a missing key up while the others wait for it", function()
    local key, tasks = unique(), {}
    for i = 1, 10 do
      tasks[i] = function()
        return cache.fetch(key, OPTIONS, function()
          calls = calls + 1
          fastr.time.sleep(50)
          return { n = calls }
        end).n
      end
    end
    for _, result in ipairs(fastr.all(tasks)) do assert.equal(1, result[1]) end
    assert.equal(1, calls)
  end)
end)
