-- fastr rules impact: the orders that a version priced, and what another would have charged: how far a mistake went.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local replay = require "services.rules.tools.replay"
local report = require "services.rules.report"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules impact HASH [--against DIR|sha256:HASH] [--since TIME] [--orders FILE] [--jobs N]",
  "                   [--csv | --json]",
  "    the orders that the version HASH (or its beginning) priced, with what others (default: live) would have",
  "    charged; --csv and --json list every one of them",
}

local FLAGS = { against = true, since = true, orders = true, jobs = true, csv = false, json = false }
local COLUMNS = { "number", "placed_at", "currency", "before", "after", "delta", "sku", "quantity", "reason" }

local function source_of(given)
  if given.against then return given.against end
  local live, message = packs.live()
  return live and live.hash, message
end

-- RFC 4180: what has a comma, a quote or a line's end stands in quotes.
local function cell(value)
  local text = value == nil and "" or tostring(value)
  if text:find('[",\r\n]') then text = '"' .. text:gsub('"', '""') .. '"' end
  return text
end

local function show_csv(list)
  print(table.concat(COLUMNS, ","))
  for _, order in ipairs(list) do
    local cells = {}
    for i, name in ipairs(COLUMNS) do cells[i] = cell(order[name]) end
    print(table.concat(cells, ","))
  end
end

local function show(given, tally, list)
  table.sort(list, report.earlier)
  if given.csv then return show_csv(list) end
  if given.json then
    tally.every = list
    return print(fastr.json.encode(tally))
  end
  if tally.orders == 0 then return print("no placed order was priced by " .. words.hash(given.hash)) end
  print(("%s %s priced by %s; by %s:"):format(words.many(tally.orders, "order"), tally.orders == 1 and "was" or "were",
    words.hash(given.hash), words.hash(tally.pack)))
  report.show(tally)
end

function M.main(arguments)
  local given, message = options.read(arguments, { "hash" }, FLAGS)
  if not given then return nil, message end
  if not given.hash then return nil, "which version's orders? (fastr rules status shows the live one)" end
  local wanted = given.hash:gsub("^sha256:", "")
  if not wanted:find("^%x+$") or #wanted > 64 then return nil, "'" .. given.hash .. "' is no hash of a version" end
  local job, tally
  job, message = replay.job(given)
  if not job then return nil, message end
  job.with, message = source_of(given)
  if not job.with then return false, message end
  job.pack, job.every = "sha256:" .. wanted, given.csv or given.json
  local list = fastr.json.array {}
  tally, message = replay.tally(job, given.jobs, job.every and function(heard)
    list[#list + 1] = heard.change or heard.same
  end or nil)
  if not tally then return false, message end
  tally.pack = job.hash
  show(given, tally, list)
  return true
end

return M
