-- fastr rules new: a promotion of one's own to begin with: a rule file with its examples, and its spec; both hold.

local child = require "services.rules.child"
local near = require "lib.near"
local options = require "services.rules.options"
local packs = require "services.rules.packs"

local M = {}

M.usage = {
  "fastr rules new NAME [--like PROMOTION]",
  "    makes promotions/NAME.lua and spec/NAME_spec.lua in the rules folder, which hold as they are: edit them.",
  "    --like: begins with one of docs/cookbook/",
}

local COOKBOOK = "docs/cookbook"
local NAME_MAX = 60
local DAY_MS = 24 * 60 * 60 * 1000

local TEMPLATE = [[
-- %s: say here what the promotion is for, and for whom.
return rule {
  doc = "A tenth off when four mugs or more are bought.",
  stage = "item", -- or "order", "shipping"
  from = "%s", to = "%s",
  when = { at_least(4, category "kitchen/mugs-and-cups") },
  apply = function(cart) cart:percent_off { percent = 10, of = category "kitchen/mugs-and-cups" } end,
  examples = {
    { "three mugs, nothing off", cart = { MUG = { 3, 250 } }, total = 750 },
    { "four mugs, a tenth off each", cart = { MUG = { 4, 250 } }, total = 900 },
    { "other things do not count", cart = { MUG = { 3, 250 }, LAMP = { 1, 1200, "lighting/lamps" } }, total = 1950 },
  },
}
]]

-- The examples of a rule meet it alone; its spec, the whole pack.
local SPEC = [[
-- What %s gives beside the other promotions; what it does alone is said by its examples.

local MUGS = "kitchen/mugs-and-cups"
local NOW = { now = "%sT12:00:00Z" }

describe("%s", function()
  it("takes a tenth off each of four mugs", function()
    local entry = rules.entry(rules.price({ MUG = { 4, 250, MUGS } }, NOW), "%s")
    assert.same({ "applied", 100 }, { entry.outcome, entry.amount })
  end)

  it("says of three mugs that one is missing", function()
    local entry = rules.entry(rules.price({ MUG = { 3, 250, MUGS } }, NOW), "%s")
    assert.same({ "not_applied", 3, 4 }, { entry.outcome, entry.actual, entry.wanted })
  end)
end)
]]

local SPEC_LIKE = [[
-- What %s gives beside the other promotions; what it does alone is said by its examples.

describe("%s", function()
  it("is considered for every cart, and leaves nothing below zero", function()
    local decision = rules.price { THING = { 3, 250 } }
    assert.truthy(rules.entry(decision, "%s"))
    assert.is_true(decision.total >= 0 and decision.total <= 750)
  end)
end)
]]

-- "2026-11-24": the day after `days` days.
local function day(days)
  return fastr.time.iso(fastr.time.unix_ms() + days * DAY_MS):sub(1, 10)
end

local function template(name)
  return TEMPLATE:format(name, day(0) .. "T00:00:00Z", day(30) .. "T23:59:59Z")
end

-- What the file begins with: the template, or a promotion of the cookbook; nil and what is wrong.
local function text_of(name, like)
  if not like then return template(name) end
  local text = like:find("^[%w_]+$") and options.text(("%s/%s.lua"):format(COOKBOOK, like))
  if text then return (text:gsub("^%-%- [%w_]+:", "-- " .. name .. ":", 1)) end
  local names = {}
  for i, file in ipairs(fastr.files.list(COOKBOOK) or {}) do names[i] = file:match("^[%w_]+") end
  return nil, ("--like: there is no %s/%s.lua%s; %s/README.md lists what there is"):format(COOKBOOK, like,
    near(like, names), COOKBOOK)
end

local function spec_of(name, like)
  if like then return SPEC_LIKE:format(name, name, name) end
  return SPEC:format(name, day(1), name, name, name)
end

-- nil, or what is wrong with the name.
local function bad_name(name)
  if name:find("%.lua$") then return "the name is given without .lua: fastr rules new " .. name:gsub("%.lua$", "") end
  if #name > NAME_MAX then return ("a name has at most %d characters, this one has %d"):format(NAME_MAX, #name) end
  if not name:find("^%l[%l%d_]*$") then
    return ("'%s' cannot be a rule's name: a small letter, then small letters, digits and _, as in three_for_two")
      :format(name)
  end
end

-- Does the pack on disk hold with the new file? true, or nil and why not.
local function try(name, file, text)
  local pack, draft, examples, message
  pack, message = packs.open(nil)
  if not pack then return nil, "the rules on disk do not hold as they are; mend them first\n" .. message end
  draft, message = pack:with(file, text)
  pack:close()
  if not draft and message:find("another promotion", 1, true) then
    return nil, ("definitions/promotions.lua has a promotion '%s': choose another name"):format(name)
  end
  if not draft then return nil, message end
  examples, message = packs.prove(draft, packs.folder())
  draft:close()
  return examples and true, message
end

local function write(path, text)
  os.execute("mkdir -p " .. child.quoted(path:match("^(.*)/")))
  return options.write(path, text)
end

local function next_steps(path, spec, name)
  print(("made %s\nand  %s\nnow edit them; examples and spec say what the rule should do"):format(path, spec))
  print("  fastr rules check                      does it hold?")
  print("  fastr rules try SKU*QUANTITY ...       what would a cart cost, beside what is live?")
  print("  fastr rules watch                      both at each save, and live")
  print(("  fastr rules off %-22s take it out of what is live, with --reason TEXT"):format(name))
end

-- Makes both files: true, or nil and why not.
local function make(name, like)
  local file = ("promotions/%s.lua"):format(name)
  local path, spec = packs.folder() .. "/" .. file, ("%s/spec/%s_spec.lua"):format(packs.folder(), name)
  for _, each in ipairs { path, spec } do
    if options.text(each) then return nil, each .. " is there already: edit it, or choose another name" end
  end
  local text, message = text_of(name, like)
  if not text then return nil, message end
  local done
  done, message = try(name, file, text)
  if done then done, message = write(path, text) end
  if done then done, message = write(spec, spec_of(name, like)) end
  if done then next_steps(path, spec, name) end
  return done, message
end

function M.main(arguments)
  local given, message = options.read(arguments, { "name" }, { like = true })
  if not given then return nil, message end
  if not given.name then return nil, "what shall it be called?" end
  message = bad_name(given.name)
  if message then return nil, message end
  local done
  done, message = make(given.name, given.like)
  return done or false, message
end

return M
