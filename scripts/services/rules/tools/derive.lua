-- fastr rules derive: a version of what is live with one other file, through the gate, signed and stored: what the
-- admin API asks for. The rules service starts it as a process of its own; it is no command for people and not in the
-- help.
--
--   in:  { base, file, text, message, author, force, dry, at }   as JSON
--   out: { hash, same | report, impact, impact_at, sealed, orders_unread } or { invalid | unsigned | failed = why }

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local publish = require "services.rules.publish"
local recorded = require "services.rules.recorded"
local report = require "services.rules.report"

local M = {}

M.usage = { "fastr rules derive" }

-- What the version would have changed in the placed orders, beside what is live: a tally of report.lua with its line.
-- `at`: as if all of them had been placed then (nil: each at its own time); a promotion that begins later changes none
-- else.
local function impact(base, derived, orders, at)
  local tally = report.new()
  for _, order in ipairs(orders) do
    order.facts.now = at or order.facts.now
    local before = base:decide("price.cart", order.facts)
    report.add(tally, order, before, derived:decide("price.cart", order.facts))
  end
  return { line = report.line(tally), orders = tally.orders, changed = tally.changed, failed = tally.failed,
    deltas = tally.deltas, dearer = tally.dearer, cheaper = tally.cheaper, otherwise = tally.otherwise }
end

-- The gate's report, and the signed statement where it may become live. A dry one is stored for the gate, but not
-- signed.
local function checked(wanted, base, derived, orders)
  local source, about = derived:hash(), { message = wanted.message, author = wanted.author, force = wanted.force,
    parent = base, is_meant = true, orders = orders }
  if wanted.dry then return { report = publish.check(source, about) } end
  local made, message, result = publish.prepare(source, about)
  if made then return { report = made.report, sealed = made.sealed } end
  if not result then return { failed = message } end
  if not result.ok and not wanted.force then return { report = result } end -- the gate refuses it, and nobody forces it
  return { unsigned = message }
end

local function derive(wanted)
  local base, message = packs.open(wanted.base)
  if not base then return { failed = message } end
  local derived, stored
  derived, message = base:with(wanted.file, wanted.text)
  if not derived then return { invalid = message } end
  if derived:hash() == base:hash() then return { hash = base:hash(), same = true } end
  stored, message = derived:store()
  if not stored then return { failed = message } end
  local orders, unread = recorded.sample()
  local out = checked(wanted, base, derived, orders or {})
  if not out.report then return out end
  out.hash, out.impact = derived:hash(), impact(base, derived, orders or {})
  out.impact_at = wanted.at and impact(base, derived, orders or {}, wanted.at)
  out.orders_unread = not orders and unread or nil
  return out
end

function M.main(arguments)
  local given, message = options.read(arguments, {}, {})
  if not given then return nil, message end
  local wanted = fastr.json.decode(io.read("*a"))
  if type(wanted) ~= "table" then return nil, "JSON is expected on standard input" end
  local done, out = xpcall(derive, fastr.traceback, wanted)
  print(fastr.json.encode(done and out or { failed = tostring(out) }))
  return true
end

return M
