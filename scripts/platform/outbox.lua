-- outbox: events of a service, written in the transaction that they tell of, published by its relay.
--
--   add -> row of outbox -> commit -> nudge -> relay: lease, read, publish, mark
--
-- Order: the events of one key are published one after the other, each after the brokers have the one before; keys go
-- side by side. Only the worker that holds the lease publishes, and it looks at its clock before each round. One that
-- lost the lease while a round was on its way has repeated events (consumers know them by id), never changed the order
-- in which they are first seen. Sent rows stay for seven days, to be replayed.

local database = require "platform.db"

local M = {}

local flight, time = fastr.flight, fastr.time

local BATCH = 500
local POLL_MS, SLICE_MS = 50, 900             -- between looks when idle; how long one run of the schedule goes on
local LEASE_MS, RENEW_MS, SPARE_MS = 3000, 1200, 1000
local FOREIGN_MS, FAILED_MS = 500, 500        -- pause when another worker holds the lease; after a failure
local SWEEP_MS, KEEP = 60000, "7 days"

-- ---- writing --------------------------------------------------------------------------------------------------------

local ADD = [[
with next as (
  insert into aggregate_sequences as s (topic, key, last) values ($2, $3, 1)
  on conflict (topic, key) do update set last = s.last + 1
  returning last)
insert into outbox (event_id, source, topic, key, type, sequence, version, data, traceparent, created_at)
select $1, $4, $2, $3, $5, last, $6, $7, $8, $9 from next
returning sequence]]

local function nudge_after(tx, service)
  tx.after_commit.outbox = tx.after_commit.outbox or function() flight.nudge("outbox." .. service) end
end

local function check(event)
  for _, field in ipairs { "topic", "key", "type" } do
    if type(event[field]) ~= "string" or event[field] == "" then
      error("outbox.add: " .. field .. " must be a text", 3)
    end
  end
  if not event.type:find("%.v%d+$") then error("outbox.add: type must end in its version: " .. event.type, 3) end
  if type(event.data) ~= "table" then error("outbox.add: data must be a table", 3) end
end

-- outbox.add(tx, {topic=, key=, type=, data=, sequence=}) (waits): the event becomes known when `tx` commits.
-- `key` names the aggregate: its events keep their order and are numbered without gaps. `sequence` is the aggregate's
-- own version, if it has one; it travels as `version`. Returns the event's id and its number.
-- Raises as tx:query, and for a malformed event.
function M.add(tx, event)
  check(event)
  local id, service = fastr.crypto.uuid7(), tx.service or "fastr"
  local rows = tx:query(ADD, id, event.topic, event.key, "/services/" .. service, event.type, event.sequence,
    fastr.json.encode(event.data), fastr.task.traceparent(), time.now())
  nudge_after(tx, service)
  return id, rows[1].sequence
end

-- ---- publishing -----------------------------------------------------------------------------------------------------

local UNSENT = [[
select id, event_id, source, topic, key, type, sequence, version, data, traceparent,
  to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time
from outbox where sent_at is null order by id limit $1]]

-- The CloudEvents 1.0 form (structured mode) of an outbox row.
local function envelope(row)
  return fastr.json.encode { specversion = "1.0", id = row.event_id, source = row.source, type = row.type,
    subject = row.key, time = row.time, datacontenttype = "application/json", sequence = row.sequence,
    version = row.version, data = row.data }
end

local function message(row)
  return { topic = row.topic, key = row.key, value = envelope(row), headers = { ["content-type"] =
    "application/cloudevents+json; charset=utf-8", ["traceparent"] = row.traceparent } }
end

-- The first of each key, and the rest in their order; without keys in `failed`.
local function split(rows, failed)
  local first, rest, seen = {}, {}, {}
  for _, row in ipairs(rows) do
    local name = row.topic .. "\0" .. row.key
    if seen[name] then
      rest[#rest + 1] = row
    elseif not failed[name] then
      first[#first + 1] = row
      seen[name] = true
    end
  end
  return first, rest
end

-- Publishes one round; appends the ids that arrived to `sent`. Returns why the last failed one did.
local function publish(round, sent, failed)
  local messages, wrong = {}, nil
  for i, row in ipairs(round) do messages[i] = message(row) end
  local results, why = fastr.kafka.produce_all(messages)
  for i, row in ipairs(round) do
    local arrived = results and results[i]
    if arrived == true then
      sent[#sent + 1] = row.id
    else
      failed[row.topic .. "\0" .. row.key] = true
      wrong = arrived or why
    end
  end
  return wrong
end

local SENT = [[
select id, event_id, source, topic, key, type, sequence, version, data, traceparent,
  to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time
from outbox where sent_at is not null and topic = $1 and created_at >= $2 and ($3::text is null or key = $3) and id > $4
order by id limit $5]]

-- outbox.sent(service_name, topic, {since =, key = nil: any, after = 0}) (waits) -> a page of the service's published
-- events since then (RFC 3339), as messages, in their order; and the number after which the next page begins, nil at
-- the end. Kept for seven days.
function M.sent(service_name, topic, which)
  local rows = database.open(service_name):slow(SENT, topic, which.since, which.key, which.after or 0, BATCH)
  local messages = {}
  for i, row in ipairs(rows) do messages[i] = message(row) end
  return messages, #rows == BATCH and rows[BATCH].id or nil
end

-- outbox.waiting(service_name) (waits) -> {unsent, oldest (seconds)} of the service's events.
function M.waiting(service_name)
  return database.open(service_name):latest([[select count(*) as unsent,
    coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as oldest
    from outbox where sent_at is null]])[1]
end

-- ---- the lease ------------------------------------------------------------------------------------------------------

-- By service: until when this worker may publish (its own clock), and when it last tidied up.
local held, swept = {}, {}

local TAKE = [[
insert into outbox_lease as l (holder, until) values ($1, clock_timestamp() + $2 * interval '1 ms')
on conflict (one) do update set holder = excluded.holder, until = excluded.until
  where l.holder = excluded.holder or l.until < clock_timestamp()]]

-- True while this worker may publish for at least SPARE_MS more; takes or renews the lease when that is due.
local function holds(db, service)
  local now = time.unix_ms()
  local left = (held[service] or 0) - now
  if left > LEASE_MS - RENEW_MS and left <= LEASE_MS then return true end
  local lease = db:latest("select holder, until < clock_timestamp() as free from outbox_lease")[1]
  if lease and lease.holder ~= flight.id() and not lease.free then
    held[service] = nil
    return false
  end
  local taken = db:write(TAKE, flight.id(), LEASE_MS).affected == 1
  held[service] = taken and now + LEASE_MS or nil
  return taken
end

local function may_publish(service)
  local left = (held[service] or 0) - time.unix_ms()
  return left >= SPARE_MS and left <= LEASE_MS
end

-- ---- the relay ------------------------------------------------------------------------------------------------------

-- What `fastr status` and alarms look at, by service.
local gauges = {}

local function gauges_of(service)
  local labels, gauge = string.format("service=%q", service), fastr.metrics.gauge
  gauges[service] = gauges[service] or {
    unsent = gauge("fastr_outbox_unsent", labels, "Events not published yet, counted up to 500"),
    oldest = gauge("fastr_outbox_oldest_seconds", labels, "Age of the oldest event not published yet"),
    parked = gauge("fastr_parked_events", labels, "Events whose handler failed for good, and those behind them") }
  return gauges[service]
end

local function tell(service, waiting, oldest)
  gauges_of(service).unsent:set(waiting)
  gauges_of(service).oldest:set(oldest)
end

-- Publishes what is unsent, at most BATCH events. Returns how many were read, and why some failed.
local function batch(db, service)
  local rows = db:latest(UNSENT, BATCH)
  local sent, failed, wrong = {}, {}, nil
  local round, rest = split(rows, failed)
  while #round > 0 and may_publish(service) do
    wrong = publish(round, sent, failed) or wrong
    round, rest = split(rest, failed)
  end
  if #sent > 0 then
    db:write("update outbox set sent_at = clock_timestamp() where id = any($1)", fastr.pg.array(sent))
  end
  local age_ms = #rows > #sent and time.unix_ms() - time.parse(rows[1].time) or 0
  tell(service, #rows - #sent, math.max(age_ms, 0) / 1000)
  return #rows, wrong
end

local function sweep(db, service)
  if time.unix_ms() - (swept[service] or 0) < SWEEP_MS then return end
  swept[service] = time.unix_ms()
  db:write([[delete from outbox where id in
    (select id from outbox where sent_at < clock_timestamp() - $1::interval order by id limit 10000)]], KEEP)
  local parked = db:latest("select count(*) as n from parked where redriven_at is null")[1].n
  gauges_of(service).parked:set(parked)
end

-- One slice of the relay's work. Returns true, or nil and why.
local function run(service)
  local db, ends = database.open(service), time.unix_ms() + SLICE_MS
  repeat
    if not holds(db, service) then
      tell(service, 0, 0) -- the holder says what waits, and what is parked
      gauges_of(service).parked:set(0)
      flight.await("outbox." .. service, FOREIGN_MS)
      return true
    end
    local count, wrong = batch(db, service)
    if wrong then
      time.sleep(FAILED_MS)
      return nil, "not published: " .. wrong
    end
    if count < BATCH then
      sweep(db, service)
      flight.await("outbox." .. service, POLL_MS)
    end
  until time.unix_ms() >= ends
  return true
end

local function describe(failure)
  return type(failure) == "table" and (failure.message or failure.code) or tostring(failure)
end

-- outbox.relay(service) -> the schedule that publishes the service's events.
function M.relay(service)
  return { name = service .. ".outbox", every_ms = 10, one = true, handle = function()
    local ok, done, why = pcall(run, service)
    if ok then return done, why end
    time.sleep(FAILED_MS)
    return nil, describe(done)
  end }
end

return M
