-- standing: the promotions, taxes and zone that this pack holds: definitions (data) and promotions/ (rule files).

local facts = require "price.facts"
local promotion = require "price.promotion"
local rule = require "price.rule"

local M = { promotions = {}, tax_rates = require "definitions.tax_rates", zone = "GB" }

local function add_definitions()
  for i, definition in ipairs(require "definitions.promotions") do
    local path = ("definitions/promotions.lua:1: [%d]"):format(i)
    local good, wrong = pcall(pack.check, facts.promotion, definition)
    if not good then error(("%s.%s"):format(path, wrong), 0) end
    M.promotions[#M.promotions + 1] = promotion.compile(definition, #M.promotions + 1, path)
  end
end

local function add_rules()
  for _, file in ipairs(pack.files "promotions") do
    M.promotions[#M.promotions + 1] = rule.compile(pack.load(file, rule.words), file, #M.promotions + 1)
  end
end

add_definitions()
add_rules()
promotion.sort(M.promotions)

return M
