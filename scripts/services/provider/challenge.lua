-- challenge: the page on which a shopper approves or refuses a payment, as a card's issuer would ask it. Plain HTML: no
-- script, nothing from elsewhere. Who has its address may answer, once.

local money = require "lib.money"
local template = require "lib.template"
local view = require "services.provider.view"

local M = {}

local HEADERS = { ["Content-Type"] = "text/html; charset=utf-8", ["Cache-Control"] = "no-store",
  ["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    .. "frame-ancestors 'none'",
  ["X-Content-Type-Options"] = "nosniff", ["Referrer-Policy"] = "no-referrer" }

local OUTCOMES = { authorised = "You have approved it.", captured = "You have approved it.",
  refunded = "You have approved it. It was refunded since.", declined = "It was refused. Nothing was charged.",
  voided = "It is not waiting any more. Nothing is charged." }

-- Is `url` an address of the shop, so that a shopper may be sent there? Scheme, host and port are compared as a whole;
-- what could hide another host (user names, backslashes, control characters) does not pass.
function M.is_ours(url)
  local base = fastr.setting("public_url", "")
  if base == "" or url:find("[^\33-\126]") or url:find("\\", 1, true) then return false end
  return url == base or (url:sub(1, #base) == base and url:sub(#base + 1, #base + 1):find("^[/?#]") ~= nil)
end

-- A page of {title, text}, and of {token} where it may be answered, of {way_back} where it leads on.
local function page(status, model)
  return status, template.render(fastr.asset("services/provider/templates/challenge.html"), model, template.html),
    HEADERS
end

local function way_back(charge)
  return charge.return_url and M.is_ours(charge.return_url) and charge.return_url or nil
end

local function sentence(charge)
  return ("%s, with the card that ends in %s, for the reference %s."):format(
    money.text(charge.amount, charge.currency), charge.last4, charge.reference)
end

-- The page of a charge as it stands (nil: there is none): status, HTML, headers.
function M.page(charge)
  if not charge then
    return page(404, { title = "No such payment",
      text = "This address belongs to no payment. Go back to the shop and pay again." })
  end
  if charge.status ~= "requires_action" then
    return page(200, { title = "This payment is decided", text = OUTCOMES[charge.status] .. " " .. sentence(charge),
      way_back = way_back(charge) })
  end
  return page(200, { title = "Approve this payment?", text = sentence(charge), token = charge.challenge })
end

-- Where the shopper goes when he has answered: back to the shop if it said where, else to the page again, by a GET.
function M.go_on(charge)
  return 303, nil, { Location = way_back(charge) or view.challenge_url(charge.challenge),
    ["Cache-Control"] = "no-store" }
end

return M
