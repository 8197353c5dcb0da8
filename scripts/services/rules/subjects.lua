-- subjects: the categories that a pack's promotions name and no product of the catalogue is in. Such a promotion holds,
-- and never applies: mostly the name is misspelt.

local catalogue = require "services.rules.catalogue"
local near = require "lib.near"

local M = {}

-- "home/candles/votive" is in "home/candles" and "home" too.
local function add_with_those_above(set, category)
  while category and not set[category] do
    set[category] = true
    category = category:match("^(.+)/[^/]+$")
  end
end

local function categories_of_products()
  local set = {}
  for _, product in ipairs(catalogue.all()) do
    for _, category in ipairs(product.categories) do add_with_those_above(set, category) end
  end
  return set
end

local NAME = "categor[yi][%w_]*%s*=?%s*"
local LISTS = { NAME .. "(%b())", NAME .. "(%b{})", NAME .. '("[^"\n]*")' }

-- Calls visit(category) for each that the text of a file names: category "a", category("a", "b"), category = "a",
-- categories_any = { "a" }.
local function each_category(text, visit)
  for _, pattern in ipairs(LISTS) do
    for list in text:gmatch(pattern) do
      for category in list:gmatch('"([^"\n]+)"') do visit(category) end
    end
  end
end

-- The category that was probably meant: the first that begins so, or the one that is spelt most alike, or nil.
local function meant(category, known)
  local best
  for name in pairs(known) do
    if name:sub(1, #category) == category and (not best or name < best) then best = name end
  end
  return best or near(category, known):match("'(.*)'")
end

-- List of { file, category, meant = or nil }, in the order of files.
function M.unknown(pack)
  local known, list, seen = categories_of_products(), {}, {}
  for file, text in pairs(pack:files()) do
    if file:find("^promotions/") or file == "definitions/promotions.lua" or file == "definitions/edited.lua" then
      local code = text:gsub("%-%-[^\n]*", ""):gsub("%f[%w]examples%s*=%s*%b{}", "")
      each_category(code, function(category)
        if known[category] or seen[file .. category] then return end
        seen[file .. category] = true
        list[#list + 1] = { file = file, category = category, meant = meant(category, known) }
      end)
    end
  end
  table.sort(list, function(a, b) return a.file .. a.category < b.file .. b.category end)
  return list
end

-- One line for people, or nil if there is nothing to say.
function M.line(pack)
  local parts = {}
  for _, each in ipairs(M.unknown(pack)) do
    parts[#parts + 1] = ("'%s' (%s%s)"):format(each.category, each.file,
      each.meant and "; did you mean '" .. each.meant .. "'?" or "")
  end
  if #parts == 0 then return nil end
  return "no product is in " .. table.concat(parts, ", ")
end

return M
