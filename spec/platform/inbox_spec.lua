-- platform.inbox against PostgreSQL. Messages are handed to the consumer as kafka.c would; keys are of this run alone.

local database = require "platform.db"
local inbox = require "platform.inbox"
local problem = require "lib.problem"

local db = database.open("notification")
local effects, fail -- what the handler did, and what it is to answer instead

local service = { name = "notification", events = {}, consumes = {
  { topic = "order", events = { ["order.spec.v1"] = "on_spec" } },
  { topic = "order", broadcast = true, events = { ["order.spec.v1"] = "on_spec" } } } }

function service.events.on_spec(tx, event)
  if tx then assert(#tx:query("select 1") == 1) end
  if fail then return fail(event) end
  effects[#effects + 1] = event.data.n
  return true
end

local function unique() return "spec-" .. fastr.crypto.uuid7() end

local function message(key, n, attempt)
  return { topic = "order", partition = 0, offset = n, key = key, attempt = attempt or 1, headers = {},
    value = fastr.json.encode { specversion = "1.0", id = fastr.crypto.uuid7(), type = "order.spec.v1", subject = key,
      sequence = n, data = { n = n } } }
end

local handle = inbox.consumers(service)[1].handle

local function parked(key)
  local rows = db:latest("select reason, attempts from parked where key = $1 and redriven_at is null order by id", key)
  return rows
end

before_each(function() effects, fail = {}, nil end)

teardown(function()
  db:write("delete from parked where key like 'spec-%'")
  db:write("delete from outbox where key like 'spec-%'")
  db:write("delete from inbox_sequences where key like 'spec-%'")
end)

describe("inbox", function()
  it("gives one consumer to each topic, and a group of its own to a broadcast", function()
    local list = inbox.consumers(service)
    assert.same({ "notification", false }, { list[1].group, list[1].broadcast })
    assert.same({ "notification.broadcast", true }, { list[2].group, list[2].broadcast })
  end)

  it("has one effect for an event that comes twice", function()
    local twice = message(unique(), 1)
    assert.is_true(handle(twice))
    assert.is_true(handle(twice))
    assert.same({ 1 }, effects)
  end)

  it("passes over events that the service does not name", function()
    local other = message(unique(), 1)
    other.value = other.value:gsub("order%.spec%.v1", "order.other.v1")
    assert.is_true(handle(other))
    assert.same({}, effects)
  end)

  it("keeps nothing of an attempt that fails", function()
    local again = message(unique(), 1)
    fail = function() error("boom") end
    local done, why = handle(again)
    assert.is_false(done)
    assert.truthy(why:find("boom", 1, true))
    fail = nil
    assert.is_true(handle(again))
    assert.same({ 1 }, effects)
  end)

  it("parks after five attempts, parks later events of the key behind it, and lets other keys go on", function()
    local key, other = unique(), unique()
    fail = function() return nil, "it is broken" end
    assert.is_false((handle(message(key, 1, 4))))
    assert.is_true(handle(message(key, 2, 5)))
    fail = nil
    assert.is_true(handle(message(key, 3)))
    assert.is_true(handle(message(other, 4)))
    assert.same({ 4 }, effects)
    local rows = parked(key)
    assert.same({ "it is broken", 5 }, { rows[1].reason, rows[1].attempts })
    assert.equal(2, #rows)
    local told = db:latest("select data from outbox where topic = 'order.dlq' and key = $1 order by id", key)
    assert.equal("it is broken", told[1].data.reason)
    assert.equal(2, #told)
  end)

  it("redrives the events of a key in their order, and stops at one that fails again", function()
    local key = unique()
    fail = function() return nil, "it is broken" end
    assert.is_true(handle(message(key, 1, 5)))
    fail = nil
    for n = 2, 4 do assert.is_true(handle(message(key, n))) end
    fail = function(event)
      if event.data.n == 3 then return nil, "three is broken" end
      effects[#effects + 1] = event.data.n
      return true
    end
    local count, why = inbox.redrive(service, "order", key)
    assert.same({ 2, "three is broken" }, { count, why })
    fail = nil
    assert.equal(2, (inbox.redrive(service, "order", key)))
    assert.same({ 1, 2, 3, 4 }, effects)
    assert.equal(0, #parked(key))
    assert.is_true(handle(message(key, 5)))
    assert.same({ 1, 2, 3, 4, 5 }, effects)
  end)

  it("waits for what is away and never parks for it", function()
    local key = unique()
    fail = function() return nil, problem.of_error("unavailable") end
    assert.is_false((handle(message(key, 1, 50))))
    fail = function() return nil, "no answer", "timeout" end
    assert.is_false((handle(message(key, 1, 50))))
    assert.equal(0, #parked(key))
  end)

  it("parks what is no event", function()
    local key = unique()
    assert.is_true(handle { topic = "order", partition = 0, offset = 7, key = key, value = "{", headers = {} })
    assert.truthy(parked(key)[1].reason:find("not JSON", 1, true))
  end)

  it("parks an event whose handler ran into the deadline again and again", function()
    local key = unique()
    local slow = message(key, 1, 6)
    slow.last_error = "cancelled: the deadline has passed"
    assert.is_true(handle(slow))
    assert.equal(slow.last_error, parked(key)[1].reason)
  end)

  it("gives a broadcast's function no transaction, and survives what it raises", function()
    local listen = inbox.consumers(service)[2].handle
    assert.is_true(listen(message(unique(), 1)))
    assert.same({ 1 }, effects)
    fail = error
    assert.is_true(listen(message(unique(), 2)))
  end)
end)
