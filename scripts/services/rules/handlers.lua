-- handlers: one function per route of rules.

local problem = require "lib.problem"

local M = {}

-- "lines[1].sku: is missing" is a path and what is wrong there.
local function place(message)
  local at = message:find(": ", 1, true)
  if not at then return { path = "", problem = message } end
  return { path = message:sub(1, at - 1), problem = message:sub(at + 2) }
end

-- No rule is at fault when the caller's own amounts add up to more than an amount can be.
local function is_overflow(code, message)
  return code == "rules_error" and message:find("goes past 2^53 - 1", 1, true) ~= nil
end

-- Facts and decision are passed on as the texts that they are.
function M.quote(ctx)
  local decision, message, code = fastr.rules.decide_text("price.cart", ctx.body, { explain = "full" })
  if decision then return 200, decision, { ["Content-Type"] = "application/json" } end
  if code == "json" then return nil, problem.new("body_not_json", { detail = message }) end
  if is_overflow(code, message) then code = "facts_invalid" end
  if code ~= "facts_invalid" then return nil, problem.new(code, { detail = message }) end
  return nil, problem.new(code, { detail = message, errors = fastr.json.array { place(message) } })
end

return M
