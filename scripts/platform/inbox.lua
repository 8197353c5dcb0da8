-- inbox: events that come in. Each has its effect once: its id is stored in the transaction of the effect.
--
--   message -> known already? done. Key parked? parked behind. Else handler(tx, event) and commit.
--
-- A handler that fails is tried again (kafka.c delivers the message again, with back-off). What fails because something
-- else is away is tried for ever: the messages wait. What fails by itself is parked after five attempts, in table
-- `parked` and topic TOPIC.dlq with the reason; later events of its key are parked behind it, others go on.
-- `fastr events` lists them, takes them up again in their order, or lets them go.

local database = require "platform.db"
local outbox = require "platform.outbox"
local problem = require "lib.problem"

local M = {}

local ATTEMPTS = 5
local KEEP = "14 days" -- longer than Kafka keeps messages

-- ---- reading --------------------------------------------------------------------------------------------------------

-- The event of a message, or nil and what is wrong with it.
local function decode(message)
  local event, why = fastr.json.decode(message.value or "")
  if type(event) ~= "table" then return nil, "not JSON: " .. tostring(why or "no object") end
  for _, field in ipairs { "id", "type", "subject" } do
    if type(event[field]) ~= "string" then return nil, "no CloudEvent: " .. field .. " is missing" end
  end
  if not event.id:find("^%x+%-%x+%-%x+%-%x+%-%x+$") or #event.id ~= 36 then return nil, "its id is no UUID" end
  event.topic, event.key = message.topic, message.key or event.subject
  return event
end

-- ---- one event ------------------------------------------------------------------------------------------------------

-- Stores the id unless it is known or its key is parked, and the number that the aggregate has reached.
local ENTER = [[
with fresh as (
  insert into inbox (event_id, topic) select $1, $2
  where not exists (select from parked where topic = $2 and key = $3 and redriven_at is null)
  on conflict do nothing returning event_id),
before as (select last from inbox_sequences where topic = $2 and key = $3),
reached as (
  insert into inbox_sequences as s (topic, key, last) select $2, $3, $4 from fresh
  on conflict (topic, key) do update set last = greatest(s.last, excluded.last), at = clock_timestamp())
select exists(select from fresh) as fresh, (select last from before) as last,
  exists(select from parked where topic = $2 and key = $3 and redriven_at is null) as blocked]]

local function tell_gap(event, last)
  if last and event.sequence and event.sequence > last + 1 then
    fastr.log.warn("events are missing", { topic = event.topic, key = event.key, after = last, came = event.sequence })
  end
end

-- Runs the handler within `tx`; true, or nil, why, code.
local function apply(run, tx, event)
  local done, why, code = run(tx, event)
  if done == nil and why == nil then return true end
  if done then return true end
  return nil, why or "its handler returned false", code
end

-- Returns "done", "known" or "blocked"; or nil, why, code. Raises what the database raises.
local function effect(db, event, run)
  return db:transaction(function(tx)
    local entered = tx:query(ENTER, event.id, event.topic, event.key, event.sequence or 0)[1]
    if not entered.fresh then return entered.blocked and "blocked" or "known" end
    tell_gap(event, entered.last)
    local done, why, code = apply(run, tx, event)
    if not done then return nil, why, code end
    return "done"
  end)
end

-- ---- failures -------------------------------------------------------------------------------------------------------

local AWAY = { unavailable = true, timeout = true, busy = true, closed = true, commit_unknown = true }
local AWAY_STATUS = { [429] = true, [502] = true, [503] = true, [504] = true }
-- Classes of SQLSTATE: connection, conflict, resources, lock, operator, system.
local AWAY_CLASS = { ["08"] = true, ["40"] = true, ["53"] = true, ["55"] = true, ["57"] = true, ["58"] = true }

-- Did it fail because something else is away?
local function is_away(why, code)
  if problem.is(why) then return AWAY_STATUS[why.status] or false end
  code = tostring(code or (type(why) == "table" and why.code) or "")
  return AWAY[code] or (#code == 5 and AWAY_CLASS[code:sub(1, 2)]) or false
end

local function describe(why)
  if type(why) ~= "table" then return tostring(why) end
  if problem.is(why) then return why.code .. ": " .. tostring(why.detail or why.title) end
  return tostring(why)
end

-- Parkings of one key, and their end, take turns.
local function lock_key(tx, topic, key)
  tx:query("select pg_advisory_xact_lock(hashtextextended($1, 7))::text", topic .. "/" .. key)
end

local PARK = [[
insert into parked (topic, key, event_id, message, reason, attempts) values ($1, $2, $3, $4, $5, $6)
on conflict (event_id) where redriven_at is null and event_id is not null do nothing]]

-- Stores the message and tells TOPIC.dlq; the offset may then go on.
local function park(db, group, message, event, reason, attempts)
  local key = event and event.key or message.key or ""
  return db:transaction(function(tx)
    lock_key(tx, message.topic, key)
    local new = tx:query(PARK, message.topic, key, event and event.id, message.value or "", reason, attempts)
    if new.affected == 1 then
      outbox.add(tx, { topic = message.topic .. ".dlq", key = key == "" and "-" or key, type = "event.parked.v1",
        data = { consumer = group, topic = message.topic, partition = message.partition, offset = message.offset,
          reason = reason, attempts = attempts, message = message.value or "" } })
    end
    return true
  end)
end

-- Parks behind an earlier one; nil if that has been redriven meanwhile, so that the event must be tried.
local function park_behind(db, group, message, event)
  local blocked = db:transaction(function(tx)
    lock_key(tx, event.topic, event.key)
    return tx:query([[select exists(select from parked where topic = $1 and key = $2 and redriven_at is null) as it]],
      event.topic, event.key)[1].it
  end)
  return blocked and park(db, group, message, event, "behind a parked event of its key", 0) and "parked" or nil
end

-- ---- consuming ------------------------------------------------------------------------------------------------------

-- Tries once. Returns what became of the message, "done", "known" or "parked"; else nil, why it is to come again, and
-- whether that is because something else is away.
local function try(db, group, message, event, run)
  local ok, outcome, why, code = pcall(effect, db, event, run)
  if ok and outcome == "blocked" then return park_behind(db, group, message, event), "its key was just redriven" end
  if ok and outcome then return outcome end
  if not ok then why, code = outcome, nil end
  local reason, attempt = describe(why), message.attempt or 1
  if is_away(why, code) or attempt < ATTEMPTS then return nil, reason, is_away(why, code) end
  fastr.log.error("event is parked", { topic = event.topic, key = event.key, event = event.id, reason = reason })
  return park(db, group, message, event, reason, attempt) and "parked"
end

-- Runs `work`: is the message dealt with? A database that is away makes it come again.
local function guarded(work, ...)
  local ok, done, why = pcall(work, ...)
  if not ok then return false, describe(done) end
  return done and true or false, why
end

local function consumer(service, topic, runs)
  return function(message)
    local db = database.open(service.name)
    local event, why = decode(message)
    if not event then
      fastr.log.error("message is parked", { topic = topic, offset = message.offset, reason = why })
      return guarded(park, db, service.name, message, nil, why, message.attempt or 1)
    end
    local run = runs[event.type]
    if not run then return true end
    -- A handler that ran into the task's deadline could not say so itself.
    if (message.attempt or 1) > ATTEMPTS and (message.last_error or ""):find("deadline", 1, true) then
      return guarded(park, db, service.name, message, event, message.last_error, message.attempt)
    end
    return guarded(try, db, service.name, message, event, run)
  end
end

-- A worker's own copy of the stream: nothing is stored, a failure is only logged.
local function listener(topic, runs)
  return function(message)
    local event = decode(message)
    local run = event and runs[event.type]
    if not run then return true end
    local ok, why = pcall(run, nil, event)
    if not ok then fastr.log.error("listener failed", { topic = topic, event = event.id, reason = describe(why) }) end
    return true
  end
end

-- By event type the functions of one topic's declarations.
local function functions(service, entry, runs)
  for kind, name in pairs(entry.events) do runs[kind] = service.events[name] end
  return runs
end

-- inbox.functions(service, topic) -> {event type = function} of what the service declares for the topic, or nil.
function M.functions(service, topic)
  local runs
  for _, entry in ipairs(service.consumes) do
    if entry.topic == topic and not entry.broadcast then runs = functions(service, entry, runs or {}) end
  end
  return runs
end

-- inbox.consumers(service) -> entries of the program's `consumers`, from the service's declaration: one for each topic,
-- group = the service; and one for each broadcast topic, whose functions get no tx.
function M.consumers(service)
  local list, topics = {}, {}
  for _, entry in ipairs(service.consumes) do
    if entry.broadcast then
      list[#list + 1] = { topic = entry.topic, group = service.name .. ".broadcast", broadcast = true,
        handle = listener(entry.topic, functions(service, entry, {})) }
    elseif not topics[entry.topic] then
      topics[entry.topic] = true
      list[#list + 1] = { topic = entry.topic, group = service.name, broadcast = false,
        handle = consumer(service, entry.topic, M.functions(service, entry.topic)) }
    end
  end
  return list
end

-- inbox.schedules(service) -> the schedule that forgets ids which Kafka cannot deliver any more.
function M.schedules(service)
  if #service.consumes == 0 then return {} end
  return { { name = service.name .. ".inbox", every_ms = 3600000, one = true, handle = function()
    local db = database.open(service.name)
    db:write("delete from inbox where at < clock_timestamp() - $1::interval", KEEP)
    db:write("delete from inbox_sequences where at < clock_timestamp() - $1::interval", KEEP)
    return true
  end } }
end

-- ---- taking up again ------------------------------------------------------------------------------------------------

local FIRST = [[
select id, topic, key, event_id, message from parked
where topic = $1 and key = $2 and redriven_at is null order by id limit 1 for update]]

local KNOW = "insert into inbox (event_id, topic) values ($1, $2) on conflict do nothing"

local END = [[update parked set redriven_at = clock_timestamp(), ended_by = $2, dropped_because = $3 where id = $1]]

-- Deals with the oldest parked event of a key. Returns its number, false when there is none, or nil and why.
local function redrive_one(db, runs, topic, key, by)
  return db:transaction(function(tx)
    lock_key(tx, topic, key)
    local row = tx:query(FIRST, topic, key)[1]
    if not row then return false end
    local event, why = decode { topic = row.topic, key = row.key, value = row.message }
    if not event then return nil, why end
    local fresh = tx:query(KNOW, event.id, topic)
    if fresh.affected == 1 and runs[event.type] then
      local done
      done, why = apply(runs[event.type], tx, event)
      if not done then return nil, why end
    end
    tx:query(END, row.id, by, nil)
    return row.id
  end)
end

-- inbox.redrive(service, topic, key, by, last) (waits): runs the parked events of one key in their order, until none is
-- left, number `last` is done (nil: all), or one fails again. `by` is kept with them. Returns how many were done, and
-- why it stopped (nil: at its end).
function M.redrive(service, topic, key, by, last)
  local db, runs = database.open(service.name), M.functions(service, topic)
  if not runs then return 0, service.name .. " consumes no topic " .. topic end
  local count = 0
  while true do
    local ok, done, why = pcall(redrive_one, db, runs, topic, key, by)
    if not ok or done == nil then return count, describe(not ok and done or why) end
    if not done then return count end
    count = count + 1
    if last and done >= last then return count end
  end
end

local ONE = "select id, topic, key, event_id from parked where id = $1 and redriven_at is null for update"

-- inbox.drop(service_name, id, by, reason) (waits): the parked event `id` will never have an effect here, also if it
-- comes again; who said so, and why, is kept. Those parked behind it stay. Returns whether there was one.
function M.drop(service_name, id, by, reason)
  local db = database.open(service_name)
  local row = db:latest("select topic, key from parked where id = $1", id)[1]
  if not row then return false end
  return db:transaction(function(tx)
    lock_key(tx, row.topic, row.key)
    local parked = tx:query(ONE, id)[1]
    if not parked then return false end
    if parked.event_id then tx:query(KNOW, parked.event_id, parked.topic) end
    tx:query(END, id, by, reason)
    return true
  end)
end

local PAUSE_MS = 50

-- inbox.replay(service, message) (waits): the service takes an event of the past, which has its effect unless it had it
-- before; what fails for good is parked, as ever. Returns "done", "known", "parked", or "passed" where the service does
-- nothing with events of the type; else nil and why.
function M.replay(service, message)
  local event, why = decode(message)
  if not event then return nil, why end
  local runs = M.functions(service, message.topic) or {}
  if not runs[event.type] then return "passed" end
  for attempt = 1, ATTEMPTS + 1 do
    message.attempt = attempt
    local ok, outcome, reason, away = pcall(try, database.open(service.name), service.name, message, event,
      runs[event.type])
    if ok and outcome then return outcome end
    why = ok and reason or describe(outcome)
    if away or not ok then break end
    fastr.time.sleep(PAUSE_MS * attempt)
  end
  return nil, why
end

-- inbox.parked(service_name) (waits) -> list of {topic, key, count, reason, since} of keys that are parked.
function M.parked(service_name)
  return database.open(service_name):latest([[
    select topic, key, count(*) as count, min(parked_at)::text as since, (array_agg(reason order by id))[1] as reason
    from parked where redriven_at is null group by topic, key order by min(id) limit 1000]])
end

local LIST = [[select id, topic, key, event_id, reason, attempts, ended_by, dropped_because,
  to_char(parked_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since,
  to_char(redriven_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as ended from parked where ]]

-- inbox.events(service_name) (waits) -> what is parked, the oldest first, at most 1000: {id, topic, key, event_id (nil:
-- it was no event), reason, attempts, since}.
function M.events(service_name)
  return database.open(service_name):latest(LIST .. "redriven_at is null order by id limit 1000")
end

-- inbox.past(service_name) (waits) -> the last 100 that were parked and are not any more: the same, and {ended,
-- ended_by, dropped_because (nil: it was taken up)}.
function M.past(service_name)
  return database.open(service_name):latest(LIST .. "redriven_at is not null order by redriven_at desc limit 100")
end

return M
