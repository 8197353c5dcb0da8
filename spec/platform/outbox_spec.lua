-- platform.outbox against PostgreSQL and Kafka; what was published is read with kcat. Works in the schema of service
-- notification with keys of its own, so a relay of a running shop may do the publishing.

local database = require "platform.db"
local outbox = require "platform.outbox"

local db = database.open("notification")
local BROKERS = assert(os.getenv("FASTR_KAFKA_BROKERS") or os.getenv("KAFKA_BROKERS"), "KAFKA_BROKERS is not set")

local function unique() return "spec-" .. fastr.crypto.uuid7() end

local function add(key, data)
  return db:transaction(function(tx)
    return outbox.add(tx, { topic = "order", key = key, type = "order.spec.v1", data = data })
  end)
end

local function unsent(key)
  return db:latest("select count(*) as n from outbox where key = $1 and sent_at is null", key)[1].n
end

-- Runs the relay until everything of `key` is marked as sent.
local function relay_until_sent(key)
  local relay, deadline = outbox.relay("notification"), fastr.time.unix_ms() + 20000
  while unsent(key) > 0 do
    assert(fastr.time.unix_ms() < deadline, "not published within 20 s")
    assert(relay.handle())
  end
end

-- The messages of `key` in topic order, as kcat prints them: {headers, value decoded}.
local function published(key)
  local pipe = io.popen("kcat -C -b " .. BROKERS .. " -t order -e -q -f '%k\t%h\t%s\n' 2>/dev/null")
  local found = {}
  for line in pipe:lines() do
    local name, headers, value = line:match("^(.-)\t(.-)\t(.*)$")
    if name == key then found[#found + 1] = { headers = headers, event = assert(fastr.json.decode(value)) } end
  end
  pipe:close()
  return found
end

teardown(function() db:write("delete from outbox where key like 'spec-%'") end)

describe("outbox", function()
  it("numbers the events of each aggregate without gaps", function()
    local one, other = unique(), unique()
    assert.equal(1, select(2, add(one, { n = 1 })))
    assert.equal(2, select(2, add(one, { n = 2 })))
    assert.equal(1, select(2, add(other, { n = 1 })))
  end)

  it("keeps nothing of a transaction that is rolled back, not even its number", function()
    local key = unique()
    db:transaction(function(tx)
      outbox.add(tx, { topic = "order", key = key, type = "order.spec.v1", data = {} })
      return nil, "no"
    end)
    assert.equal(0, unsent(key))
    assert.equal(1, select(2, add(key, {})))
  end)

  it("publishes the events of a key in their order, as CloudEvents with the writer's trace", function()
    local key = unique()
    local id = add(key, { list = fastr.json.array {}, n = 1 })
    for n = 2, 5 do add(key, { n = n }) end
    relay_until_sent(key)
    local found = published(key)
    assert.is_true(#found >= 5)
    for n = 1, 5 do
      assert.equal(n, found[n].event.sequence)
      assert.equal(n, found[n].event.data.n)
    end
    local event = found[1].event
    assert.same({ "1.0", id, "/services/notification", "order.spec.v1", key, "application/json" }, { event.specversion,
      event.id, event.source, event.type, event.subject, event.datacontenttype })
    assert.truthy(event.time:find("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"))
    assert.is_true(fastr.json.is_array(event.data.list))
    assert.truthy(found[1].headers:find("traceparent=" .. fastr.task.traceparent():sub(1, 35), 1, true))
  end)

  it("leaves publishing to the worker that holds the lease", function()
    db:write([[insert into outbox_lease as l (holder, until) values ('somebody', clock_timestamp() + interval '3 s')
      on conflict (one) do update set holder = 'somebody', until = clock_timestamp() + interval '3 s']])
    local key = unique()
    add(key, { n = 1 })
    package.loaded["platform.outbox"] = nil -- a fresh relay, that knows of no lease of its own
    assert.is_true(require("platform.outbox").relay("notification").handle())
    assert.equal(1, unsent(key))
    relay_until_sent(key) -- takes over when it has run out
  end)

  it("refuses an event without topic, key, versioned type or data", function()
    local good = { topic = "order", key = "spec-x", type = "order.spec.v1", data = {} }
    for field, value in pairs { topic = "", key = 5, type = "order.spec", data = "text" } do
      local bad = {}
      for name, kept in pairs(good) do bad[name] = kept end
      bad[field] = value
      assert.has_error(function() outbox.add({ query = error }, bad) end)
    end
  end)
end)
