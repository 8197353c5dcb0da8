-- webhooks: what the provider tells the shop. A webhook is queued in the transaction of what it tells of, and sent
-- until a 2xx ends it. Some cards have theirs late, twice or out of order (cards.lua).

local cards = require "services.provider.cards"
local store = require "services.provider.store"
local view = require "services.provider.view"

local M = {}

local COPY_MS = 500 -- between a webhook and its double

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
end

return M
