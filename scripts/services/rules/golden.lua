-- golden: carts whose price is not to change unless somebody means it: facts with the decision that is expected, a file
-- of JSON each in the folder that the setting rules.golden names. `fastr rules try --save` makes them, `check` holds
-- every pack against them, `accept` takes a meant change over.

local compare = require "services.rules.compare"
local near = require "lib.near"
local options = require "services.rules.options"
local report = require "services.rules.report"
local sorted = require "lib.sorted"

local M = {}

local POINT = "price.cart"

function M.folder()
  return fastr.setting("rules.golden", "spec/rules/golden")
end

local function path_of(name)
  return M.folder() .. "/" .. name .. ".json"
end

-- ---- files that people read ---------------------------------------------------------------------------------------

local function is_flat(value)
  if type(value) ~= "table" then return true end
  for _, each in pairs(value) do
    if type(each) == "table" and next(each) ~= nil then return false end
  end
  return true
end

-- JSON with a line for each thing that holds only plain values, so that a change is seen where it is.
local function pretty(value, margin)
  if is_flat(value) then return fastr.json.canonical(value) end
  local inner, parts = margin .. "  ", {}
  if #value > 0 then
    for i, each in ipairs(value) do parts[i] = inner .. pretty(each, inner) end
    return "[\n" .. table.concat(parts, ",\n") .. "\n" .. margin .. "]"
  end
  for i, name in ipairs(sorted.keys(value)) do
    parts[i] = inner .. fastr.json.canonical(name) .. ": " .. pretty(value[name], inner)
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. margin .. "}"
end

local function write(cart)
  local path = path_of(cart.name)
  local done, message = options.write(path, pretty({ facts = cart.facts, decision = cart.decision }, "") .. "\n")
  return done and path, message
end

local function read(name)
  local path = path_of(name)
  local text, message = options.text(path)
  if not text then return nil, message end
  local cart
  cart, message = fastr.json.decode(text)
  if type(cart) ~= "table" or type(cart.facts) ~= "table" or type(cart.decision) ~= "table" then
    return nil, path .. ": " .. (message or "facts and decision are expected")
  end
  cart.name = name
  return cart
end

-- ---- the carts ----------------------------------------------------------------------------------------------------

-- What the pack decides for these facts, as a golden cart keeps it: without the pack's hash. Or nil and why not.
local function decide(pack, facts)
  local decision, message = pack:decide(POINT, facts)
  if decision then decision.pack = nil end
  return decision, message
end

-- All of them, by name: list of { name, facts, decision }; nil and which file is none.
function M.all()
  local list = {}
  for _, file in ipairs(fastr.files.list(M.folder()) or {}) do
    local name = file:match("^(.+)%.json$")
    if name then
      local cart, message = read(name)
      if not cart then return nil, message end
      list[#list + 1] = cart
    end
  end
  return list
end

-- Can a golden cart be called so? True, or nil and why not.
function M.can_be_called(name)
  if name:find("^[%w][%w_-]*$") and #name <= 60 then return true end
  return nil, "'" .. name .. "' cannot be a golden cart's name: letters, digits, _ and -, at most 60"
end

-- Keeps these facts with what the pack decides for them. Its path, or nil and what is wrong.
function M.save(name, facts, pack)
  local decision, message = decide(pack, facts)
  if not decision then return nil, message end
  return write { name = name, facts = facts, decision = decision }
end

-- How the pack differs from what a cart expects: a change of report.change whose number is the cart's name, or nil; or
-- nil and why the pack cannot decide it. What `parent` (nil: none) decides just so is none.
local function change_of(cart, pack, parent)
  local now, message = decide(pack, cart.facts)
  if not now then return nil, message end
  local before = parent and decide(parent, cart.facts)
  if before and fastr.json.canonical(before) == fastr.json.canonical(now) then return nil end
  local difference = compare.decisions(cart.decision, now)
  return difference and report.change({ number = cart.name, currency = cart.facts.currency,
    total = cart.decision.total }, difference)
end

-- A tally of report.lua: what the pack changes in them; with `parent`, of what that one had not changed already. Nil
-- and what is wrong with a file of them.
function M.compare(pack, parent)
  local carts, message = M.all()
  if not carts then return nil, message end
  local tally = report.new()
  for _, cart in ipairs(carts) do
    local change, failed = change_of(cart, pack, parent)
    report.count(tally, 1, { [cart.facts.currency] = cart.decision.total }, 0)
    if change then report.changed(tally, change) end
    if failed then report.failed(tally, { number = cart.name, message = failed }) end
  end
  return tally
end

-- The carts of these names (nil: all); or nil and which name is none.
local function chosen(names)
  local carts, message = M.all()
  if not carts or not names then return carts, message end
  local by_name, list = {}, {}
  for _, cart in ipairs(carts) do by_name[cart.name] = cart end
  for i, name in ipairs(names) do
    list[i] = by_name[name]
    if not list[i] then
      return nil, ("there is no golden cart '%s' in %s%s"):format(name, M.folder(), near(name, by_name))
    end
  end
  return list
end

-- Takes over what the pack decides now for the golden carts of these names (nil: all that differ), and calls
-- took(change) for each. True, or nil and why not; names that are none change nothing.
function M.accept(pack, names, took)
  local carts, message = chosen(names)
  if not carts then return nil, message end
  for _, cart in ipairs(carts) do
    local change, failed = change_of(cart, pack)
    if failed then return nil, cart.name .. ": " .. failed end
    if change then
      local saved
      saved, message = M.save(cart.name, cart.facts, pack)
      if not saved then return nil, message end
      took(change)
    end
  end
  return true
end

return M
