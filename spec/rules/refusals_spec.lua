-- Facts that cannot be priced are refused with the path and the reason, by a decision and by a quote alike: never a
-- wrong price, never the fault of a rule.
local handlers = require "services.rules.handlers"

local LINE = [["sku": "A", "quantity": 1, "unit_price": 100, "tax_category": "s"]]

-- Facts as JSON: good ones, of which each of `with` replaces a field.
local function facts(with)
  local fields = { currency = '"GBP"', now = '"2026-11-23T10:00:00Z"', lines = "[{" .. LINE .. "}]", promotions = "[]",
    tax_rates = "[]", shipping = '[{"method": "post", "fee": 100}]' }
  local list = {}
  for name, value in pairs(with) do fields[name] = value end
  for name, value in pairs(fields) do list[#list + 1] = ('"%s": %s'):format(name, value) end
  return "{" .. table.concat(list, ", ") .. "}"
end

local function line(more) return { lines = "[{" .. LINE .. ", " .. more .. "}]" } end
local function bare_line(all) return { lines = "[{" .. all .. "}]" } end
local function rows(list) return bare_line('"sku": "A", "quantity": 5, "prices": ' .. list) end
local function rate(all) return { tax_rates = "[{" .. all .. "}]" } end
local function promotion(more)
  return { promotions = '[{"actions": [{"type": "order_percent", "value": 10}], ' .. more .. "}]" }
end
local function action(all) return { promotions = '[{"actions": [{' .. all .. "}]}]" } end
local function percent(value) return action('"type": "item_percent", "value": ' .. value) end
local function fixed(value) return action('"type": "order_fixed", "value": ' .. value) end
local function buy(more)
  return action('"type": "buy_x_get_y", "value": 100, "buy_quantity": 1, "get_quantity": 1, ' .. more)
end

local PERCENT = "promotions[1].actions[1].value: a percentage from 0 to 100 with up to 4 places is expected"
local AMOUNT = "promotions[1].actions[1].value: an amount in minor units from 0 is expected"
local RATE = "tax_rates[1].percent: a percentage from 0 to 100 with up to 4 places is expected"
local ACTION = "promotions[1].actions[1]."

local CASES = {
  ["an unknown field"] = {
    { { discount = "1" }, "discount: unknown field" },
    { line '"colour": "red"', "lines[1].colour: unknown field" },
    { promotion '"name": "x"', "promotions[1].name: unknown field" },
    { action '"type": "order_percent", "value": 1, "amount": 5', ACTION .. "amount: unknown field" },
    { promotion '"conditions": {"min_total": 1}', "promotions[1].conditions.min_total: unknown field" },
    { action '"type": "item_percent", "value": 1, "filters": {"sku": "A"}', ACTION .. "filters.sku: unknown field" },
    { rows '[{"currency": "GBP", "amount": 1, "rules": {"country": "GB"}}]',
      "lines[1].prices[1].rules.country: unknown field" },
    { { customer = '{"email": "a@example.org"}' }, "customer.email: unknown field" },
    { { settings = '{"rounding": "up"}' }, "settings.rounding: unknown field" },
  },
  ["an unknown type"] = {
    { action '"type": "percent_off", "value": 1', ACTION .. "type: there is no action type 'percent_off'" },
    { promotion '"level": "shop"', "promotions[1].level: 'shop' is not one of cart, catalog" },
    { promotion '"level": "catalog"', ACTION .. "type: 'order_percent' does not belong to level 'catalog'" },
    { promotion '"budget": {"type": "money", "limit": 1}', "promotions[1].budget.type: 'money' is not one of" },
    { { settings = '{"tax_rounding": "shipment"}' },
      "settings.tax_rounding: 'shipment' is not one of line, unit, total" },
  },
  ["a percentage that is none"] = {
    { percent "101", PERCENT }, { percent '"100.0001"', PERCENT }, { percent "-1", PERCENT },
    { percent "10.12345", PERCENT }, { percent '"10.12345"', PERCENT }, { percent '"ten"', PERCENT },
    { percent '" 10"', PERCENT }, { percent '"1e1"', PERCENT }, { percent "true", PERCENT },
    { percent "null", ACTION .. "value: is missing" },
    { rate '"category": "s", "percent": 101', RATE }, { rate '"category": "s", "percent": 20.12345', RATE },
    { rate '"category": "s"', "tax_rates[1].percent: is missing" },
  },
  ["an amount that is none"] = {
    { fixed "1.5", AMOUNT }, { fixed "-1", AMOUNT }, { fixed '"100"', AMOUNT },
    { fixed "1e300", ACTION .. "value: a number within 2^53 - 1 is expected" },
    { bare_line '"sku": "A", "quantity": 1, "unit_price": 1.5',
      "lines[1].unit_price: an integer is expected, not 1.5" },
    { bare_line '"sku": "A", "quantity": 1, "unit_price": -1', "lines[1].unit_price: at least 0 is expected, not -1" },
    { bare_line '"sku": "A", "quantity": 2, "unit_price": 9007199254740991',
      "lines[1].unit_price: times the quantity, the cart goes past 2^53 - 1" },
    { { shipping = '[{"method": "a", "fee": 9007199254740991}, {"method": "b", "fee": 1}]' },
      "shipping[2].fee: the amount goes past 2^53 - 1" },
    { { gift_cards = '[{"code": "a", "balance": 9007199254740991}, {"code": "b", "balance": 1}]' },
      "gift_cards[2].balance: the amount goes past 2^53 - 1" },
    { { lines = '[{"sku": "A", "quantity": 1, "unit_price": 9007199254740991, "tax_category": "s"}]', shipping = "[]",
      tax_rates = '[{"category": "s", "percent": 20}]' }, "lines: the amount goes past 2^53 - 1" },
    { promotion '"conditions": {"min_items_total": 1.5}',
      "promotions[1].conditions.min_items_total: an integer is expected, not 1.5" },
  },
  ["a quantity that is none"] = {
    { bare_line '"sku": "A", "quantity": 0, "unit_price": 1', "lines[1].quantity: at least 1 is expected, not 0" },
    { bare_line '"sku": "A", "quantity": -1, "unit_price": 1', "lines[1].quantity: at least 1 is expected, not -1" },
    { bare_line '"sku": "A", "quantity": 1.5, "unit_price": 1', "lines[1].quantity: an integer is expected, not 1.5" },
    { bare_line '"sku": "A", "quantity": 10000, "unit_price": 1',
      "lines[1].quantity: at most 9999 is expected, not 10000" },
    { buy '"times": 0', ACTION .. "times: at least 1 is expected, not 0" },
    { action '"type": "buy_x_get_y", "value": 100, "buy_quantity": 1', ACTION .. "get_quantity: is missing" },
  },
  ["a currency without an exponent"] = {
    { { currency = '"XXX"' }, "currency: 'XXX' is not a currency of ISO 4217 with a minor unit" },
    { { currency = '"gbp"' }, "currency: 'gbp' is not a currency" },
    { promotion '"currency": "XAU"', "promotions[1].currency: 'XAU' is no currency whose minor units are known" },
    { rows '[{"currency": "ABC", "amount": 1}]', "lines[1].prices[1].currency: 'ABC' is no currency" },
  },
  ["a time that is none, or an end before the beginning"] = {
    { { now = '"today"' }, "now: 'today' is not a date-time" },
    { promotion '"starts_at": "2026-02-30T00:00:00Z"', "promotions[1].starts_at: '2026-02-30T00:00:00Z' is not" },
    { promotion '"starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"',
      "promotions[1].ends_at: ends before it starts" },
    { rate '"category": "s", "percent": 1, "from": "2026-12-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"',
      "tax_rates[1].to: ends before it starts" },
    { rows [=[[{"currency": "GBP", "amount": 1,
        "rules": {"from": "2027-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}}]]=],
      "lines[1].prices[1].rules.to: ends before it starts" },
  },
  ["a tax rate that cannot be told"] = {
    { rate '"percent": 20', "tax_rates[1].category: is missing" },
    { rate '"category": null, "percent": 20', "tax_rates[1].category: a text is expected" },
    { { tax_rates = '[{"category": "s", "percent": 20}, {"category": "s", "percent": 5}]' },
      "tax_rates[2]: another rate of 's' is in force since the same time" },
  },
  ["a price that cannot be told"] = {
    { bare_line '"sku": "A", "quantity": 1', "lines[1].unit_price: there is no price of 'A' in GBP" },
    { rows '[{"currency": "EUR", "amount": 1}]', "lines[1].unit_price: there is no price of 'A' in GBP" },
    { rows '[{"currency": "GBP", "amount": 1}, {"currency": "GBP", "amount": 1}]',
      "lines[1].prices[2]: ties with prices[1], which says the same" },
    { rows '[{"currency": "GBP", "amount": 1, "min_quantity": 9, "max_quantity": 2}]',
      "lines[1].prices[1].max_quantity: is below min_quantity" },
    { rows [=[[{"currency": "GBP", "amount": 1, "rules": {"zone": ["GB", "IE"], "from": "2026-01-01T01:00:00+01:00"}},
        {"currency": "GBP", "amount": 1, "rules": {"zone": ["IE", "GB"], "from": "2026-01-01T00:00:00Z"}}]]=],
      "lines[1].prices[2]: ties with prices[1], which says the same" },
    { rows '[{"currency": "GBP", "amount": 1, "rules": {"zone": ["GB", {}]}}, {"currency": "GBP", "amount": 1}]',
      "lines[1].prices[1].rules.zone: a text or a list of texts is expected" },
    { rows '[{"currency": "GBP", "amount": 1, "rules": {"customer_group": []}}]',
      "lines[1].prices[1].rules.customer_group: a text or a list of texts is expected" },
    { rows '[{"currency": "GBP", "amount": 1, "rules": {"customer_group": {"a": "b"}}}]',
      "lines[1].prices[1].rules.customer_group: a text or a list of texts is expected" },
    { rows '[{"currency": "GBP", "amount": 1, "rules": {"zone": 5}}]',
      "lines[1].prices[1].rules.zone: a text or a list of texts is expected" },
  },
  ["what an action would not heed"] = {
    { action '"type": "order_percent", "value": 5, "buy_quantity": 2',
      ACTION .. "buy_quantity: is not for 'order_percent'" },
    { action '"type": "line_fixed", "value": 5, "max_quantity": 2', ACTION .. "max_quantity: is not for 'line_fixed'" },
    { action '"type": "order_fixed", "value": 5, "allocation": "each"',
      ACTION .. "allocation: is not for 'order_fixed'" },
    { action '"type": "free_shipping", "filters": {"skus_any": ["A"]}',
      ACTION .. "filters.skus_any: is not for shipping" },
    { buy '"buy_filters": {"methods_any": ["post"]}', ACTION .. "buy_filters.methods_any: is for shipping" },
    { action '"type": "item_fixed", "value": 5, "filters": {"min_unit_price": 9, "max_unit_price": 5}',
      ACTION .. "filters.max_unit_price: is below min_unit_price" },
    { promotion '"conditions": {"min_items_total": 9, "max_items_total": 5}',
      "promotions[1].conditions.max_items_total: is below min_items_total" },
    { { gift_cards = '[{"code": "G", "balance": 1}, {"code": "G", "balance": 1}]' },
      "gift_cards[2].code: 'G' is there twice" },
  },
}

local function begins(text, with) return text:sub(1, #with) == with end

describe("price.cart refuses", function()
  for name, cases in pairs(CASES) do
    it(name, function()
      for _, case in ipairs(cases) do
        local text, wanted = facts(case[1]), case[2]
        local decision, message, code = fastr.rules.decide("price.cart", assert(fastr.json.decode(text)))
        assert.is_nil(decision, text)
        assert.is_true(begins(message, wanted), message .. " instead of " .. wanted)
        assert.equal("facts_invalid", code, message)

        local none, problem = handlers.quote { body = text }
        assert.is_nil(none)
        assert.same({ "facts_invalid", 422 }, { problem.code, problem.status })
        local told = problem.errors[1]
        assert.is_true(begins(told.path .. ": " .. told.problem, wanted), wanted)
      end
    end)
  end

  it("floats and integers that no number can hold, as JSON already", function()
    local none, problem = handlers.quote { body = facts(fixed "9007199254740992") }
    assert.is_nil(none)
    assert.equal("body_not_json", problem.code)
  end)

  it("nothing else: the same facts without the fault have a price", function()
    assert.equal(200, (handlers.quote { body = facts {} }))
  end)
end)
