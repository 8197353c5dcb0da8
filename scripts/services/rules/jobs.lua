-- jobs: in one process of each host the agent, woken by PostgreSQL's NOTIFY, by this process, and each second.

local agent = require "services.rules.agent"
local database = require "platform.db"

local M = {}

local SLICE_MS, WAIT_MS = 900, 900

local listener

-- Waits for an activation, or a second.
local function wait()
  listener = listener or database.open("rules"):listen("rules")
  local payload, _, code = listener:next(WAIT_MS)
  if not payload and code ~= "timeout" and code ~= "listening" then fastr.time.sleep(WAIT_MS) end
end

local function said(word)
  fastr.host.tell("rules-agent", word:sub(1, 60))
end

-- One slice of the work; the schedule runs it again at once.
function M.follow()
  if fastr.setting("rules.agent", "false") ~= "true" or not fastr.host.lead("rules-agent") then return true end
  local ends = fastr.time.unix_ms() + SLICE_MS
  repeat
    agent.round(said)
    wait()
  until fastr.time.unix_ms() >= ends
  return true
end

return M
