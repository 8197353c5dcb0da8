-- page: from a template and a model to a reply: the frame around it, the language it is in, its headers, its cookies.
-- Templates and texts are read once, when the scripts are built.

local session = require "platform.session"
local template = require "lib.template"
local words = require "services.storefront.words"

local M = {}

local FOLDER = "services/storefront/pages/"
local NAMES = { "home", "list", "product", "cart", "address", "shipping", "payment", "review", "order", "orders",
  "sign_in", "problem" }

-- No script but our own files, nothing from elsewhere, no frame around us, and forms lead nowhere else.
local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
  .. "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

local function asset(name)
  return fastr.asset(FOLDER .. name) or error("scripts/" .. FOLDER .. name .. " is missing", 0)
end

local function partial(name)
  return fastr.asset(FOLDER .. "_" .. name .. ".html")
end

local pages = {}
for _, name in ipairs(NAMES) do pages[name] = template.compile(asset(name .. ".html"), partial) end

-- ---- the style ----------------------------------------------------------------------------------------------------

local STYLE = asset("tokens.css") .. asset("shop.css")
local STYLE_NAME = "shop." .. fastr.crypto.sha256(STYLE):sub(1, 12) .. ".css"

-- The text of a file of the pages, by its name, which says its content: it never changes. Nil: there is none.
function M.asset(name)
  if name == STYLE_NAME then return STYLE, "text/css; charset=utf-8" end
end

-- ---- who looks ----------------------------------------------------------------------------------------------------

-- The language of a request: what was chosen, else the first known one that the browser names.
function M.language(req)
  local chosen = session.cookie(req, "fastr_language")
  if chosen and words.known[chosen] then return chosen end
  for tag in (req:header("accept-language") or ""):gmatch("%f[%a](%a%a)") do
    if words.known[tag:lower()] then return tag:lower() end
  end
  return words.default
end

-- ---- replies ------------------------------------------------------------------------------------------------------

local function headers_of(cookies)
  return { ["Content-Type"] = "text/html; charset=utf-8", ["Content-Security-Policy"] = POLICY,
    ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff", ["Referrer-Policy"] = "same-origin",
    ["Set-Cookie"] = cookies and #cookies > 0 and cookies or nil }
end

-- What every page shows: the frame's values. `visit` is made in visit.lua.
local function frame(visit, model)
  model.style = "/assets/" .. STYLE_NAME
  model.language = visit.language
  model.languages = words.choices(visit.language)
  model.here = visit.here
  model.signed_in = visit.principal.kind ~= "guest"
  model.in_cart = visit.in_cart or false
  model.key = fastr.crypto.uuid7()
  model.notice = model.notice or false
  model.trouble = model.trouble or false
  model.typed = model.typed or false
  model.words = model.words or ""
  return model
end

-- Renders the page `name` with `model`: status, text, headers.
function M.show(visit, name, model, status)
  local text = template.fill(pages[name], frame(visit, model), template.html, words.all(visit.language))
  return status or 200, text, headers_of(visit.cookies)
end

-- The way to another page of ours, after something was done (RFC 9110 15.4.4).
function M.go(visit, path)
  local headers = headers_of(visit.cookies)
  headers.Location, headers["Content-Type"] = path, nil
  return 303, nil, headers
end

-- A picture or a style, which its address names for good.
function M.file(text, content_type)
  return 200, text, { ["Content-Type"] = content_type, ["Cache-Control"] = "public, max-age=31536000, immutable",
    ["X-Content-Type-Options"] = "nosniff", ["Content-Security-Policy"] = "default-src 'none'; style-src 'self'" }
end

return M
