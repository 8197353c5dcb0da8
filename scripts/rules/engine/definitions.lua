-- definitions: reads a file of definitions/, a list of data, and refuses what could not be used, by file, path and
-- reason, when the pack is loaded.

local near = require "lib.near"
local shape = require "engine.shape"

local M = {}

local MOST = 2000 -- in one file

-- What a file can name besides Lua's own: `unlimited`, the largest count there is, which nothing in a cart reaches.
local NAMES = { unlimited = 9007199254740991 }

local function wrong(path, text) error(path .. ": " .. text, 0) end

-- The list in FILE.lua, each of the shape `of`. `check`(definition, path), if given, raises for what a shape cannot
-- say.
function M.read(file, of, check)
  local list = pack.load(file .. ".lua", NAMES)
  local good, message = pcall(pack.check, shape.list(of, { max = MOST }), list)
  if not good then wrong(file .. ".lua:1", message) end
  for i, definition in ipairs(check and list or {}) do check(definition, ("%s.lua:1: [%d]"):format(file, i)) end
  return list
end

-- Raises unless the currency is one of ISO 4217 whose exponent is known; nil is any.
function M.currency(code, path)
  if code ~= nil and not pcall(money.exponent, code) then
    wrong(path .. ".currency", ("'%s' is no currency whose minor units are known"):format(code))
  end
end

function M.percent(value, path)
  if not pcall(money.less_percent, 0, value) then
    wrong(path .. ".percent", "a percentage from 0 to 100 with up to 4 places is expected")
  end
end

-- A function(key, path) that raises when a key comes a second time; `what` names it: "id".
function M.once(what)
  local seen = {}
  return function(key, path)
    local first = rawget(seen, key)
    if first then wrong(path .. "." .. what, ("'%s' is also that of %s"):format(key, first)) end
    seen[key] = path
  end
end

-- Raises unless `name`, of field `field`, is a key of `known`; nil is fine.
function M.known(name, known, path, field)
  if name ~= nil and not rawget(known, name) then
    wrong(path .. "." .. field, ("there is no '%s'%s"):format(name, near(name, known)))
  end
end

return M
