-- fleet: what activations come to, one after the other.

local M = {}

-- What was live everywhere before what is; nil if nothing was. `rows`: { mode = "live" | "off" | "rollback", pack },
-- newest first. A rollback takes one back, so that a second goes further back.
function M.before(rows)
  local undone, live = 0, nil
  for _, row in ipairs(rows) do
    if row.mode == "rollback" then
      undone = undone + 1
    elseif undone > 0 then
      undone = undone - 1
    elseif not live or row.pack == live then
      live = row.pack
    else
      return row.pack
    end
  end
end

local TRIES = { canary = true, shadow = true, stop = true }

-- A stop that names a pack came late if another is tried by now.
local function is_late(row, trial)
  return row.mode == "stop" and row.pack and trial and trial.pack ~= row.pack
end

-- What a host is to do after these activations, oldest first, to be where they end: { live = row, trial = row or nil };
-- `trial` with mode "stop" ends the host's, or, if it names a pack, only that pack's. What is made live or undone ends
-- a trial by itself.
function M.wanted(rows)
  local wanted = {}
  for _, row in ipairs(rows) do
    if not TRIES[row.mode] then
      wanted.live, wanted.trial = row, nil
    elseif not is_late(row, wanted.trial) then
      wanted.trial = row
    end
  end
  return wanted
end

return M
