-- fastr rules decide: facts as JSON in, the decision as JSON out.

local near = require "lib.near"
local options = require "services.rules.options"
local packs = require "services.rules.packs"

local M = {}

M.usage = {
  "fastr rules decide POINT FACTS.json [--pack DIR|sha256:HASH] [--explain none|applied|full]",
  "    prints the decision as JSON (POINT: price.cart, cart.accept, ...; FACTS.json or - for standard input)",
  "fastr rules decide POINT --lines [--pack DIR|sha256:HASH]",
  "    one line of facts in, one line out: the decision, or {\"error\":...}",
}

-- The decision on a text of facts as canonical JSON, or nil and what is wrong: of several faults that which a quote
-- names, for both read the facts in the order in which they are written.
local function decide(pack, given, text)
  local decision, message = pack:decide_text(given.point, text, { explain = given.explain })
  if not decision then return nil, message end
  return fastr.json.canonical(assert(fastr.json.decode(decision)))
end

local function decide_lines(pack, given)
  for line in io.lines() do
    local out, message = decide(pack, given, line)
    print(out or fastr.json.encode { error = message })
  end
  return true
end

-- nil, or what is wrong with the point.
local function unknown(pack, point)
  local points = pack:points()
  for _, each in ipairs(points) do
    if each == point then return nil end
  end
  table.sort(points)
  return ("the pack does not decide '%s'%s; it decides %s"):format(point, near(point, points),
    table.concat(points, ", "))
end

function M.main(arguments)
  local given, message = options.read(arguments, { "point", "facts" }, { pack = true, explain = true, lines = false })
  if not given then return nil, message end
  if not given.point or not (given.facts or given.lines) then return nil, "a point and its facts are needed" end
  given.explain = given.explain or "full"
  local pack
  pack, message = packs.open(given.pack)
  if not pack then return false, message end
  message = unknown(pack, given.point)
  if message then return nil, message end
  if given.lines then return decide_lines(pack, given) end
  local text, out
  if given.facts == "-" then
    text = io.read("*a")
  else
    text, message = options.text(given.facts)
  end
  if not text then return false, message end
  out, message = decide(pack, given, text)
  if not out then return false, given.facts .. ": " .. message end
  print(out)
  return true
end

return M
