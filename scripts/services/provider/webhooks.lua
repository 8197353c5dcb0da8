-- webhooks: what the provider tells the shop. A webhook is queued in the transaction of what it tells of, and sent
-- until a 2xx ends it, for three days: by whoever has its lease, so that a killed sender's is sent again. Like
-- anybody's webhooks they may come twice and in any order; some cards make sure of it (cards.lua).

local cards = require "services.provider.cards"
local store = require "services.provider.store"
local view = require "services.provider.view"

local M = {}

local COPY_MS = 500                       -- between a webhook and its double
local BATCH = 8                           -- sent at the same time
local ANSWER_MS, LEASE_MS = 5000, 12000   -- how long one waits for the answer; until another may send it
local LONGEST_PAUSE_S = 300
local KEEP_TRYING_MS = 3 * 86400 * 1000

local function after(ms)
  return fastr.time.iso(fastr.time.unix_ms() + ms)
end

-- Queues `type` about the charge as it stands in the transaction; `entry`: the movement of money it tells of, if any.
function M.queue(tx, id, type, entry)
  local sequence = store.next_sequence(tx, id)
  local charge, now = store.charge_in(tx, id), fastr.time.now()
  local behaviour, event = cards.behaviour(charge.card), fastr.crypto.uuid7()
  local body = fastr.json.encode { id = event, type = type, sequence = sequence, created_at = now,
    charge = view.charge(charge, entry) }
  local delay = behaviour.delay_ms and behaviour.delay_ms(sequence) or 0
  for copy = 0, (behaviour.copies or 1) - 1 do
    store.add_webhook(tx, { event = event, charge = id, sequence = sequence, type = type, body = body,
      due_at = after(delay + copy * COPY_MS) }, now)
  end
  tx.after_commit.webhooks = function() fastr.flight.nudge("provider.webhooks") end -- the sender of this process
end

-- ---- sending ------------------------------------------------------------------------------------------------------

-- The header Provider-Signature of a body that is sent at `seconds` (Unix time).
local function signature(secret, seconds, body)
  return ("t=%d,v1=%s"):format(seconds, fastr.crypto.hmac(secret, ("%d.%s"):format(seconds, body)))
end

-- Sends one. Returns whether it arrived, and what was answered.
local function send(row)
  local secret = fastr.secret("provider_webhook")
  if not secret then return false, "the secret provider_webhook is missing" end
  local seconds = math.floor(fastr.time.unix_ms() / 1000)
  local reply, message = fastr.http.request { method = "POST", url = fastr.setting("provider.webhook_url", ""),
    headers = { ["Content-Type"] = "application/json",
      ["Provider-Signature"] = signature(secret, seconds, row.body) },
    body = row.body, timeout_ms = ANSWER_MS }
  if not reply then return false, message end
  return reply.status >= 200 and reply.status < 300, tostring(reply.status)
end

-- Seconds to wait after so many tries: 1, 2, 4, ... 300.
local function pause_s(tries)
  return math.min(LONGEST_PAUSE_S, 2 ^ math.min(tries - 1, 10))
end

local function deliver(db, row)
  local arrived, answer = send(row)
  if arrived then return store.delivered(db, row.id, answer, fastr.time.now()) end
  fastr.log.warn("webhook not taken", { event = row.event, charge = row.charge, tries = row.tries, answer = answer })
  store.put_off(db, row.id, answer, after(pause_s(row.tries) * 1000))
end

-- The rows by charge, each charge's in their order.
local function by_charge(rows)
  table.sort(rows, function(a, b) return a.id < b.id end)
  local lists, list_of = {}, {}
  for _, row in ipairs(rows) do
    if not list_of[row.charge] then
      list_of[row.charge] = {}
      lists[#lists + 1] = list_of[row.charge]
    end
    table.insert(list_of[row.charge], row)
  end
  return lists
end

-- Sends what is due, at most a batch of it; returns how many there were. Raises when the book is away.
function M.deliver(db)
  local rows = store.take_webhooks(db, { now = fastr.time.now(), lease_until = after(LEASE_MS),
    oldest = after(-KEEP_TRYING_MS), limit = BATCH })
  local work = {}
  for i, list in ipairs(by_charge(rows)) do
    work[i] = function()
      for _, row in ipairs(list) do deliver(db, row) end
    end
  end
  if #work > 0 then fastr.all(work) end
  return #rows
end

return M
