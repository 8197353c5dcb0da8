-- edited: the file of a pack that the admin API alone writes, definitions/edited.lua: promotions as data, in the order
-- in which they were made, each field on a line of its own, so that the difference of two packs shows what was changed.

local bundle = require "services.rules.bundle"
local sorted = require "lib.sorted"

local M = {}

M.FILE = "definitions/edited.lua"

local HEAD = [[
-- edited: the promotions that were made or changed by the admin API, which alone writes this file. One of them takes
-- the place of that of promotions.lua with the same id.
return {
]]

-- The fields of a definition in the order in which they are written; what else there is follows by name.
local ORDER = { "id", "doc", "says", "level", "actions", "conditions", "coupon", "currency", "starts_at", "ends_at",
  "enabled", "priority", "exclusive", "applies_to_discounted", "usage", "budget" }

local UNLIMITED = 9007199254740991 -- as a file's `unlimited`

-- ---- as a text ----------------------------------------------------------------------------------------------------

-- A text in quotes, in which nothing is left that would end it or a line.
local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(char)
    return ("\\%03d"):format(char:byte())
  end) .. '"'
end

-- A number in as few digits as give it back.
local function number(value)
  if value == UNLIMITED then return "unlimited" end
  for digits = 14, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
  return "0 / 0" -- no number: the pack refuses it
end

local RESERVED = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true "
  .. "until while"):gmatch("%a+") do RESERVED[word] = true end

local function key(name)
  if name:find("^[%a_][%w_]*$") and not RESERVED[name] then return name end
  return "[" .. quoted(name) .. "]"
end

local written

local function written_list(list)
  local parts = {}
  for i, each in ipairs(list) do parts[i] = written(each) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function written_object(object)
  local parts = {}
  for i, name in ipairs(sorted.keys(object)) do parts[i] = key(name) .. " = " .. written(object[name]) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

function written(value)
  if type(value) == "string" then return quoted(value) end
  if type(value) == "number" then return number(value) end
  if type(value) ~= "table" then return tostring(value) end
  if next(value) == nil then return "{}" end
  return #value > 0 and written_list(value) or written_object(value)
end

-- The names of a definition's fields, in their order.
local function names_of(definition)
  local names, known = {}, {}
  for _, name in ipairs(ORDER) do
    known[name] = true
    if definition[name] ~= nil then names[#names + 1] = name end
  end
  for _, name in ipairs(sorted.keys(definition)) do
    if not known[name] then names[#names + 1] = name end
  end
  return names
end

local function add(out, definition)
  local parts = {}
  for i, name in ipairs(names_of(definition)) do parts[i] = key(name) .. " = " .. written(definition[name]) end
  out[#out + 1] = "  { " .. table.concat(parts, ",\n    ") .. " },\n"
end

-- The file with these definitions. The same list gives the same bytes.
function M.text(definitions)
  local out = { HEAD }
  for _, definition in ipairs(definitions) do add(out, definition) end
  out[#out + 1] = "}\n"
  return table.concat(out)
end

-- ---- between JSON and the file --------------------------------------------------------------------------------------

local null = fastr.json.null

-- A definition as it came in JSON without its nulls, which say nothing; but `times`: null is as often as it fits, and
-- one in a list is wrong (as `false` is, which leaves no hole).
function M.from_json(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for name, each in pairs(value) do
    if each ~= null then out[name] = M.from_json(each) end
    if each == null and name == "times" then out[name] = UNLIMITED end
    if each == null and type(name) == "number" then out[name] = false end
  end
  return out
end

-- A definition of a pack as it goes out in JSON.
function M.to_json(value)
  if type(value) ~= "table" then return value end
  local out = #value > 0 and fastr.json.array {} or {}
  for name, each in pairs(value) do
    out[name] = name == "times" and each == UNLIMITED and null or M.to_json(each)
  end
  return out
end

-- ---- two of them ----------------------------------------------------------------------------------------------------

-- The definitions of such a file as they are written, by id. None in a text that is nil, or not of this form.
local function entries(text)
  local out = {}
  for entry in (text or ""):gsub("\n}\n$", ""):gsub("\n  { ", "\0%0"):gmatch("%z([^%z]+)") do
    out[entry:match('^\n  { id = "(.-)"') or entry] = entry
  end
  return out
end

-- The ids of the promotions that one of two such texts (nil: none) has not, or has otherwise; in order.
function M.differing(before, after)
  local old, new, ids = entries(before), entries(after), {}
  for id, entry in pairs(old) do
    if new[id] ~= entry then ids[id] = true end
  end
  for id in pairs(new) do
    if not old[id] then ids[id] = true end
  end
  return sorted.keys(ids)
end

-- ---- of a pack ------------------------------------------------------------------------------------------------------

-- The text of the file in a pack that is given in its stored form (nil: none), or nil.
function M.within(stored)
  for _, file in ipairs(stored and bundle.files(stored) or {}) do
    if file.name == M.FILE then return file.text end
  end
end

-- The same in the stored pack `hash` of this host.
function M.of(hash)
  return M.within((fastr.rules.stored(hash)))
end

return M
