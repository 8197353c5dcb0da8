-- events: what happens to an order becomes a mail, if the rules say so. The mail is only written here, in the
-- transaction that takes the event in; the job `send` sends it.

local compose = require "services.notification.compose"
local problem = require "lib.problem"
local store = require "services.notification.store"

local M = {}

-- What the rules may know of it: nothing of a person but that there is an account.
local function facts_of(event)
  local data = event.data
  return { event = event.type, customer = { registered = type(data.customer) == "string" },
    order = { from = data.from, status = data.status, total = data.totals.total.amount, currency = data.currency,
      review = data.review ~= nil } }
end

-- True, or nil and a problem or a text, which the inbox keeps with the parked event.
function M.on_order(tx, event)
  local choice, message, code = fastr.rules.decide("notify.select", facts_of(event))
  if not choice then return nil, problem.new(code, { detail = message }) end
  if not choice.send then return true end
  if choice.channel ~= "email" then return nil, "there is no channel " .. tostring(choice.channel) end
  local mail, why = compose.mail(event, choice.template, choice.language)
  if not mail then return nil, why end
  store.add(tx, mail)
  tx.after_commit.mails = function() fastr.flight.nudge("notification.send") end
  return true
end

return M
