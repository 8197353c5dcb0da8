-- request: from bytes to a checked ctx, and from a handler's answer to bytes. Leans on lib and fastr.json.
-- Each reader returns nil, problem for what it refuses; bad input never raises.

local shape = require "lib.shape"
local problem = require "lib.problem"
local url = require "lib.url"

local M = {}

local json = fastr.json
local NOTHING = {}
local MOST_ERRORS = 50 -- told of one request

local function invalid(place, errors)
  local list = json.array {}
  for i = 1, math.min(#errors, MOST_ERRORS) do
    local e = errors[i]
    list[i] = { ["in"] = place, path = e.path, problem = e.problem }
  end
  local first = list[1]
  local where = first.path ~= "" and first.path or ("the " .. place)
  return problem.new("validation", { detail = where .. " " .. first.problem, errors = list })
end

-- Values of the path or the query, by the route's object of shapes.
function M.texts(place, object, texts)
  if not object then
    local name = next(texts or NOTHING)
    if name == nil or place == "path" then return texts or {} end
    return nil, invalid(place, { { path = shape.shown(name),
      problem = "is not known here; this route takes no query" } })
  end
  local value, errors = shape.check_texts(object, texts or NOTHING)
  if not value then return nil, invalid(place, errors) end
  return value
end

local function media_of(req)
  return (req:header("content-type") or ""):lower():match("^%s*([^;%s]+)")
end

local function is_json(req)
  local media = media_of(req)
  return media == "application/json" or (media ~= nil and media:find("^application/[%w.-]+%+json$") ~= nil)
end

-- The fields of a page's form (URL Standard, application/x-www-form-urlencoded); of one that comes twice the last.
local function form(route, req)
  if media_of(req) ~= "application/x-www-form-urlencoded" then return nil, problem.new("unsupported_media_type") end
  return M.texts("body", route.body, url.parse_query(req:body()))
end

-- The decoded and checked body, or nil without a problem where the route takes none or it is optional and absent.
function M.body(route, req)
  local of = route.body
  if not of then return nil end
  if route.form then return form(route, req) end
  local text = req:body()
  if text == "" then
    if of.is_optional then return nil end
    return nil, problem.new("body_missing")
  end
  if not is_json(req) then return nil, problem.new("unsupported_media_type") end
  if of.is_text then return text end
  local value, message = json.decode(text)
  if value == nil then
    if route.sensitive then message = message:gsub(' ".*', "") end -- a doubled name is quoted, and may be anything
    return nil, problem.new("body_not_json", { detail = message })
  end
  local errors = of.check(value)
  if errors then return nil, invalid("body", errors) end
  return value
end

-- ---- versions of what a client has read (RFC 9110 13) -------------------------------------------------------------

-- The entity tag of a version number.
function M.etag(version)
  return '"' .. tostring(version) .. '"'
end

local function lists(header, etag)
  if header == "*" then return true end
  for tag in header:gmatch('[^,]+') do
    tag = fastr.text.trim(tag):gsub("^W/", "")
    if tag == etag then return true end
  end
  return false
end

-- true if the request has no If-Match or one that names `version`; else nil and the problem precondition_failed.
function M.matches(ctx, version)
  local header = ctx.request:header("if-match")
  if not header or lists(header, M.etag(version)) then return true end
  return nil, problem.new("precondition_failed", { detail = "It is at version " .. tostring(version) .. " now.",
    version = version })
end

local function header_of(headers, name)
  for key, value in pairs(headers) do
    if key:lower() == name then return value end
  end
end

-- Does the client already have what this 200 would send? Never where nothing may be stored: there the entity tag is the
-- version to change, and says nothing of prices or stock, which move without it.
function M.not_modified(req, headers)
  local known = req:header("if-none-match")
  if not known or header_of(headers, "cache-control") == "no-store" then return false end
  local etag = header_of(headers, "etag")
  return etag ~= nil and lists(known, (etag:gsub("^W/", "")))
end

-- The address of the client: the peer's, or, where the peer is our own load balancer, what that says. For throttling
-- and logs; never for rights.
function M.client(req)
  local peer = req.peer or ""
  if peer ~= "local" and not peer:find("^127%.") and peer ~= "::1" then return peer end
  local chain = req:header("x-forwarded-for")
  return chain and chain:match("([^,%s]+)%s*$") or peer
end

-- ---- problems -----------------------------------------------------------------------------------------------------

-- Status, body and headers of a problem.
function M.of_problem(wrong, id)
  local body, headers = {}, { ["Content-Type"] = "application/problem+json" }
  for key, value in pairs(wrong) do body[key] = value end
  body.request_id = id
  if wrong.retry_after then headers["Retry-After"] = tostring(wrong.retry_after) end
  if wrong.status == 401 then headers["WWW-Authenticate"] = 'Bearer realm="shop"' end
  if wrong.status == 503 and not wrong.retry_after then headers["Retry-After"] = "1" end
  return wrong.status, body, headers
end

return M
