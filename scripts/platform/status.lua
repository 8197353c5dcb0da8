-- status: what runs on this host, what is live, and what is unwell; each bad line ends in the command that helps.
-- A tool (`fastr status`): it asks the masters' control sockets and their /metrics, and changes nothing.

local M = {}

-- The gauges worth a line: metric, what it is, when it is bad, what helps. Counts are summed over what their labels
-- name, of ages the worst is told.
local GAUGES = {
  { "fastr_outbox_unsent", "events not yet sent", function(n) return n > 1000 end,
    "bin/fastr events lag (is Kafka up?)" },
  { "fastr_outbox_oldest_seconds", "oldest unsent event, seconds", function(n) return n > 60 end,
    "bin/fastr events lag (is Kafka up?)" },
  { "fastr_parked_events", "parked events", function(n) return n > 0 end, "bin/fastr events parked" },
  { "fastr_checkouts_unfinished", "unfinished checkouts", function() return false end, "" },
  { "fastr_payments_unknown_seconds", "oldest payment without an answer, seconds", function(n) return n > 60 end,
    "bin/up (is the payment provider running?)" },
  { "fastr_mails_oldest_seconds", "oldest mail not sent, seconds", function(n) return n > 300 end,
    "bin/up (is the mail server running?)" },
  { "fastr_mails_refused", "mails refused by the mail server", function() return false end, "" },
  { "fastr_differences", "differences between the books", function(n) return n > 0 end,
    "bin/fastr run services.order.reconcile" },
  { "fastr_kafka_lag", "events not yet consumed", function(n) return n > 10000 end,
    "bin/fastr events lag; FASTR_INSTANCES=4 bin/up" },
}

-- The values of a page of metrics: {[metric] = {[labels] = value}}.
local function values_of(text)
  local values = {}
  for line in text:gmatch("[^\n]+") do
    local metric, labels, value = line:match("^([%w_]+)([^ ]*) ([^ ]+)$")
    if metric then
      values[metric] = values[metric] or {}
      values[metric][labels] = tonumber(value)
    end
  end
  return values
end

local function metrics_of(master)
  local reply = fastr.http.request { method = "GET", url = "http://" .. master.listen .. "/metrics", timeout_ms = 2000 }
  if not reply or reply.status ~= 200 then return {} end
  local all, values = values_of(reply.body), {}
  for _, gauge in ipairs(GAUGES) do values[gauge[1]] = all[gauge[1]] end
  return values
end

-- One number for the host. Several masters of a service say the same of what is the service's, or nothing; but each has
-- consumers of its own.
local function number_of(masters, metric)
  local by_labels, number = {}, 0
  for _, master in ipairs(masters) do
    for labels, value in pairs(master.metrics[metric] or {}) do
      local so_far = by_labels[labels] or 0
      by_labels[labels] = metric == "fastr_kafka_lag" and so_far + value or math.max(so_far, value)
    end
  end
  for _, value in pairs(by_labels) do
    number = metric:find("_seconds$") and math.max(number, value) or number + value
  end
  return number
end

local function problem(report, what, help)
  report.problems[#report.problems + 1] = { problem = what, help = help }
end

-- What helps when a dependency is not well; a server that only stopped is started by bin/up.
local function help_for(health)
  if health.name:find("^pg%.replica") and health.detail:find("behind", 1, true) then
    return "psql REPLICA -c 'select pg_wal_replay_resume()' (PG_REPLICAS in var/shop.env has their addresses)"
  end
  return "bin/up"
end

-- A dependency that is away is one problem, however many workers miss it: the first says so, the others are counted.
local function note_missing(report, name, health)
  local entry = report.missing[health.name]
  if entry then
    entry.workers = entry.workers + 1
    return
  end
  entry = { health = health, worker = name, workers = 1 }
  report.missing[health.name] = entry
  report.missing[#report.missing + 1] = entry
end

local function look_at_missing(report)
  for _, entry in ipairs(report.missing) do
    local health = entry.health
    local more = entry.workers > 1 and (" and %d more"):format(entry.workers - 1) or ""
    problem(report, ("%s is not well for %s%s: %s"):format(health.name, entry.worker, more, health.detail),
      help_for(health))
  end
  report.missing = nil
end

local function look_at_worker(report, master, worker)
  local name = master.name .. " worker " .. worker.worker
  if worker.pid == 0 then
    problem(report, name .. " is dead", "tail var/log/" .. master.name .. ".log")
    return
  end
  local named = false
  for _, health in ipairs(worker.health) do
    if not health.ok then
      named = true
      note_missing(report, name, health)
    end
  end
  if not worker.ready and not named then problem(report, name .. " is not ready", "bin/fastr check") end
end

-- A service that no master of this host has may run on another: what its address answers tells. Any answer but that of
-- a gateway without it is one.
local GATEWAY = { [502] = true, [503] = true, [504] = true }

local function look_at_services(report)
  local here = {}
  for _, master in ipairs(report.masters) do
    for _, service in ipairs(master.services) do here[service] = true end
  end
  local names = require("platform.boot").names()
  names[#names + 1] = "provider" -- none of the shop's, but nobody can pay without it
  for _, service in ipairs(names) do
    local address = fastr.setting("services." .. service, "")
    if not here[service] and address ~= "" then
      local reply = fastr.http.request { method = "GET", url = address .. "/internal/" .. service .. "/status",
        timeout_ms = 2000 }
      if not reply or GATEWAY[reply.status] then
        problem(report, "nobody serves " .. service .. " (at " .. address .. ")", "bin/up")
      end
    end
  end
end

local function look_at(report, name)
  local master, message = fastr.control(name, "status")
  if not master then
    problem(report, name .. " does not answer: " .. message, "bin/up")
    return
  end
  master.metrics = metrics_of(master)
  report.masters[#report.masters + 1] = master
  for _, worker in ipairs(master.workers) do look_at_worker(report, master, worker) end
  for _, line in ipairs(master.lines) do
    if line.line == "rules" then report.rules = line end
  end
end

local function look_at_gauges(report)
  for _, gauge in ipairs(GAUGES) do
    local number = number_of(report.masters, gauge[1])
    report.gauges[gauge[1]] = number
    if gauge[3](number) then problem(report, gauge[2] .. ": " .. number, gauge[4]) end
  end
end

local function gather()
  local report = { masters = fastr.json.array {}, problems = fastr.json.array {}, gauges = {}, missing = {} }
  local names = fastr.masters()
  for _, name in ipairs(names) do look_at(report, name) end
  if #names == 0 then problem(report, "no fastr runs on this host", "bin/up") end
  if #names > 0 then look_at_services(report) end
  look_at_missing(report)
  look_at_gauges(report)
  report.ok = #report.problems == 0
  return report
end

local function print_master(master)
  local ready, pids, restarts = 0, {}, 0
  for i, worker in ipairs(master.workers) do
    ready, pids[i], restarts = ready + (worker.ready and 1 or 0), worker.pid, restarts + worker.restarts
  end
  local scripts = master.workers[1] and master.workers[1].versions.scripts or "-"
  print(("%-16s %-22s %d/%d ready  pid %-16s scripts %s  restarts %d"):format(master.name, master.listen, ready,
    #master.workers, table.concat(pids, ","), scripts, restarts))
end

-- A version that is tried beside the live one, or the last that was.
local function print_trial(trial)
  if not trial or trial == fastr.json.null then return end
  local ended = trial.breach and "stopped itself: " or "over: "
  print(("trial            %.12s  %s of %g %% by %s since %s: %s"):format(trial.hash, trial.mode, trial.share / 100,
    trial.by, fastr.time.iso(trial.began_ms), trial.running and "runs" or ended .. trial.reason))
end

local function print_report(report)
  for _, master in ipairs(report.masters) do print_master(master) end
  if report.rules then
    print(("rules            %.12s  live by %s since %s"):format(report.rules.live, report.rules.by,
      fastr.time.iso(report.rules.at_ms)))
    print_trial(report.rules.trial)
  end
  for _, gauge in ipairs(GAUGES) do print(("%-42s %d"):format(gauge[2], report.gauges[gauge[1]])) end
  for _, bad in ipairs(report.problems) do print("UNWELL  " .. bad.problem .. "   ->  " .. bad.help) end
  if report.ok then print("all is well") end
end

--- fastr status [--json]: exit code 1 when something is unwell.
function M.main(arguments)
  local report = gather()
  if arguments[1] == "--json" then print(fastr.json.encode(report)) else print_report(report) end
  return report.ok and 0 or 1
end

return M
