-- jobs: sends the mails that are queued.
--
--   take (put off by LEASE_MS, committed) -> SMTP -> sent | refused (5xx) | put off, each time for longer
--
-- A crash after the server's answer and before `sent` is committed leaves the mail queued: when its time comes it is
-- sent again, the same bytes with the same Message-ID. Of one order nothing is sent before what was to be sent earlier.

local compose = require "services.notification.compose"
local database = require "platform.db"
local store = require "services.notification.store"

local M = {}

local time = fastr.time

local BATCH = 16
local SMTP_MS = 10000            -- for one mail
local LEASE_MS = 20000           -- longer than sending and noting it take
local POLL_MS, SLICE_MS = 250, 900
local FIRST_MS, LONGEST_MS = 1000, 60000 -- between tries: the first rest, doubled each time
local GIVE_UP = "5 days"         -- RFC 5321 section 4.5.4.1
local KEEP_REFUSED = "30 days"
local NOTE_TRIES, NOTE_MS = 20, 250

local mails, gauges

local function metrics()
  mails = mails or fastr.metrics.counter("fastr_notifications_sent_total", "", "Mails that the server has taken")
  gauges = gauges or {
    queued = fastr.metrics.gauge("fastr_mails_queued", "", "Mails not sent yet"),
    oldest = fastr.metrics.gauge("fastr_mails_oldest_seconds", "", "Age of the oldest mail not sent yet"),
    refused = fastr.metrics.gauge("fastr_mails_refused", "", "Mails that the server refused for good") }
  return gauges
end

-- Notes how a try ended. It must not be lost while the process lives, so a database that is away is waited for.
local function note(run, ...)
  for i = 1, NOTE_TRIES do
    local ok, why = pcall(run, ...)
    if ok then return end
    if i == NOTE_TRIES then error(why, 0) end
    time.sleep(NOTE_MS)
  end
end

local function rest_ms(tries)
  return math.min(LONGEST_MS, FIRST_MS * 2 ^ math.min(tries - 1, 10))
end

-- smtp.send raises for an address that cannot stand in its protocol: that is as final as a refusal.
local function try(mail)
  local ok, sent, why, code = pcall(fastr.smtp.send, { from = compose.sender().address, to = { mail.address },
    message = mail.message, timeout_ms = SMTP_MS })
  if ok then return sent, why, code end
  return nil, tostring(sent), "refused"
end

local function deliver(db, mail)
  local sent, why, code = try(mail)
  if sent then
    note(store.sent, db, mail.id, time.now())
    mails:add(1)
  elseif code == "refused" then
    fastr.log.error("mail is refused", { mail = mail.id, reason = why })
    note(store.refuse, db, mail.id, why)
  else
    fastr.log.warn("mail is put off", { mail = mail.id, reason = why, tries = mail.tries })
    note(store.put_off, db, mail.id, why, rest_ms(mail.tries), GIVE_UP)
  end
end

local function tell(db)
  local count, shown = store.count(db), metrics()
  shown.queued:set(count.queued)
  shown.oldest:set(count.oldest)
  shown.refused:set(count.refused)
end

-- One round: true if there was something to send.
local function round(db)
  if not store.is_due(db) then return false end
  local tasks = {}
  for i, mail in ipairs(store.take(db, BATCH, LEASE_MS)) do tasks[i] = function() deliver(db, mail) end end
  if #tasks > 0 then fastr.all(tasks) end
  return #tasks > 0
end

-- One slice of the work; the schedule runs it again at once.
function M.send()
  local db, ends = database.open("notification"), time.unix_ms() + SLICE_MS
  metrics()
  repeat
    if not round(db) then fastr.flight.await("notification.send", POLL_MS) end
  until time.unix_ms() >= ends
  return true
end

function M.count()
  tell(database.open("notification"))
  return true
end

function M.forget()
  store.forget(database.open("notification"), KEEP_REFUSED)
  return true
end

return M
