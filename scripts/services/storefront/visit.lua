-- visit: who looks at a page, and what his browser keeps for him: the cart's id, the way back in, his language. The
-- cookies are for this host alone and no script's; a form counts only where the browser says that it is our own page's.

local page = require "services.storefront.page"
local problem = require "lib.problem"
local session = require "platform.session"
local url = require "lib.url"

local M = {}

local DAY_S = 86400
local CART_LENGTH = 22 -- of its id
local CART, TOKEN, REFRESH, METHOD = "fastr_cart", "fastr_token", "fastr_refresh", "fastr_method"

-- Sets a cookie of ours for `seconds`; 0 takes it away.
function M.keep(visit, name, value, seconds, path)
  table.insert(visit.cookies, session.cookie_text(name, value, path or "/", seconds))
end

-- ---- signed in ----------------------------------------------------------------------------------------------------

-- Goes on as whom the tokens are, here and on the next pages.
function M.enter(visit, tokens)
  M.keep(visit, TOKEN, tokens.access_token, tokens.expires_in)
  M.keep(visit, REFRESH, tokens.refresh_token, 30 * DAY_S)
  visit.token, visit.principal = tokens.access_token, { kind = "customer" }
end

function M.leave(visit)
  M.keep(visit, TOKEN, "", 0)
  M.keep(visit, REFRESH, "", 0)
  visit.token, visit.principal = nil, { kind = "guest" }
end

-- The token lives for minutes; the way back in for weeks, and works once.
local function come_back(visit, refresh)
  local tokens, failed = fastr.call("auth", "POST /auth/tokens", { refresh_token = refresh })
  if tokens then
    M.enter(visit, tokens)
  elseif failed.status == 401 then
    M.leave(visit)
  end
end

-- ---- the cart -----------------------------------------------------------------------------------------------------

-- Notes the cart and how many units are in it, for the number beside its link.
function M.note_cart(visit, cart)
  local units = 0
  for _, line in ipairs(cart.lines) do units = units + line.quantity end
  visit.cart, visit.in_cart = cart.id, units > 0 and units or nil
  M.keep(visit, CART, cart.id .. "." .. units, 30 * DAY_S)
end

function M.forget_cart(visit)
  visit.cart, visit.in_cart = nil, nil
  M.keep(visit, CART, "", 0)
end

-- ---- the chosen card ----------------------------------------------------------------------------------------------

-- The id of the payment method for this checkout; a guest's is a capability, so it is in no address.
function M.method(req)
  local id = session.cookie(req, METHOD, "/checkout")
  return id ~= "" and id or nil
end

function M.note_method(visit, id)
  M.keep(visit, METHOD, id or "", id and 3600 or 0, "/checkout")
end

-- ---- all of it ----------------------------------------------------------------------------------------------------

local function whole_path(req)
  local query = url.query { q = req.query.q, category = req.query.category, sort = req.query.sort,
    in_stock = req.query.in_stock }
  return req.path .. (query ~= "" and "?" .. query or "")
end

local function of(req, principal)
  local cart, units = (session.cookie(req, CART) or ""):match("^([%w_-]+)%.(%d+)$")
  if cart and #cart ~= CART_LENGTH then cart, units = nil, nil end -- none of ours: it would be refused for weeks
  return { req = req, principal = principal, language = page.language(req), cookies = {},
    here = req.method == "GET" and whole_path(req) or "/", cart = cart, in_cart = units ~= "0" and units or nil }
end

-- The visit of a request; nil and the problem for a form that is not our own page's.
function M.open(ctx)
  local req = ctx.request
  if req.method ~= "GET" and not session.cookie_counts(req) then return nil, problem.new("forbidden") end
  local visit = of(req, ctx.principal)
  local refresh = visit.principal.kind == "guest" and session.cookie(req, REFRESH)
  if refresh and refresh ~= "" then come_back(visit, refresh) end
  return visit
end

-- The visit of a request that was refused before anything was known of it.
function M.stranger(req)
  return of(req, { kind = "guest" })
end

-- Asks a service's public route as whoever visits. `options` as fastr.call's.
function M.ask(visit, service, op, body, options)
  options = options or {}
  if visit.token then
    options.headers = options.headers or {}
    options.headers.Authorization = "Bearer " .. visit.token
  end
  return fastr.call(service, op, body, options)
end

-- The number that a form's text says; anything else (also what Lua would take for one: "nan", "0x10") as it is.
function M.number(text)
  return text and text:find("^%s*%-?%d+%s*$") and #text <= 15 and tonumber(text) or text
end

-- A path of ours to go on with, from a form; anything else leads to `otherwise`.
function M.path_of(text, otherwise)
  if text and text:find("^/[^/\\]") and not text:find("[%c\\]") then return text end
  return text == "/" and "/" or otherwise
end

-- The same path for a page that tells of what was done: `notice` names the text, `about` (may be nil) what it is about.
function M.with_notice(path, notice, about)
  return path .. (path:find("?", 1, true) and "&" or "?") .. url.query { notice = notice, about = about }
end

return M
