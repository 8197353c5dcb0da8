-- handlers: one function per route of the storefront; each gets the visit first. What is refused is a page, too.

local browse = require "services.storefront.browse"
local init = require "services.storefront.init"
local page = require "services.storefront.page"
local problems = require "lib.problem"
local visits = require "services.storefront.visit"
local words = require "services.storefront.words"

local M = {}

local SAYS = { [400] = "problem_not_found", [403] = "problem_forbidden", [404] = "problem_not_found",
  [422] = "problem_not_found", [429] = "problem_busy", [503] = "problem_busy", [504] = "problem_busy" }

-- The page of a problem document.
local function refuse(visit, problem)
  local status, text, headers = page.show(visit, "problem", { title = words.say(visit.language, "problem_title"),
    says = words.say(visit.language, SAYS[problem.status] or "problem_other"), code = problem.code or false,
    again = visit.here }, problem.status)
  headers["Retry-After"] = problem.retry_after and tostring(problem.retry_after) or nil
  return status, text, headers
end

-- The page of what was refused before there was a visit.
function M.refused(req, problem)
  return refuse(visits.stranger(req), problem)
end

-- A refusal leaves the visit's cookies, too: without them, who has just come back would have lost his way in.
local function for_visit(run)
  return function(ctx)
    local visit, failed = visits.open(ctx)
    if not visit then return nil, failed end
    local status, body, headers = run(visit, ctx)
    if status == nil and problems.is(body) then return refuse(visit, body) end
    return status, body, headers
  end
end

local rooms = {}
for i, name in ipairs { "browse", "basket", "checkout", "account" } do
  rooms[i] = require("services.storefront." .. name)
end

for _, route in ipairs(init.routes) do
  for _, room in ipairs(rooms) do
    if room[route.handler] then M[route.handler] = for_visit(room[route.handler]) end
  end
end

-- Files are the same for everybody: a picture that is loaded late must not use the way back in up, nor set a cookie
-- that a cache could keep.
M.art, M.asset = browse.art, browse.asset

return M
