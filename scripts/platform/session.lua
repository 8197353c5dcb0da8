-- session: who asks, and how fresh the data must be that he reads.
-- A principal comes from a bearer token, or, for our own pages, from a cookie. Tokens are verified here, with the
-- keys of auth that are kept in memory and on disk: with auth away nobody can sign in, and everything else goes on.
-- Service tokens are fetched with the service's own secret, kept in both places too, and renewed at a third of their
-- life.
--
-- Leans on fastr.jwt, fastr.file, and platform/access; platform/call gives it the way to auth (session.ask_auth).

local problem = require "lib.problem"
local access = require "platform.access"

local M = {}

local task, json = fastr.task, fastr.json
local ISSUER, AUDIENCE = "fastr-auth", "shop"
local LEEWAY_S = 30
local TOKEN_COOKIE, LSN_COOKIE = "fastr_token", "fastr_session"
local KEYS_FILE = "run/jwks.json"

local GUEST = { kind = "guest", id = nil, roles = {}, scopes = access.guest_scopes() }

M.issuer, M.audience = ISSUER, AUDIENCE

-- function(op, body) -> reply body, or nil, problem: a call of an auth route that needs no token. Set by platform/call.
M.ask_auth = nil

local function now_s()
  return math.floor(fastr.time.unix_ms() / 1000)
end

-- ---- the keys of auth ----------------------------------------------------------------------------------------------

local keys, asked_at = nil, 0

local function fetch_keys()
  asked_at = now_s()
  local reply, wrong = M.ask_auth("GET /auth/jwks")
  if not reply then return nil, wrong end
  keys = reply
  fastr.file.write(KEYS_FILE, json.encode(reply))
  return keys
end

-- The key set: memory, else disk, else auth. `fresh` asks auth, at most every five seconds.
local function key_set(fresh)
  if fresh then
    if now_s() - asked_at < 5 then return keys end
    return fetch_keys() or keys
  end
  if keys then return keys end
  local text = fastr.file.read(KEYS_FILE)
  keys = text and json.decode(text) or nil
  if keys then return keys end
  return fetch_keys()
end

-- ---- tokens --------------------------------------------------------------------------------------------------------

local CAUSES = { malformed = "It is not a signed token.", algorithm = "Its algorithm is not allowed.",
  unknown_key = "It is signed with a key that is not ours.", signature = "Its signature does not fit.",
  not_yet = "It is not valid yet.", issuer = "It is from another issuer.", audience = "It is for another audience." }

-- The claims of a good token for `audience`, or nil, problem. fastr.jwt remembers signatures that were right.
local function verify(token, audience)
  local known = key_set()
  if not known then return nil, problem.new("unavailable", { detail = "The keys of auth are not here yet.",
    retry_after = 2 }) end
  local options = { keys = known, iss = ISSUER, aud = audience, leeway = LEEWAY_S }
  local claims, _, code = fastr.jwt.verify(token, options)
  if code == "unknown_key" then
    options.keys = key_set(true)
    claims, _, code = fastr.jwt.verify(token, options)
  end
  if claims then return claims end
  if code == "expired" then return nil, problem.new("token_expired") end
  return nil, problem.new("token_invalid", { detail = CAUSES[code] or "It is not valid." })
end

local function scope_set(text)
  local set = {}
  for scope in (text or ""):gmatch("%S+") do set[scope] = true end
  return set
end

local function principal_of(claims)
  if claims.kind == "service" then
    return { kind = "service", id = claims.sub, roles = {}, scopes = scope_set(claims.scope) }
  end
  local roles, kind = claims.roles or {}, "customer"
  for _, role in ipairs(roles) do
    if access.is_staff(role) then kind = "staff" end
  end
  return { kind = kind, id = claims.sub, roles = roles, scopes = access.scopes(roles), session = claims.sid }
end

local function is_over_tls()
  return fastr.setting("public_url", ""):find("^https:") ~= nil
end

-- The name of a cookie for all paths of this host: where the shop is reached by TLS, one that no other host can set
-- (draft-ietf-httpbis-rfc6265bis 4.1.3.2).
local function full_name(name, path)
  return path == "/" and is_over_tls() and "__Host-" .. name or name
end

local function value_of(header, name)
  for pair in header:gmatch("[^;]+") do -- linear: one pattern over the whole takes seconds for 8 kB without a "="
    local key, value = pair:match("^%s*([^=%s]+)=([^%s]*)")
    if key == name then return value end
  end
end

-- The value of a cookie (RFC 6265) that cookie_text set for `path` ("/" unless told), or nil.
local function cookie(req, name, path)
  local header = req:header("cookie")
  return header and value_of(header, full_name(name, path or "/"))
end

M.cookie = cookie

-- The value of Set-Cookie for a cookie that scripts do not see and other sites do not send; over TLS, where the shop is
-- reached so.
function M.cookie_text(name, value, path, seconds)
  return ("%s=%s; Path=%s; Max-Age=%d; HttpOnly; SameSite=Lax%s"):format(full_name(name, path), value, path, seconds,
    is_over_tls() and "; Secure" or "")
end

-- A cookie counts only where the browser says that the request is our own page's, or where nothing can change.
function M.cookie_counts(req)
  if req.method == "GET" or req.method == "HEAD" then return true end
  local site = req:header("sec-fetch-site")
  if site then return site == "same-origin" or site == "none" end
  local origin = req:header("origin")
  return origin ~= nil and origin == fastr.setting("public_url", "")
end

local function token_of(req)
  local header = req:header("authorization")
  if header then
    local token = header:match("^[Bb]earer +([%w_.~+/=-]+) *$")
    if token then return token end
    return nil, problem.new("token_invalid", { detail = "Authorization must be: Bearer TOKEN." })
  end
  local token = cookie(req, TOKEN_COOKIE)
  if token and token ~= "" and M.cookie_counts(req) then return token, nil, true end
end

-- Who sends `req`: a principal {kind, id, roles, scopes}, or nil, problem for a token that is no good. No token: a
-- guest. A bad cookie is a guest too: it is sent without the page's doing. Routes with credentials = false do not look.
function M.principal(req, route)
  if route.credentials == false then return GUEST end
  local token, wrong, is_cookie = token_of(req)
  if wrong then return nil, wrong end
  if not token then return GUEST end
  local audience = AUDIENCE
  if route.internal then audience = task.get("service") end
  local claims
  claims, wrong = verify(token, audience)
  if claims then
    if not route.internal then task.set("token", #token < 1000 and token or nil) end
    return principal_of(claims)
  end
  if is_cookie and wrong.status == 401 then return GUEST end
  return nil, wrong
end

-- ---- read your writes ----------------------------------------------------------------------------------------------

local function lsn_number(text)
  local high, low = text:match("^(%x+)/(%x+)$")
  if not high or #high > 8 or #low > 8 then return nil end
  return tonumber(high, 16) * 4294967296 + tonumber(low, 16)
end

-- The later of two positions in the write-ahead log (texts, or nil).
function M.later(a, b)
  local x, y = a and lsn_number(a), b and lsn_number(b)
  if not x then return y and b end
  if not y then return a end
  return x >= y and a or b
end

-- Takes the client's position from Fastr-Session or the cookie. What is no position is passed by.
function M.enter(req)
  local sent = req:header("fastr-session") or cookie(req, LSN_COOKIE)
  if not sent then return end
  local position = M.later(task.get("lsn"), sent)
  if position then
    task.set("lsn", position)
    task.set("lsn_sent", sent)
  end
end

-- Tells the client the position of what it wrote, if it is later than what it sent.
function M.leave(headers)
  local position = task.get("lsn")
  if not position or position == task.get("lsn_sent") then return end
  headers["Fastr-Session"] = position
  local set = M.cookie_text(LSN_COOKIE, position, "/", 60)
  local other = headers["Set-Cookie"]
  if type(other) == "table" then -- not added to: it may be a constant of the handler's
    other = { unpack(other) }
    other[#other + 1] = set
    set = other
  elseif other then
    set = { other, set }
  end
  headers["Set-Cookie"] = set
end

-- ---- tokens of services --------------------------------------------------------------------------------------------

local service_tokens = {} -- "cart product" -> {token, expires, renew} in seconds

-- The secret of a service, made at its first start: var/secrets/service_NAME, mode 0600.
function M.secret(service)
  local name = "secrets/service_" .. service
  local text = fastr.file.read(name)
  if text then return text end
  fastr.file.create(name, fastr.crypto.hex(fastr.crypto.random(32)))
  return fastr.file.read(name)
end

local function token_file(caller, target)
  return "run/token_" .. caller .. "_" .. target .. ".json"
end

local function fetch_token(caller, target)
  local reply, wrong = M.ask_auth("POST /auth/service-tokens", { client_id = caller, client_secret = M.secret(caller),
    audience = target })
  if not reply then return nil, wrong end
  local entry = { token = reply.access_token, expires = now_s() + reply.expires_in,
    renew = now_s() + math.floor(reply.expires_in / 3) }
  service_tokens[caller .. " " .. target] = entry
  fastr.file.write(token_file(caller, target), json.encode(entry))
  return entry
end

local function known_token(caller, target)
  local entry = service_tokens[caller .. " " .. target]
  if not entry then
    local text = fastr.file.read(token_file(caller, target))
    entry = text and json.decode(text) or nil
    if type(entry) ~= "table" then return nil end
    service_tokens[caller .. " " .. target] = entry
  end
  if entry and entry.expires > now_s() + 5 then return entry end
end

-- A token with which `caller` may call `target`: the text, or nil, problem. Waits only when none is at hand.
function M.service_token(caller, target)
  local entry, wrong = known_token(caller, target), nil
  if not entry then entry, wrong = fetch_token(caller, target) end
  if not entry then return nil, wrong end
  return entry.token
end

-- Forgets a token that the other side refused (its keys may have been replaced); the next call gets a new one.
function M.forget_token(caller, target)
  service_tokens[caller .. " " .. target] = nil
  fastr.file.write(token_file(caller, target), "null")
end

local function renew(caller, target)
  local fresh, wrong = fetch_token(caller, target)
  if not fresh then
    fastr.log.warn("cannot renew a service token", { caller = caller, target = target, code = wrong.code })
  end
end

-- Every service of this process has a token for each that it may ever call, whether it has called it or not: with auth
-- away, a first call must find one too.
local function renew_tokens(callers)
  for _, caller in ipairs(callers) do
    for _, target in ipairs(access.callees(caller)) do
      local entry = known_token(caller, target)
      if not entry or entry.renew <= now_s() then renew(caller, target) end
    end
  end
  return true
end

local function refresh_keys()
  local fresh, wrong = fetch_keys()
  if not fresh then fastr.log.warn("cannot refresh the keys of auth", { code = wrong.code }) end
  return true
end

-- Schedules that every process has: each worker keeps its own copy. `callers`: the services of this process.
function M.schedules(callers)
  return {
    { name = "platform.tokens", every_ms = 15000, one = false, handle = function() return renew_tokens(callers) end },
    { name = "platform.keys", every_ms = 240000, one = false, handle = refresh_keys },
  }
end

return M
