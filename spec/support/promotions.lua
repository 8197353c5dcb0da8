-- promotions: a spec's own promotions, in the pack of this process alone: what is live stays as it is.
--
--   local own = promotions.use [[{ id = "few", ... }]]    in setup: what follows is decided with them
--   own:restore()                                         in teardown

local M = {}
M.__index = M

-- Decides everything with the shop's rules and these promotions (the inside of definitions/promotions.lua).
function M.use(definitions)
  local shop = assert(fastr.rules.open("scripts/rules"))
  local pack = assert(shop:with("definitions/promotions.lua", "return {\n" .. definitions .. "\n}"))
  shop:close()
  local rules = fastr.rules
  local own = setmetatable({}, { __index = rules })
  function own.decide(point, facts, options)
    return pack:decide(point, facts, { explain = options and options.explain })
  end
  function own.decide_text(point, text, options)
    return pack:decide_text(point, text, { explain = options and options.explain })
  end
  rawset(fastr, "rules", own)
  return setmetatable({ rules = rules, pack = pack }, M)
end

function M:restore()
  rawset(fastr, "rules", self.rules)
  self.pack:close()
end

return M
