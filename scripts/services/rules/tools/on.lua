-- fastr rules on: takes back what `fastr rules off` did to one promotion.

local off = require "services.rules.tools.off"
local options = require "services.rules.options"

local M = {}

M.usage = { "fastr rules on NAME", "    switches a promotion on again that `fastr rules off` switched off" }

function M.main(arguments)
  local given, message = options.read(arguments, { "rule" }, {})
  if not given then return nil, message end
  if not given.rule then return nil, "which promotion? (fastr rules status lists those that are off)" end
  return off.switch(function(list)
    for i, entry in ipairs(list) do
      if entry.rule == given.rule then
        table.remove(list, i)
        return list
      end
    end
    return nil, given.rule .. " is not switched off"
  end, "on " .. given.rule)
end

return M
