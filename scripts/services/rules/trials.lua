-- trials: a version tried beside the live one on this host, as canary or as shadow: how it is asked for on a command
-- line, and what is said of it.

local packs = require "services.rules.packs"
local who = require "services.rules.who"
local words = require "services.rules.words"

local M = {}

-- The words that ask for a trial; true: with a value.
M.flags = { canary = true, shadow = false, sample = true, drift = true, errors = true, after = true }

-- "5%", "5" or "0.5 %" in basis points, from `least` to `most`; or nil and what is wrong.
local function basis_points(text, name, least, most)
  local number = tonumber(text:match("^(%d+%.?%d*) ?%%?$"))
  local points = number and math.floor(number * 100 + 0.5)
  if points and points >= least and points <= most then return points end
  return nil, ("--%s %s: a percentage from %s to %s is expected, as 5%%"):format(name, text, least / 100, most / 100)
end

local function limit(text, name)
  local number = tonumber(text:match("^%d+$"))
  if number and number >= 1 and number <= 1000000 then return number end
  return nil, ("--%s %s: a whole number from 1 is expected"):format(name, text)
end

-- The limits that end a trial, those of the settings where none are given: { drift (basis points), errors, after }.
local function limits_of(given)
  local limits, message = {}
  limits.drift, message = basis_points(given.drift or fastr.setting("rules.trial.drift_percent", "2"), "drift", 0,
    100000)
  if not limits.drift then return nil, message end
  for name, otherwise in pairs { errors = "1", after = "20" } do
    limits[name], message = limit(given[name] or fastr.setting("rules.trial." .. name, otherwise), name)
    if not limits[name] then return nil, message end
  end
  return limits
end

-- What the words of a command line ask for: { mode, share (basis points), limits }; false if for no trial; or nil and
-- what is wrong.
function M.plan(given)
  if not given.canary and not given.shadow then
    for name in pairs(M.flags) do
      if given[name] then return nil, "--" .. name .. " goes with --canary or --shadow" end
    end
    return false
  end
  if given.canary and given.shadow then return nil, "--canary and --shadow exclude each other" end
  if given.canary and given.sample then return nil, "--sample goes with --shadow" end
  local share, message = basis_points(given.canary or given.sample or "100", given.canary and "canary" or "sample", 1,
    10000)
  if not share then return nil, message end
  local limits
  limits, message = limits_of(given)
  if not limits then return nil, message end
  return { mode = given.canary and "canary" or "shadow", share = share, limits = limits }
end

-- Begins the trial of an opened pack on this host; nil and why not.
function M.begin(pack, plan)
  local stored, message = pack:store()
  if not stored then return nil, message end
  local limits = plan.limits
  return packs.ask_leader(("trial rules %s %s %d %s %d %d %d"):format(pack:hash():sub(8), plan.mode, plan.share,
    who.user(), limits.drift, limits.errors, limits.after))
end

-- Why no trial of that pack can begin on this host, or nil: it would be written down for all hosts and refused on each.
function M.hindrance(hash)
  local live = packs.live()
  if not live then return nil end
  if live.hash == hash then return words.hash(hash) .. " is what is live" end
  local trial = live.trial
  if not trial or not trial.running or "sha256:" .. trial.hash == hash then return nil end
  return ("a trial of %s runs, begun by %s: fastr rules stop --reason TEXT ends it"):format(words.hash(trial.hash),
    trial.by)
end

-- Ends the trial on this host; nil and why not.
function M.stop(reason)
  return packs.ask_leader(("stop rules %s %s"):format(who.user(), reason:gsub("%c", " ")))
end

-- ---- in words -----------------------------------------------------------------------------------------------------

local function percent(basis)
  return ("%g %%"):format(basis / 100)
end

-- "canary of 5 % of the carts"
function M.what(trial)
  return ("%s of %s of the carts"):format(trial.mode, percent(trial.share))
end

local function money(sum)
  local change, currency = sum.difference, sum.currency
  return ("%s %s (%+.1f %%; dearer %s, cheaper %s)"):format(words.change(change, currency), currency,
    sum.base > 0 and change * 100 / sum.base or 0, words.amount(sum.dearer, currency),
    words.amount(sum.cheaper, currency))
end

local function worst_of(case)
  local parts = { "cart " .. case.key, words.change(case.delta, case.currency) .. " " .. case.currency }
  if case.line ~= "" then parts[#parts + 1] = case.line end
  parts[#parts + 1] = case.rule ~= "" and case.rule or "no promotion: a price, a tax or a fee"
  return table.concat(parts, "  ")
end

local function counted(trial)
  local text = ("%s answers by the candidate, %s by the live version; %s compared, %s differ"):format(
    words.count(trial.by_candidate), words.count(trial.by_live), words.count(trial.compared),
    words.count(trial.differing))
  if trial.otherwise > 0 then
    text = text .. ("; %s of %s other answers"):format(words.count(trial.otherwise), words.count(trial.judged))
  end
  if trial.errors > 0 then
    text = text .. ("; %s failures, %s of a budget"):format(words.count(trial.errors), words.count(trial.kills))
  end
  if trial.dropped > 0 then text = text .. ("; %s not compared"):format(words.count(trial.dropped)) end
  return text
end

-- "2000 minor units of GBP" -> "20.00 GBP": the runtime, which ends a trial, knows no currency's places.
local function in_money(text)
  return (text:gsub("(%d+) minor units of (%u%u%u)", function(minor, currency)
    return words.amount(tonumber(minor), currency) .. " " .. currency
  end))
end

-- How it stands, in a few words: "runs", or "stopped itself: REASON", "over: REASON".
function M.state(trial)
  if trial.running then return "runs" end
  return (trial.breach and "stopped itself: " or "over: ") .. in_money(trial.reason)
end

-- The lines of a report.
function M.lines(trial)
  local list = { ("%s   %s, by %s, since %s: %s"):format(words.hash(trial.hash), M.what(trial), trial.by,
    fastr.time.iso(trial.began_ms), M.state(trial)), counted(trial) }
  for _, sum in ipairs(trial.money) do list[#list + 1] = money(sum) end
  for _, case in ipairs(trial.worst) do list[#list + 1] = worst_of(case) end
  if trial.running then
    list[#list + 1] = ("fastr rules stop --reason TEXT   or   fastr rules activate sha256:%s"):format(trial.hash)
  end
  return list
end

return M
