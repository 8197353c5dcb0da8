-- cors: which web pages of other origins may call (the fetch standard's CORS protocol). By a list in the settings;
-- without credentials: who calls from elsewhere sends a bearer token, never our cookie.

local M = {}

local EXPOSED = "ETag, Retry-After, Idempotent-Replayed, Fastr-Session, Fastr-Order, Location"
local ACCEPTED = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Fastr-Session, Fastr-Order, "
  .. "Last-Event-ID, Traceparent"
local DEVELOPMENT = "http://localhost:*;http://127.0.0.1:*;http://[::1]:*"

local exact, any_port

-- "http://localhost:*" allows every port of that host; anything else is compared whole.
local function read_list()
  exact, any_port = {}, {}
  for origin in fastr.setting("cors.origins", DEVELOPMENT):gmatch("[^;]+") do
    local host = origin:match("^(.*):%*$")
    if host then any_port[host] = true else exact[origin] = true end
  end
end

local function allowed(origin)
  if not exact then read_list() end
  if exact[origin] then return true end
  local host = origin:match("^(.*):%d+$") or origin
  return any_port[host] == true
end

-- Adds to `headers` what the reply to a request from `origin` says. Nothing for origins that are not on the list.
function M.add(headers, origin)
  headers["Vary"] = headers["Vary"] or "Origin"
  if not allowed(origin) then return end
  headers["Access-Control-Allow-Origin"] = origin
  headers["Access-Control-Expose-Headers"] = EXPOSED
end

-- The handler of OPTIONS for a path with these methods ("GET, POST").
function M.preflight(methods)
  return function(req)
    local origin = req:header("origin")
    local headers = { Allow = methods .. ", OPTIONS" }
    if origin then
      M.add(headers, origin)
      if allowed(origin) then
        headers["Access-Control-Allow-Methods"] = methods
        headers["Access-Control-Allow-Headers"] = ACCEPTED
        headers["Access-Control-Max-Age"] = "600"
      end
    end
    return 204, nil, headers
  end
end

return M
