-- standing: the promotions, taxes and zone that this pack holds: definitions (data) and promotions/ (rule files),
-- without those that were switched off (definitions/off.lua).

local facts = require "price.facts"
local index = require "price.index"
local promotion = require "price.promotion"
local rule = require "price.rule"

local M = { promotions = {}, tax_rates = require "definitions.tax_rates", zone = "GB" }

local function add_definitions()
  for i, definition in ipairs(require "definitions.promotions") do
    local good, wrong = pcall(pack.check, facts.promotion, definition)
    if not good then error(("definitions/promotions.lua:1: [%d].%s"):format(i, wrong), 0) end
    M.promotions[i] = promotion.compile(definition, i, "definitions/promotions.lua:1: ")
  end
end

local function add_rules()
  for _, file in ipairs(pack.files "promotions") do
    M.promotions[#M.promotions + 1] = rule.compile(pack.load(file, rule.words), file, #M.promotions + 1)
  end
end

local function switch_off()
  local by_id = {}
  for _, each in ipairs(M.promotions) do by_id[each.id] = each end
  for i, entry in ipairs(require "definitions.off") do
    local found = rawget(by_id, entry.rule)
    if not found then
      error(("definitions/off.lua:1: [%d]: there is no promotion '%s'"):format(i, tostring(entry.rule)), 0)
    end
    found.off = true
  end
end

add_definitions()
add_rules()
switch_off()
promotion.sort(M.promotions)
M.index = index.build(M.promotions)

return M
