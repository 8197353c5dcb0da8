-- packs: the packs of rules that tools work with: the one on disk, stored ones, the one that is live on this host; and
-- errors shown with the line they are about.

local M = {}

-- Where the rules under edit are.
function M.folder()
  return fastr.setting("rules_dir", "scripts/rules")
end

-- ---- errors -------------------------------------------------------------------------------------------------------

local function line_of(path, number)
  local file = io.open(path, "r")
  if not file then return nil end
  local at = 0
  for line in file:lines() do
    at = at + 1
    if at == number then
      file:close()
      return line
    end
  end
  file:close()
end

-- Where in the line the message points: what it names, or all of it.
local function spot(line, message)
  for word in message:gmatch("'([^']+)'") do
    local from, to = line:find(word, 1, true)
    if from then return from, to end
  end
  return line:find("%S"), #line
end

-- "promotions/mugs.lua:6: unknown name 'categry'" with its column, the line and a caret below, if the file is there.
function M.shown(message, folder)
  local file, number, what = message:match("^([%w_./-]+%.lua):(%d+): (.*)$")
  if not file then return message end
  local path = file:match("^lib/") and fastr.setting("scripts", "scripts") .. "/" .. file or folder .. "/" .. file
  local line = line_of(path, tonumber(number))
  if not line or not line:find("%S") then return message end
  local from, to = spot(line, what)
  local margin = (" "):rep(#number)
  return ("%s:%s:%d: %s\n  %s | %s\n  %s | %s^%s"):format(path, number, from, what, number, line, margin,
    line:sub(1, from - 1):gsub("[^\t]", " "), ("~"):rep(to - from))
end

-- ---- opening ------------------------------------------------------------------------------------------------------

-- An opened pack, proved by its examples if `proved`: pack, examples; or nil and the message as people are shown it.
function M.open(source, proved)
  source = source or M.folder()
  local pack, message = fastr.rules.open(source)
  if not pack then return nil, M.shown(message, source) end
  if not proved then return pack end
  local examples
  examples, message = pack:prove()
  if examples then return pack, examples end
  pack:close()
  return nil, M.shown(message, source)
end

-- What is live on this host by its leading master: { hash, by, since }, or nil and why not.
function M.live()
  for _, name in ipairs(fastr.masters()) do
    local status = fastr.control(name, "status")
    for _, line in ipairs(status and status.lines or {}) do
      if line.line == "rules" and line.live ~= "" then
        return { hash = "sha256:" .. line.live, by = line.by, since = fastr.time.iso(line.at_ms), master = name }
      end
    end
  end
  return nil, "no master runs on this host, so no rules are live: start one with bin/up or `fastr serve`"
end

return M
