-- compose: the text of a mail, from the event that it tells of. Every word of somebody else's (names, addresses, what
-- staff typed) becomes one plain line before a template sees it, and the templates escape what they show.

local mime = require "lib.mime"
local money = require "lib.money"
local template = require "lib.template"

local M = {}

local FOLDER = "services/notification/templates/"
local SYMBOLS = { GBP = "£", EUR = "€", USD = "$" }
local MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
  "November", "December" }

-- ---- words --------------------------------------------------------------------------------------------------------

local function plain(value)
  if type(value) ~= "string" then return nil end
  value = mime.plain(value)
  return value ~= "" and value or nil
end

-- "£12.34", "-£0.05", "12.34 SEK"
local function price(amount)
  local text, symbol = money.text(amount.amount, amount.currency), SYMBOLS[amount.currency]
  if not symbol then return text end
  local sign, digits = text:match("^(%-?)([%d.]+)")
  return sign .. symbol .. digits
end

-- "£12.34 GBP": what is to be paid says its currency beyond doubt.
local function price_in_full(amount)
  return SYMBOLS[amount.currency] and price(amount) .. " " .. amount.currency or price(amount)
end

local function less(amount)
  return price { amount = -amount.amount, currency = amount.currency }
end

-- "23 November 2026, 12:34 UTC"
local function moment(time)
  local y, m, d, clock = time:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d:%d%d)")
  return ("%d %s %s, %s UTC"):format(tonumber(d), MONTHS[tonumber(m)], y, clock)
end

-- How an address is kept once it is not needed any more: "a***@example.com".
local function masked(address)
  return (address:gsub("^(.)[^@]*", "%1***"))
end

-- ---- the model ----------------------------------------------------------------------------------------------------

local function lines_of(data)
  local lines = {}
  for i, line in ipairs(data.lines or {}) do
    lines[i] = { sku = plain(line.sku), name = plain(line.name) or plain(line.sku),
      quantity = ("%d"):format(line.quantity), unit = price(line.unit_price), subtotal = price(line.subtotal),
      saved = line.discount.amount > 0 and price(line.discount) or nil }
  end
  return lines
end

-- What promotions took off, those of shipping or the others: {label, amount (money)} by name where the event tells of
-- them, else as one sum. What the catalogue's rules took off is in the prices already.
local function discounts_of(data, of_shipping)
  if type(data.discounts) ~= "table" then
    if of_shipping then return { { label = "Shipping discount", amount = data.totals.shipping_discount } } end
    return { { label = "Discounts", amount = data.totals.discount } }
  end
  local list = {}
  for _, each in ipairs(data.discounts) do
    if each.stage ~= "catalog" and (each.stage == "shipping") == of_shipping then
      list[#list + 1] = { label = plain(each.says) or plain(each.promotion) or "Discount", amount = each.amount }
    end
  end
  return list
end

-- "17.5 %"
local function percent(tax)
  return ("%.10g %%"):format(tax.percent)
end

-- The taxes that were added to prices: {label, amount (money)} by rate, or as one sum.
local function added_taxes(data)
  if type(data.taxes) ~= "table" then return { { label = "Tax", amount = data.totals.tax } } end
  local list = {}
  for _, tax in ipairs(data.taxes) do
    if not tax.included then
      list[#list + 1] = { label = ("Tax, %s of %s"):format(percent(tax), price(tax.base)), amount = tax.tax }
    end
  end
  return list
end

-- Those that prices contain: {rate, base, amount} as texts; none where the event tells only their sum.
local function contained_taxes(data)
  local list = {}
  for _, tax in ipairs(type(data.taxes) == "table" and data.taxes or {}) do
    if tax.included then
      list[#list + 1] = { rate = percent(tax), base = price(tax.base), amount = price(tax.tax) }
    end
  end
  return list
end

-- {label, amount} of each part of the total, in the order in which they add up; parts that are nothing are left out.
local function parts_of(data)
  local totals = data.totals
  local parts = { { label = "Items", amount = price(totals.items) } }
  local function add(list, show)
    for _, each in ipairs(list) do
      if each.amount.amount ~= 0 then parts[#parts + 1] = { label = each.label, amount = show(each.amount) } end
    end
  end
  add(discounts_of(data, false), less)
  parts[#parts + 1] = { label = "Shipping", amount = totals.shipping.amount == 0 and "free" or price(totals.shipping) }
  add(discounts_of(data, true), less)
  add(added_taxes(data), price)
  return parts
end

local ADDRESS = { "name", "line1", "line2", "city", "region", "postcode", "country" }

local function address_of(data)
  local lines, address = {}, data.shipping_address or {}
  for _, field in ipairs(ADDRESS) do lines[#lines + 1] = plain(address[field]) end
  return lines
end

local function shipment_of(data)
  local shipment = type(data.shipment) == "table" and data.shipment or {}
  return { carrier = plain(shipment.carrier), tracking = plain(shipment.tracking) }
end

-- What was paid is less than the total where a gift card paid a part; nil where it paid all.
local function payment_of(data)
  local payment = type(data.payment) == "table" and data.payment or {}
  if payment.amount and payment.amount.amount == 0 then return nil end
  return { reference = plain(payment.id), amount = price_in_full(payment.amount or data.totals.total) }
end

local function width(text)
  return #text:gsub("[\128-\191]", "")
end

local LABEL = "Shipping discount" -- the names of a sum have as much room, or more

-- The same sum as a column of plain text: its amounts end under each other.
local function column(parts, total)
  local widest, longest, lines = width(price(total)), width(LABEL), {}
  for _, part in ipairs(parts) do
    widest, longest = math.max(widest, width(part.amount)), math.max(longest, width(part.label))
  end
  local function add(label, amount)
    lines[#lines + 1] = label .. ":" .. (" "):rep(longest + 4 - width(label) + widest - width(amount)) .. amount
  end
  for _, part in ipairs(parts) do add(part.label, part.amount) end
  add("Total in " .. total.currency, price(total))
  return lines
end

-- What gift cards paid of the total, and what was left; nil where there were none.
local function gift_cards_of(totals)
  if not totals.gift_cards or totals.gift_cards.amount == 0 then return nil end
  return { amount = price_in_full(totals.gift_cards), due = price_in_full(totals.due) }
end

-- What templates may show.
local function model_of(event, language)
  local data, totals = event.data, event.data.totals
  local model = {
    language = language, shop = M.sender().name, number = plain(data.number) or data.order, order = data.order,
    taxes = contained_taxes(data),
    url = fastr.setting("public_url", "") .. "/orders/" .. data.order, when = moment(data.at),
    name = plain((data.shipping_address or {}).name), lines = lines_of(data), parts = parts_of(data),
    total = price_in_full(totals.total), address = address_of(data), shipment = shipment_of(data),
    payment = payment_of(data), gift_cards = gift_cards_of(totals),
    was_paid = data.from ~= "placed" and data.from ~= "placing",
    -- By rate where the event tells of them.
    tax_included = totals.tax_included.amount > 0 and type(data.taxes) ~= "table" and price(totals.tax_included) or nil,
  }
  model.has_address, model.has_lines = #model.address > 0, #model.lines > 0
  model.column = column(model.parts, totals.total)
  return model
end

-- ---- the mail -----------------------------------------------------------------------------------------------------

-- Of the setting smtp.from, "Shop <orders@shop.example>": {name, address}.
function M.sender()
  local from = fastr.setting("smtp.from", "")
  local name, address = from:match("^%s*(.-)%s*<([^<>]+)>%s*$")
  if not address then name, address = "", from:match("^%s*(%S+)%s*$") end
  if not address then error("setting smtp.from must be an address: Shop <orders@shop.example>", 0) end
  return { name = name ~= "" and name or address:match("@(.+)$"), address = address }
end

-- The Message-ID, without brackets, of the mail for an event.
function M.message_id(event)
  return event .. "@" .. M.sender().address:match("@(.+)$")
end

-- The text of a template file, in the language or else in English; and the language. Nil if there is none.
local function find(file, language)
  for _, tried in ipairs { language, "en" } do
    local text = tried:find("^[%a-]+$") and fastr.asset(FOLDER .. tried .. "/" .. file)
    if text then return text, tried end
  end
  return nil
end

local function render(text, model, escape, kind)
  return template.render(text, model, escape, function(name) return (find("_" .. name .. kind, model.language)) end)
end

-- compose.mail(event, template, language) -> what store.add takes; or nil and why not. A text template's first line is
-- the subject.
function M.mail(event, name, language)
  local text, spoken = find(tostring(name) .. ".txt", language)
  local html = find(tostring(name) .. ".html", language)
  if not text or not html then return nil, "there is no template " .. tostring(name) end
  local model, sender = model_of(event, spoken), M.sender()
  local subject, body = render(text, model, template.text, ".txt"):match("^Subject: ([^\n]*)\n\n(.*)$")
  model.subject = subject
  local address = event.data.email
  return { id = event.id, order = event.data.order, event = event.type, template = name, language = spoken,
    address = address, shown_as = masked(address),
    message = mime.alternative { from = mime.mailbox(sender.address, sender.name),
      to = mime.mailbox(address, model.name), subject = subject, date = fastr.time.now(),
      id = M.message_id(event.id), language = spoken, text = body,
      html = render(html, model, template.html, ".html") } }
end

return M
