-- window: is a moment within a period? Both ends belong to it. Times are texts of RFC 3339 on the outside,
-- milliseconds
-- inside.

local M = {}

-- Milliseconds of a time in facts or definitions; raises with its place: `path`, or `name` below it.
function M.time(value, path, name)
  if value == nil then return nil end
  local ms, wrong = text.time(value)
  if not ms then refuse(("%s: %s"):format(name and path .. "." .. name or path, wrong)) end
  return ms
end

function M.period(from, to, path, from_name, to_name)
  local period = { from = M.time(from, path, from_name or "from"), to = M.time(to, path, to_name or "to") }
  if period.from and period.to and period.from > period.to then
    refuse(path .. "." .. (to_name or "to") .. ": ends before it starts")
  end
  return period
end

-- nil if `now` is within the period, else "not_started" or "expired"
function M.outside(period, now)
  if period.from and now < period.from then return "not_started" end
  if period.to and now > period.to then return "expired" end
end

return M
