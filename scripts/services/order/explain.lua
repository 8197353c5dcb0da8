-- explain: every rule that was looked at when an order was priced. An order keeps what applied; the rest is decided
-- once more, by the rules and the facts of then, which give the same price to the penny (`fastr rules replay` proves
-- it).

local problem = require "lib.problem"
local store = require "services.order.store"

local M = {}

local POINT = "price.cart"

-- By a version that is no longer warm: it is read from where packs are kept, which blocks for some milliseconds.
local function by_kept(pack, facts)
  local opened, message = fastr.rules.open(pack)
  if not opened then return nil, problem.new("rules_version_gone", { detail = message }) end
  local decision, info, code = opened:decide(POINT, facts, { explain = "full" })
  opened:close()
  if not decision then return nil, problem.new(code, { detail = info }) end
  return info.trace
end

-- The full trace of an order of store.load; or nil and a problem.
function M.trace(db, order)
  local facts = store.facts(db, order.id)
  local decision, info, code = fastr.rules.decide(POINT, facts, { pack = order.pack, explain = "full" })
  if decision then return info.trace end
  if code == "rules_version_gone" then return by_kept(order.pack, facts) end
  return nil, problem.new(code, { detail = info })
end

return M
