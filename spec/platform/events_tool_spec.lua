-- fastr events, as an operator types it, against PostgreSQL and Kafka. Events of the specs have keys of their own, and
-- are parked for `notification`, whose handlers know no event of their type: so taking one up sends no mail.

local database = require "platform.db"
local inbox = require "platform.inbox"
local outbox = require "platform.outbox"
local shell = require "spec.support.shell"

local db = database.open("notification")

local service = { name = "notification", events = {}, consumes = {
  { topic = "order", events = { ["order.spec.v1"] = "on_spec" } } } }
function service.events.on_spec() return nil, "it is broken" end

local function unique() return "spec-" .. fastr.crypto.uuid7() end

local function message(key, n)
  return { topic = "order", partition = 0, offset = n, key = key, attempt = 5, headers = {},
    value = fastr.json.encode { specversion = "1.0", id = fastr.crypto.uuid7(), type = "order.spec.v1", subject = key,
      sequence = n, data = { n = n } } }
end

-- Parks `count` events of a new key; the key, and their numbers.
local function park(count)
  local key, ids = unique(), {}
  for n = 1, count do assert.is_true(inbox.consumers(service)[1].handle(message(key, n))) end
  for i, row in ipairs(db:latest("select id from parked where key = $1 order by id", key)) do ids[i] = row.id end
  return key, ids
end

local function open_ids(key)
  local ids = {}
  for i, row in ipairs(db:latest("select id from parked where key = $1 and redriven_at is null order by id", key)) do
    ids[i] = row.id
  end
  return ids
end

-- What `fastr events` printed on both outputs, and its exit code.
local function events(words)
  local code, text = shell.run("FASTR_LOG_LEVEL=error bin/fastr events " .. words)
  return text, code
end

teardown(function()
  db:write("delete from parked where key like 'spec-%'")
  db:write("delete from outbox where key like 'spec-%'")
  db:write("delete from inbox_sequences where key like 'spec-%'")
end)

describe("fastr events", function()
  it("parked names each with its reason, those behind it too", function()
    local key, ids = park(2)
    local text, code = events("parked notification")
    assert.equal(0, code)
    assert.truthy(text:find(("%6d  order %s since"):format(ids[1], key), 1, true))
    assert.truthy(text:find("it is broken (5 attempts)", 1, true))
    assert.truthy(text:find("behind a parked event of its key", 1, true))
  end)

  it("redrive takes up a key's events up to one of them, then all of the key, and keeps who did", function()
    local key, ids = park(3)
    local text, code = events("redrive notification " .. ids[2])
    assert.same({ 0, ids[3] }, { code, open_ids(key)[1] })
    assert.truthy(text:find("2 taken up", 1, true))
    text, code = events("redrive notification order " .. key)
    assert.same({ 0, 0 }, { code, #open_ids(key) })
    assert.truthy(text:find("1 taken up", 1, true))
    text = events("parked notification --past")
    assert.truthy(text:find(key, 1, true))
    assert.truthy(text:find("taken up 20%d%d%-[%w:-]+ by %w+"))
  end)

  it("drop wants a reason and a yes, lets one event go, and keeps who did and why", function()
    local key, ids = park(2)
    local text, code = events("drop notification " .. ids[1])
    assert.equal(2, code)
    assert.truthy(text:find("--reason", 1, true))
    text, code = events("drop notification " .. ids[1] .. " --reason 'the order never was'")
    assert.same({ 1, 2 }, { code, #open_ids(key) })
    assert.truthy(text:find("--yes", 1, true))
    assert.equal(0, (select(2, events("drop notification " .. ids[1] .. " --reason 'the order never was' --yes"))))
    assert.same({ ids[2] }, open_ids(key))
    local row = db:latest("select ended_by, dropped_because, event_id from parked where id = $1", ids[1])[1]
    assert.equal("the order never was", row.dropped_because)
    assert.truthy(row.ended_by)
    assert.equal(1, db:latest("select count(*) as n from inbox where event_id = $1", row.event_id)[1].n)
  end)

  it("says which services, verbs, numbers and topics there are when it is asked for another", function()
    for words, said in pairs { ["parked notificatoin"] = "did you mean 'notification'?", ["redrve"] = "did you mean",
      ["redrive notification 999999999"] = "has no parked event", ["replay notification ordr --since 2026-11-01"] =
      "did you mean 'order'?", ["replay payment order --since 2026-11-01"] = "payment consumes no topic order",
      ["replay notification order --since yesterday"] = "a time as", ["drop"] = "which events?" } do
      local text, code = events(words)
      assert.is_true(code > 0, words)
      assert.truthy(text:find(said, 1, true), words .. ": " .. text)
    end
  end)

  it("lag tells of every group how far it is behind, and of every outbox what waits", function()
    local text, code = events("lag --json")
    assert.equal(0, code, text)
    local report, groups = fastr.json.decode(text), {}
    for _, at in ipairs(report.consumers) do groups[at.consumer .. " " .. at.topic] = at end
    assert.equal(12, #groups["notification order"].partitions)
    assert.is_true(groups["notification order"].lag >= 0)
    assert.is_true(#report.unsent > 0)
  end)
end)

describe("inbox.replay", function()
  it("gives an event that was never taken its effect, and one that was none", function()
    local effects, key = 0, unique()
    local taker = { name = "notification", consumes = service.consumes, events = {
      on_spec = function() effects = effects + 1 return true end } }
    local one = message(key, 1)
    assert.equal("done", inbox.replay(taker, one))
    assert.equal("known", inbox.replay(taker, one))
    assert.equal(1, effects)
  end)

  it("parks what fails for good, and stops at what is away", function()
    local key = unique()
    assert.equal("parked", inbox.replay(service, message(key, 1)))
    assert.equal(1, #open_ids(key))
    local away = { name = "notification", consumes = service.consumes, events = {
      on_spec = function() return nil, "no answer", "timeout" end } }
    local outcome, why = inbox.replay(away, message(unique(), 1))
    assert.same({ nil, "no answer" }, { outcome, why })
  end)

  it("takes what a producer published since a time, in its order, and nothing that it did not", function()
    local since, key = fastr.time.now(), unique()
    db:transaction(function(tx)
      for n = 1, 3 do outbox.add(tx, { topic = "order", key = key, type = "order.spec.v1", data = { n = n } }) end
      return true
    end)
    assert.equal(0, #outbox.sent("notification", "order", { since = fastr.time.iso(fastr.time.unix_ms() + 60000) }))
    db:write("update outbox set sent_at = clock_timestamp() where key = $1", key)
    local list = {}
    for i, each in ipairs((outbox.sent("notification", "order", { since = since, key = key }))) do
      list[i] = fastr.json.decode(each.value).data.n
    end
    assert.same({ 1, 2, 3 }, list)
  end)
end)
