-- fastr rules replay: proves the past, or shows what an edit would have changed in it.

local options = require "services.rules.options"
local packs = require "services.rules.packs"
local recorded = require "services.rules.recorded"
local replay = require "services.rules.replay"
local report = require "services.rules.report"
local words = require "services.rules.words"

local M = {}

M.usage = {
  "fastr rules replay [--since TIME] [--orders FILE] [--jobs N] [--json]",
  "    decides every placed order again by the pack it was decided by; exit 1 and the first difference if there is one",
  "fastr rules replay --with DIR|sha256:HASH [--since TIME] [--orders FILE] [--jobs N] [--json]",
  "    what these rules would have changed in the placed orders: how much, and the ten largest each way",
}

local FLAGS = { since = true, with = true, orders = true, jobs = true, json = false,
  part = true, pack = true, hash = true, every = false } -- the last four: one process asks another

local SHOWN = 10

-- Runs the job under a bar; hear(message) gets what is not about progress. True, or nil and why not.
local function watched(job, jobs, hear)
  local weight, message = recorded.weight(job)
  if not weight then return nil, message end
  local bar = replay.bar(weight)
  local well
  well, message = replay.run(job, jobs, weight, function(heard)
    bar.add(heard)
    hear(heard)
  end)
  bar.wipe()
  return well, message
end

-- ---- proving the past ---------------------------------------------------------------------------------------------

local function speed(orders, ms)
  return ("%s ms, %s a second"):format(words.count(ms), words.count(math.floor(orders * 1000 / math.max(1, ms))))
end

local function show_proof(proof)
  for _, wrong in ipairs(proof.wrong) do
    io.stderr:write(("order %s (%s, rules %s): %s\n"):format(wrong.number, wrong.placed_at, words.hash(wrong.pack),
      wrong.what))
  end
  if proof.failed > 0 then
    io.stderr:write(("%s of %s orders are not as they were\n"):format(words.count(proof.failed),
      words.count(proof.orders)))
  else
    print(("%s by %s: every one as it was, bit for bit   %s"):format(words.many(proof.orders, "order"),
      words.many(#proof.packs, "pack"), speed(proof.orders, proof.ms)))
  end
end

local function prove(given, job)
  local proof, seen = { orders = 0, failed = 0, packs = fastr.json.array {}, wrong = fastr.json.array {} }, {}
  local began = fastr.time.unix_ms()
  local well, message = watched(job, given.jobs, function(heard)
    proof.orders = proof.orders + (heard.done or 0)
    if heard.pack and not seen[heard.pack] then
      seen[heard.pack] = true
      table.insert(proof.packs, heard.pack)
    elseif heard.wrong then
      proof.failed = proof.failed + 1
      report.keep(proof.wrong, heard.wrong, report.earlier, SHOWN)
    end
  end)
  if not well then return false, message end
  proof.ms, proof.ok = fastr.time.unix_ms() - began, proof.failed == 0
  if given.json then print(fastr.json.encode(proof)) else show_proof(proof) end
  return proof.ok
end

-- ---- what an edit would have changed ------------------------------------------------------------------------------

-- The tally of what other rules make of the orders of `job` (`job.with` is proved before); or nil and why not. `also`
-- hears each message too, if it is given.
function M.tally(job, jobs, also)
  local draft, message = packs.open(job.with, true)
  if not draft then return nil, message end
  job.hash = draft:hash()
  draft:close()
  local tally = report.new()
  local well
  well, message = watched(job, jobs, function(heard)
    if heard.done then report.count(tally, heard.done, heard.sums, heard.instructions) end
    if heard.change then report.changed(tally, heard.change) end
    if heard.failure then report.failed(tally, heard.failure) end
    if also then also(heard) end
  end)
  if not well then return nil, message end
  return tally
end

local function replay_with(given, job)
  job.with = given.with
  local tally, message = M.tally(job, given.jobs)
  if not tally then return false, message end
  if given.json then print(fastr.json.encode(tally)) else report.show(tally) end
  return true
end

-- ---- the words ----------------------------------------------------------------------------------------------------

-- What `given` asks for as a job of replay, or nil and what is wrong with it. Makes given.jobs a number.
function M.job(given)
  local since, message = options.time(given.since, "--since")
  if message then return nil, message end
  local jobs = given.jobs and tonumber(given.jobs)
  if given.jobs and not (jobs and jobs % 1 == 0 and jobs >= 1 and jobs <= 64) then
    return nil, "--jobs: a number from 1 to 64 is expected"
  end
  given.jobs = jobs
  return { since = since, path = given.orders }
end

local function one_part(given)
  local part, parts = given.part:match("^(%d+)/(%d+)$")
  return replay.part { part = tonumber(part), parts = tonumber(parts), since = given.since, path = given.orders,
    pack = given.pack, with = given.with, hash = given.hash, every = given.every }
end

function M.main(arguments)
  local given, message = options.read(arguments, {}, FLAGS)
  if not given then return nil, message end
  if given.part then return one_part(given) end
  local job
  job, message = M.job(given)
  if not job then return nil, message end
  if given.with then return replay_with(given, job) end
  return prove(given, job)
end

return M
