-- standing: the promotions, taxes and zone that this pack holds: definitions (data) and promotions/ (rule files),
-- without those that were switched off (definitions/off.lua).

local definitions = require "engine.definitions"
local facts = require "price.facts"
local index = require "price.index"
local near = require "lib.near"
local promotion = require "price.promotion"
local rule = require "price.rule"
local shape = require "engine.shape"
local tax_rates = require "price.tax_rates"

local M = { promotions = {}, by_id = {}, tax_rates = tax_rates, zone = "GB" }

-- Traces, `off` and used coupons know a promotion by its id.
local function add(made, where)
  if rawget(M.by_id, made.id) then error(("%s: there is another promotion '%s'"):format(where, made.id), 0) end
  M.by_id[made.id] = made
  M.promotions[#M.promotions + 1] = made
  made.index = #M.promotions
end

-- The definitions in FILE.lua made ready, in its order; add(made, place) gets each.
local function each_definition(file, visit)
  local i = 0
  definitions.read(file, facts.definition, function(definition, path)
    i = i + 1
    definitions.currency(definition.currency, path)
    local made = promotion.compile(definition, i, file .. ".lua:1: ")
    made.definition, made.file = definition, file .. ".lua"
    visit(made, path .. ".id")
  end)
end

local WRITTEN, EDITED = "definitions/promotions", "definitions/edited"

local function has(file)
  for _, name in ipairs(pack.files "definitions") do
    if name == file .. ".lua" then return true end
  end
end

-- What the admin API made goes before what stands in the file under the same id, at the same place.
local function add_definitions()
  local edited, list = {}, {}
  if has(EDITED) then
    each_definition(EDITED, function(made, where)
      if rawget(edited, made.id) then error(("%s: there is another promotion '%s'"):format(where, made.id), 0) end
      edited[made.id] = made
      list[#list + 1] = { made, where }
    end)
  end
  each_definition(WRITTEN, function(made, where)
    local instead = rawget(edited, made.id)
    if instead then instead.replaces = made.file end
    add(instead or made, where)
  end)
  for _, each in ipairs(list) do
    if not each[1].replaces then add(each[1], each[2]) end
  end
end

local function add_rules()
  for _, file in ipairs(pack.files "promotions") do
    add(rule.compile(pack.load(file, rule.words), file, #M.promotions + 1), file .. ":1")
  end
end

local OFF = shape.object { rule = shape.text(), reason = shape.optional(shape.text()),
  by = shape.optional(shape.text()), at = shape.optional(shape.time) }

local function switch_off()
  for i, entry in ipairs(definitions.read("definitions/off", OFF)) do
    local found = rawget(M.by_id, entry.rule)
    if not found then
      error(("definitions/off.lua:1: [%d].rule: there is no promotion '%s'%s"):format(i, entry.rule,
        near(entry.rule, M.by_id)), 0)
    end
    found.off, found.entry = true, entry
  end
end

add_definitions()
add_rules()
switch_off()
promotion.sort(M.promotions)
M.index = index.build(M.promotions)

return M
