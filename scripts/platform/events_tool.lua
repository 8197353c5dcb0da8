-- events_tool: `fastr events VERB ...`: what an operator sees of events, and does about those that are stuck. It reads
-- the brokers and the services' own tables, and writes only where it takes an event up or lets it go.

local boot = require "platform.boot"
local declaration = require "platform.declaration"
local inbox = require "platform.inbox"
local near = require "lib.near"
local options = require "platform.options"
local outbox = require "platform.outbox"
local who = require "platform.who"

local M = {}

local USAGE = [[
fastr events lag [SERVICE] [--json]
    what is not sent yet, and how far each consumer is behind in each partition; 1 when Kafka cannot be asked
fastr events parked [SERVICE] [--past] [--json]
    events whose handler failed for good and those behind them, with the reason; --past: those that were, and who
    ended it
fastr events redrive SERVICE all | ID | TOPIC KEY
    runs parked events again, each key's in their order: all, those of one key, or those up to ID; 1 when one fails
fastr events drop SERVICE all | ID --reason TEXT [--yes]
    lets parked events go without their effect, for good; without --yes it only says which
fastr events replay SERVICE TOPIC --since TIME [--key KEY]
    gives a service what was published on a topic since then (at most 7 days): what it has had changes nothing
]]

-- ---- which services ------------------------------------------------------------------------------------------------

-- The services' declarations: of all, or of the one named; or nil and what is wrong.
local function services(name)
  local names, list = boot.names(), {}
  for _, each in ipairs(names) do
    if not name or each == name then list[#list + 1] = declaration.data(each) end
  end
  if #list == 0 then return nil, ("there is no service '%s'%s"):format(name, near(name, names)) end
  return list
end

-- One service with its code, to run its handlers; or nil and what is wrong.
local function loaded(name)
  local list, wrong = services(name)
  if not list then return nil, wrong end
  local errors = {}
  local service = declaration.read(name, errors)
  return service, table.concat(errors, "\n")
end

-- The topics that a service consumes as a group of its own.
local function topics(service)
  local list, seen = {}, {}
  for _, entry in ipairs(service.consumes) do
    if not entry.broadcast and not seen[entry.topic] then
      seen[entry.topic] = true
      list[#list + 1] = entry.topic
    end
  end
  return list
end

-- ---- lag -----------------------------------------------------------------------------------------------------------

local function behind(at)
  return math.max(0, at.next - math.max(at.committed or at.first, at.first))
end

-- {consumer, topic, lag, partitions = {{partition, committed, next, lag}}} of one topic of a group.
local function of_topic(service, topic, offsets)
  local report = { consumer = service.name, topic = topic, lag = 0, partitions = fastr.json.array {} }
  for _, at in ipairs(offsets) do
    if at.topic == topic then
      report.lag = report.lag + behind(at)
      table.insert(report.partitions, { partition = at.partition, committed = at.committed, next = at.next,
        lag = behind(at) })
    end
  end
  return report
end

-- What waits in the outboxes and before the consumers; the second result says what could not be asked.
local function lag_of(list)
  local report, wrong = { unsent = fastr.json.array {}, consumers = fastr.json.array {} }, nil
  for _, service in ipairs(list) do
    if next(service.produces) or next(service.consumes) then
      local waits = outbox.waiting(service.name)
      table.insert(report.unsent, { producer = service.name, unsent = waits.unsent, oldest_s = waits.oldest })
    end
    local wanted = topics(service)
    local offsets, message = {}, nil
    if #wanted > 0 then offsets, message = fastr.kafka.offsets(service.name, wanted) end
    wrong = wrong or message
    for _, topic in ipairs(offsets and wanted or {}) do
      table.insert(report.consumers, of_topic(service, topic, offsets))
    end
  end
  return report, wrong
end

local function print_lag(report)
  for _, at in ipairs(report.unsent) do
    print(("%-14s sends     %6d unsent%s"):format(at.producer, at.unsent,
      at.unsent > 0 and (", the oldest for %d s"):format(at.oldest_s) or ""))
  end
  for _, at in ipairs(report.consumers) do
    print(("%-14s consumes  %6d behind in %s"):format(at.consumer, at.lag, at.topic))
    for _, part in ipairs(at.partitions) do
      if part.lag > 0 then
        print(("%-14s           %6d in partition %d, at %s of %d"):format("", part.lag, part.partition,
          part.committed and ("%d"):format(part.committed) or "its beginning", part.next))
      end
    end
  end
end

local function lag(given)
  local list, wrong = services(given.service)
  if not list then return nil, wrong end
  local report, message = lag_of(list)
  if given.json then print(fastr.json.encode(report)) else print_lag(report) end
  return message == nil, message
end

-- ---- parked --------------------------------------------------------------------------------------------------------

local function print_parked(service, row)
  print(("%-14s %6d  %s %s since %s: %s%s"):format(service, row.id, row.topic, row.key, row.since, row.reason,
    row.attempts > 0 and (" (%d attempts)"):format(row.attempts) or ""))
  if row.ended then
    print(("%-22s %s %s by %s%s"):format("", row.dropped_because and "let go" or "taken up", row.ended,
      row.ended_by or "somebody", row.dropped_because and ": " .. row.dropped_because or ""))
  end
end

local function parked(given)
  local list, wrong = services(given.service)
  if not list then return nil, wrong end
  local report = fastr.json.array {}
  for _, service in ipairs(list) do
    for _, row in ipairs((given.past and inbox.past or inbox.events)(service.name)) do
      row.consumer = service.name
      report[#report + 1] = row
    end
  end
  if given.json then
    print(fastr.json.encode(report))
    return true
  end
  for _, row in ipairs(report) do print_parked(row.consumer, row) end
  if #report == 0 then print(given.past and "nothing was ever parked" or "nothing is parked") end
  return true
end

-- The parked event with this number (a text), or nil and what is wrong.
local function find(service, id)
  for _, row in ipairs(inbox.events(service)) do
    if tostring(row.id) == id then return row end
  end
  return nil, ("%s has no parked event %s; fastr events parked %s lists them"):format(service, id, service)
end

-- ---- redrive -------------------------------------------------------------------------------------------------------

-- True if nothing is left of what was asked for.
local function redrive_key(service, topic, key, last)
  local count, why = inbox.redrive(service, topic, key, who.user(), last)
  print(("%s %s: %d taken up%s"):format(topic, key, count, why and ", then: " .. why or ""))
  return why == nil
end

local function redrive_all(service)
  local well, keys = true, inbox.parked(service.name)
  for _, entry in ipairs(keys) do well = redrive_key(service, entry.topic, entry.key) and well end
  if #keys == 0 then print("nothing is parked") end
  return well
end

local function redrive(given)
  if not given.service or not given.what then return nil, "which events?" end
  local service, wrong = loaded(given.service)
  if not service then return nil, wrong end
  if given.key then return redrive_key(service, given.what, given.key) end
  if given.what == "all" then return redrive_all(service) end
  local row
  row, wrong = find(service.name, given.what)
  if not row then return false, wrong end
  return redrive_key(service, row.topic, row.key, row.id)
end

-- ---- drop ----------------------------------------------------------------------------------------------------------

local function drop_each(service, rows, reason)
  local count = 0
  for _, row in ipairs(rows) do
    if inbox.drop(service, row.id, who.user(), reason) then count = count + 1 end
  end
  print(("%d let go: %s"):format(count, reason))
  return true
end

local function drop(given)
  if not given.service or not given.what then return nil, "which events?" end
  if not given.reason or given.reason == "" then return nil, "--reason says why: it is kept" end
  local list, wrong = services(given.service)
  if not list then return nil, wrong end
  local rows
  if given.what == "all" then
    rows = inbox.events(given.service)
  else
    local row
    row, wrong = find(given.service, given.what)
    if not row then return false, wrong end
    rows = { row }
  end
  if given.yes then return drop_each(given.service, rows, given.reason) end
  for _, row in ipairs(rows) do print_parked(given.service, row) end
  return false, ("%d would be let go, and have no effect ever; --yes does it"):format(#rows)
end

-- ---- replay --------------------------------------------------------------------------------------------------------

-- The service that tells of a topic, or nil and what is wrong.
local function producer_of(topic)
  local told = {}
  for _, service in ipairs(services()) do
    if service.produces[topic] then return service.name end
    for name in pairs(service.produces) do told[name] = true end
  end
  return nil, ("nobody publishes on '%s'%s"):format(topic, near(topic, told))
end

local function print_replay(counts)
  print(("%d published: %d had no effect yet and have now, %d were known, %d do nothing here, %d were parked")
    :format(counts.all, counts.done, counts.known, counts.passed, counts.parked))
end

-- Gives page after page to the service: true, or false and why it stopped.
local function replay_since(service, producer, topic, which)
  local counts = { all = 0, done = 0, known = 0, passed = 0, parked = 0 }
  repeat
    local messages
    messages, which.after = outbox.sent(producer, topic, which)
    for _, message in ipairs(messages) do
      local outcome, why = inbox.replay(service, message)
      if not outcome then
        print_replay(counts)
        return false, ("stopped at %s: %s"):format(message.key, why)
      end
      counts.all, counts[outcome] = counts.all + 1, counts[outcome] + 1
    end
  until not which.after
  print_replay(counts)
  return counts.parked == 0
end

local function replay(given)
  if not given.service or not given.what or not given.since then return nil, "which topic, to whom, since when?" end
  local since, wrong = options.time(given.since, "--since")
  if not since then return nil, wrong end
  local service, producer
  service, wrong = loaded(given.service)
  if not service then return nil, wrong end
  producer, wrong = producer_of(given.what)
  if not producer then return nil, wrong end
  if not inbox.functions(service, given.what) then
    return nil, ("%s consumes no topic %s"):format(service.name, given.what)
  end
  return replay_since(service, producer, given.what, { since = since, key = given.key })
end

-- ---- the command ---------------------------------------------------------------------------------------------------

local VERBS = {
  lag = { run = lag, places = { "service" }, flags = { json = false } },
  parked = { run = parked, places = { "service" }, flags = { past = false, json = false } },
  redrive = { run = redrive, places = { "service", "what", "key" }, flags = {} },
  drop = { run = drop, places = { "service", "what" }, flags = { reason = true, yes = false } },
  replay = { run = replay, places = { "service", "what" }, flags = { since = true, key = true } },
}

local function run(name, verb, arguments)
  local given, wrong = options.read(arguments, verb.places, verb.flags)
  local well
  if given then well, wrong = verb.run(given) end
  if wrong then io.stderr:write(("fastr events %s: %s\n"):format(name, wrong)) end
  if well == nil then
    io.stderr:write(USAGE)
    return 2
  end
  return well and 0 or 1
end

-- fastr events ...: 0, 1 when something is wrong, 2 when it was asked wrongly.
function M.main(arguments)
  local name = table.remove(arguments, 1)
  if name == "--help" or name == "-h" or arguments[1] == "--help" then
    io.write(USAGE)
    return 0
  end
  local verb = VERBS[name or ""]
  if verb then return run(name, verb, arguments) end
  if name then io.stderr:write(("fastr events: there is no '%s'%s\n"):format(name, near(name, VERBS))) end
  io.stderr:write(USAGE)
  return 2
end

return M
