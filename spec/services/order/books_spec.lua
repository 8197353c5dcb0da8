-- What an order differs in from payment's ledger and the stock: a difference is named with ids and amounts, and what is
-- in order is not.

local books = require "services.order.books"

local ID, PAY = "01a1f2f4-9b7e-7fa3-ab95-93d5777a0f61", "01a1f2f4-9b7e-7fa3-ab95-93d5777a0f62"

local function with(base, more)
  for key, value in pairs(more or {}) do base[key] = value end
  return base
end

local function order(more)
  return with({ id = ID, number = "100001", status = "paid", due = 1000,
    from_gift_cards = 0, currency = "GBP", work_reason = "",
    waits_s = 5,
    lines = { { sku = "A", quantity = 2 } }, attempts = { { id = PAY, status = "captured" } }, returns = {} }, more)
end

local function account(more)
  return with({ payment = PAY, order = ID, captured = 1000, refunded = 0, set_aside = 0, from_gift_cards = 0,
    to_gift_cards = 0, operations = {} }, more)
end

local function taken(more)
  return with({ order = ID, state = "committed", lines = { { sku = "A", quantity = 2 } }, restocks = {} }, more)
end

local RETURN = { id = "r1", amount = 500, refund = "done", restock = "done",
  lines = { { sku = "A", quantity = 1, restock = true } } }
local BACK = { key = "return:r1", lines = { { sku = "A", quantity = 1 } } }
local REFUND = { kind = "refund", key = "r1", state = "succeeded", amount = 500 }

-- What it is about: order, accounts, stock, and code and repair of each difference.
local CASES = {
  { "paid, its money captured, its stock taken", order(), { account() }, taken() },
  { "free", order { due = 0, attempts = {} }, {}, taken() },
  { "refunded in part, out of goodwill", order(), { account { refunded = 300 } }, taken() },
  { "with a return that gave back both", order { returns = { RETURN } },
    { account { refunded = 500, operations = { REFUND } } }, taken { restocks = { BACK } } },
  { "paid in part by gift cards, with a return that gave back to both",
    order { from_gift_cards = 200, returns = { RETURN } }, { account { refunded = 400, from_gift_cards = 200,
      to_gift_cards = 100, operations = { { kind = "refund", key = "r1", state = "succeeded", amount = 400 },
        { kind = "refund", key = "r1", state = "succeeded", amount = 100 } } } }, taken { restocks = { BACK } } },
  { "waiting to be accepted", order { status = "placed", attempts = { { id = PAY, status = "authorised" } } },
    { account { captured = 0, set_aside = 1000 } }, taken() },
  { "open, after a decline", order { status = "placing", attempts = { { id = PAY, status = "declined" } } },
    { account { captured = 0 } }, taken { state = "held" } },
  { "cancelled, all of it given back", order { status = "cancelled", attempts = { { id = PAY, status = "refunded" } } },
    { account { refunded = 1000 } },
    taken { restocks = { { key = "cancel", lines = { { sku = "A", quantity = 2 } } } } } },
  { "being worked on, whatever it says", order { status = "cancelled", work = "undo" }, { account() }, taken() },

  { "placed though its money was captured", order { status = "placed" }, { account() }, taken(),
    "captured_not_paid", "look" },
  { "paid with too little", order(), { account { captured = 900 } }, taken(), "paid_differs", nil },
  { "paid by gift cards with too little", order { due = 0, from_gift_cards = 1000 },
    { account { captured = 0, from_gift_cards = 900 } }, taken(), "gift_cards_differ", nil },
  { "cancelled, and a gift card's money kept", order { status = "cancelled" },
    { account { captured = 0, from_gift_cards = 900 } }, nil, "kept_for_nothing", "undo" },
  { "paid twice, by an attempt that had come to nothing",
    order { attempts = { { id = "other", status = "captured" }, { id = PAY, status = "declined" } } },
    { account(), account { payment = "other" } }, taken(), "kept_by_ended_attempt", "void" },
  { "waiting to be accepted with nothing set aside", order { status = "placed" }, { account { captured = 0 } }, taken(),
    "not_set_aside", "look" },
  { "cancelled with its money kept", order { status = "cancelled" }, { account() }, nil, "kept_for_nothing", "undo" },
  { "open with money kept", order { status = "placing" }, { account() }, nil, "kept_for_nothing", "place" },
  { "paid without its stock", order(), { account() }, taken { state = "held" }, "stock_not_taken", "commit" },
  { "paid, with other units", order(), { account() }, taken { lines = { { sku = "A", quantity = 1 } } },
    "stock_differs", nil },
  { "cancelled, still holding", order { status = "cancelled" }, {}, taken { state = "held" }, "still_held", "undo" },
  { "cancelled with its units off the shelf", order { status = "cancelled" }, {}, taken(), "not_restocked", "undo" },
  { "with a return whose money never went", order { returns = { RETURN } }, { account() },
    taken { restocks = { BACK } }, "return_not_refunded", nil },
  { "with a return whose goods never came", order { returns = { RETURN } },
    { account { refunded = 500, operations = { REFUND } } }, taken(), "return_not_restocked", nil },
  { "waiting for an hour", order { work = "place", work_reason = "payment unknown", waits_s = 3600 }, {}, nil,
    "stuck", "wake" },
}

describe("an order", function()
  for _, case in ipairs(CASES) do
    it(case[1] .. (case[5] and " is told as " .. case[5] or " differs in nothing"), function()
      local found = books.differences(case[2], case[3], case[4])
      local first = found[1] or {}
      assert.same({ case[5] and 1 or 0, case[5], case[6] }, { #found, first.code, first.repair })
    end)
  end

  it("is named with its number, id and amounts", function()
    local text = books.differences(order { status = "placed" }, { account() }, taken())[1].text
    assert.equal("order 100001 (" .. ID .. ") is still placed, and payment captured 10.00 GBP for it", text)
    text = books.differences(order { status = "cancelled" }, {}, taken())[1].text
    assert.equal("order 100001 (" .. ID .. ") is cancelled, and did not give back 2 x A", text)
  end)
end)
