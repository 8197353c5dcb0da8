-- gift_cards: what gift cards pay of a cart. What is on them payment is asked for with each view, by the id that it
-- told when the code was entered; the code itself is not kept. Those that expire first pay first, then in the order of
-- entry.

local money = require "lib.money"
local problem = require "lib.problem"
local shapes = require "lib.order"

local M = {}

local array, null = fastr.json.array, fastr.json.null

local MOST_CARDS = 20 -- each is asked for with every view

-- ---- asking payment -----------------------------------------------------------------------------------------------

-- The card of a code: {id, last4, status, balance, expires_at}; or nil, gift_card_not_found.
function M.find(code)
  return fastr.call("payment", "POST /gift-cards/balance", { code = code })
end

local function ask(card)
  local known, failed = fastr.call("payment", "GET /gift-cards/" .. card.id)
  if known or failed.status < 500 then return known end
  return nil, failed
end

-- The cards of the cart and of the list `more`, by id, asked for side by side; or nil and the problem that payment is
-- away. A card with a `status` was just looked up. Waits.
function M.look_up(cart, more)
  local known, tasks = {}, {}
  for _, list in ipairs { cart.gift_cards, more or {} } do
    for _, card in ipairs(list) do
      if card.status then
        known[card.id] = card
      else
        tasks[#tasks + 1] = function() return ask(card) end
      end
    end
  end
  for _, result in ipairs(#tasks > 0 and fastr.all(tasks) or {}) do
    if result[2] then return nil, result[2] end
    if result[1] then known[result[1].id] = result[1] end
  end
  return known
end

-- ---- what they pay ------------------------------------------------------------------------------------------------

local WHY_NOT = { blocked = "is blocked", expired = "has expired", empty = "is empty",
  currency = "is in another currency", unknown = "is not known" }

-- Why the card cannot pay in that currency; nil if it can. `known`: what payment says of it.
local function objection(known, currency)
  if not known then return "unknown" end
  if known.balance.currency ~= currency then return "currency" end
  return known.status ~= "active" and known.status or nil
end

function M.says(last4, reason)
  return ("The gift card that ends in %s %s"):format(last4, WHY_NOT[reason])
end

local function expiry(known)
  return known and known.expires_at ~= null and fastr.time.parse(known.expires_at) or math.huge
end

-- The cart's cards in the order in which they pay: list of {id, last4, known, reason}.
local function in_turn(cart, gathered)
  local list, place = {}, {}
  for i, card in ipairs(cart.gift_cards) do
    local known = gathered.gift_cards[card.id]
    list[i] = { id = card.id, last4 = card.last4, known = known, reason = objection(known, cart.currency) }
    place[list[i]] = i
  end
  table.sort(list, function(a, b)
    local first, second = expiry(a.known), expiry(b.known)
    if first ~= second then return first < second end
    return place[a] < place[b]
  end)
  return list
end

-- The fact `gift_cards` of price.cart; nil where none can pay. Their names there are their ids.
function M.facts(cart, gathered)
  local list = {}
  for _, card in ipairs(in_turn(cart, gathered)) do
    if not card.reason then list[#list + 1] = { code = card.id, balance = card.known.balance.amount } end
  end
  return #list > 0 and array(list) or nil
end

-- What each of the cart's cards pays of the decided price, as it is shown: list of {id, last4, accepted, amount,
-- balance, expires_at, reason}.
function M.shares(cart, gathered, facts, decision)
  local m, list, paid = money.of(cart.currency), {}, {}
  for _, share in ipairs(shapes.gift_card_shares(facts.gift_cards, decision)) do paid[share.id] = share.amount end
  for i, card in ipairs(in_turn(cart, gathered)) do
    list[i] = { id = card.id, last4 = card.last4, accepted = card.reason == nil, reason = card.reason,
      amount = m(paid[card.id] or 0), balance = card.known and card.known.balance,
      expires_at = card.known and card.known.expires_at or null }
  end
  return list
end

-- ---- entering -----------------------------------------------------------------------------------------------------

local function index_of(cart, id)
  for i, card in ipairs(cart.gift_cards) do
    if card.id == id then return i end
  end
end

-- Puts a card into the cart, unless it is there: true, or nil and why it cannot pay.
function M.add(cart, card, gathered)
  if index_of(cart, card.id) then return true end
  local reason = objection(gathered.gift_cards[card.id], cart.currency)
  if reason then
    return nil, problem.new("gift_card_refused", { reason = reason, last4 = card.last4,
      detail = M.says(card.last4, reason) })
  end
  if #cart.gift_cards >= MOST_CARDS then
    return nil, problem.new("gift_card_refused", { reason = "too_many", last4 = card.last4,
      detail = "The cart has " .. MOST_CARDS .. " gift cards already" })
  end
  cart.gift_cards[#cart.gift_cards + 1] = { id = card.id, last4 = card.last4 }
  return true
end

-- Takes a card out: true, or nil, gift_card_not_found.
function M.remove(cart, id)
  local i = index_of(cart, id)
  if not i then return nil, problem.new("gift_card_not_found", { detail = "The cart has no gift card " .. id }) end
  table.remove(cart.gift_cards, i)
  return true
end

-- What another cart of the same shopper has goes into this one, as far as there is room.
function M.merge(cart, other)
  for _, card in ipairs(other.gift_cards) do
    if not index_of(cart, card.id) and #cart.gift_cards < MOST_CARDS then
      cart.gift_cards[#cart.gift_cards + 1] = card
    end
  end
end

return M
