---@meta
-- api: what a rule file can name, for editors with lua-language-server (LuaCATS annotations): words, conditions,
-- offers, money and text. Nothing runs this file; a spec holds it against the code.

---In minor units of the cart's currency
---@alias Amount integer
---From 0 to 100, up to 4 places
---@alias Percent number|string

---Which lines are meant: made by category, sku, except or full_price.
---@class What

---A name, and function(cart) -> holds, actual, wanted.
---@class Condition
---@field [1] string
---@field [2] fun(cart: Cart): boolean, any, any
---@field unit? "money"|"units" both operands are amounts, or quantities: more in the cart reaches them
---@field what? string of what they are: "kitchen/mugs"

---@class Customer
---@field id? string pseudonymous
---@field group? string
---@field orders_placed? integer placed before this one, not cancelled

---@class Shipment
---@field method string
---@field fee Amount

---Quantity, unit price, category (default: those that `when` names).
---@class ExampleLine
---@field [1] integer
---@field [2] Amount
---@field [3]? string
---@field floor? Amount the least a unit may cost

---@class Example
---@field [1] string what it shows
---@field cart table<string, ExampleLine>
---@field total Amount of items and shipping, before tax
---@field now? string RFC 3339; default the rule's `from`
---@field zone? string default GB
---@field customer? Customer
---@field coupons? string[] default the rule's own
---@field shipping? Shipment[]

---@class Rule
---@field doc string one sentence
---@field says? string what a customer reads; default `doc` without the full stop
---@field stage "item"|"order"|"shipping"
---@field from? string RFC 3339; belongs to it
---@field to? string RFC 3339; belongs to it
---@field when? Condition[] all of which must hold
---@field apply fun(cart: Cart)
---@field examples Example[]
---@field priority? integer higher runs earlier within its stage; default 0
---@field exclusive? boolean if it applies, no other promotion does
---@field coupon? string only with this code, case-sensitive
---@field currency? string only in this currency
---@field usage? { limit?: integer, limit_per_customer?: integer, give_back?: boolean } how often it may be used
---@field budget? { type?: "spend"|"usage", limit: integer } what it may give in all, minor units; or uses

---A copy of a line as it stands.
---@class Line
---@field number integer
---@field sku string
---@field quantity integer
---@field list_price Amount
---@field unit_price Amount after catalogue promotions
---@field total Amount after what was taken off so far
---@field categories string[]

---What a rule file returns.
---@param definition Rule
---@return Rule
function rule(definition) end

---Lines of any of these categories, or below one of them.
---@param ... string as "home/candles"
---@return What
function category(...) end

---Lines of any of these SKUs.
---@param ... string
---@return What
function sku(...) end

---What `of` names, but not what `what` names.
---@param what What
---@param of? What default: the whole cart
---@return What
function except(what, of) end

---What `of` names, as far as nothing has been taken off its lines yet.
---@param of? What default: the whole cart
---@return What
function full_price(of) end

---At least n units of it.
---@param n integer
---@param of? What default: the whole cart
---@return Condition
function at_least(n, of) end

---It costs at least the amount, as far as rules before this one left it.
---@param amount Amount
---@param of? What default: the whole cart
---@return Condition
function spend_at_least(amount, of) end

---The customer is of one of these groups.
---@param ... string
---@return Condition
function customer_in(...) end

---The cart is sent to one of these zones.
---@param ... string
---@return Condition
function in_zone(...) end

---The n-th order of a known customer.
---@param n integer
---@return Condition
function nth_order(n) end

---A known customer with n orders or more before this one.
---@param n integer
---@return Condition
function orders_at_least(n) end

---@alias Weekday "monday"|"tuesday"|"wednesday"|"thursday"|"friday"|"saturday"|"sunday"

---On these days from one time of day until before another.
---@param when { days?: Weekday[], from?: string, to?: string, offset?: string } times as "17:00", offset as "+01:00"
---@return Condition
function during(when) end

---What stands beside the highest step that the value reaches, or nil.
---@param value number
---@param steps { [1]: number, [2]: any }[]
---@return any
function tier(value, steps) end

---@class BuyGet
---@field buy integer
---@field of? What default: the whole cart
---@field get integer
---@field get_of? What default: of the same
---@field percent? Percent default 100
---@field times? integer at most; default as often as it fits
---@field pick? "dearest"|"cheapest"

---One of price, amount and percent.
---@class Bundle
---@field parts { [1]: integer, [2]: What? }[] units, and of what
---@field price? Amount what they cost together
---@field amount? Amount what they cost less
---@field percent? Percent what they cost less
---@field times? integer at most; default as often as it fits

---The cart as `apply` and conditions see it.
---@class Cart
---@field customer? Customer
---@field zone? string
---@field now integer milliseconds since 1970
---@field shipping Shipment[]
local Cart = {}

---What it costs, as far as rules before this one left it.
---@param of? What default: the whole cart
---@return Amount
function Cart:total(of) end

---@param of? What default: the whole cart
---@return integer # units
function Cart:quantity(of) end

---@param of? What default: the whole cart
---@return Line[]
function Cart:lines(of) end

---A percentage of each unit.
---@param how { percent: Percent, of?: What, max_quantity?: integer } max_quantity: of the first units of each line
function Cart:percent_off(how) end

---An amount of each unit.
---@param how { amount: Amount, of?: What, max_quantity?: integer }
function Cart:amount_off_each(how) end

---What each unit costs above the price.
---@param how { price: Amount, of?: What }
function Cart:price_each(how) end

---The cheapest of every `every` units is free, or `percent` off.
---@param how { every: integer, of?: What, percent?: Percent }
function Cart:cheapest_free(how) end

---For every `buy` units of `of`, `get` units of `get_of` (default: of the same) free, or `percent` off.
---@param how BuyGet
function Cart:buy_get(how) end

---Units that cost less together: one of price, amount and percent. Dearest first, as often as it fits or `times`.
---@param how Bundle
function Cart:bundle(how) end

---A percentage of it all, at most an amount.
---@param how { percent: Percent, of?: What, at_most?: Amount }
function Cart:order_percent_off(how) end

---An amount, shared over the lines.
---@param how { amount: Amount, of?: What }
function Cart:order_amount_off(how) end

---The fee of each shipment (of the method).
---@param how? { method?: string }
function Cart:free_shipping(how) end

---A percentage of the fee of each shipment (of the method).
---@param how { percent: Percent, method?: string }
function Cart:shipping_percent_off(how) end

---An amount of the fee of each shipment (of the method).
---@param how { amount: Amount, method?: string }
function Cart:shipping_amount_off(how) end

---An amount of one of cart:lines().
---@param line Line
---@param amount Amount
function Cart:line_off(line, amount) end

---The facts are wrong, not the rule: the decision is refused with this text.
---@param text string begins with the path
function refuse(text) end

---Marks a list, so that an empty one is [] in JSON.
---@generic T
---@param list T[]
---@return T[]
function array(list) end

---Files of the pack, at the top of a file only.
pack = {}

---@param folder string
---@return string[] # names of the .lua files right in it, in bytewise order
function pack.files(folder) end

---What the file returns when it runs with further names.
---@param file string
---@param names table<string, any>
---@return any
function pack.load(file, names) end

---Raises "PATH: what is wrong" unless the value is of the shape.
---@param shape table
---@param value any
function pack.check(shape, value) end

---Exact arithmetic on amounts; raises for a float, an overflow or a mixed currency.
money = {}

---The largest amount.
money.max = 9007199254740991

---@param amount any
---@return Amount # amount raises unless it is one
function money.check(amount) end

---@param a Amount
---@param b Amount
---@return Amount
function money.add(a, b) end

---@param a Amount
---@param b Amount
---@return Amount
function money.subtract(a, b) end

---@param value any
---@return boolean # an integer within 2^53 - 1
function money.is_amount(value) end

---@param value any
---@return boolean # from 0 to 100, a number or text with up to 4 places
function money.is_percent(value) end

---@param amount Amount
---@param times integer
---@return Amount
function money.multiply(amount, times) end

---@param amount Amount
---@param percent Percent up to 1000
---@return Amount # rounded half up
function money.percent(amount, percent) end

---@param amount Amount
---@param percent Percent
---@return Amount # what is left
function money.less_percent(amount, percent) end

---@param gross Amount
---@param percent Percent
---@return Amount # the price without the tax it contains
function money.net(gross, percent) end

---@param amount Amount
---@param weights integer[]
---@return Amount[] # parts by largest remainder, earlier first on ties; their sum is the amount
function money.allocate(amount, weights) end

---@param amount Amount
---@param n integer
---@return Amount[] # parts as equal as can be, the larger first
function money.split(amount, n) end

---@param currency string
---@return integer # decimals
function money.exponent(currency) end

---@param text string
---@param currency string
---@return Amount # rounded half up
function money.parse(text, currency) end

---@param amount Amount
---@param currency string
---@return string
function money.format(amount, currency) end

---@param amount Amount
---@param currency string
---@return table # value with amount and currency, which adds and compares with its like only
function money.of(amount, currency) end

---The account of one price, for the pack's own pricing: a rule gives through the cart.
---@param currency string
---@param lines table[]
---@param explain "none"|"applied"|"full"
---@return userdata
function money.ledger(currency, lines, explain) end

---Text without patterns; every function is linear in its input.
text = {}

---@param value string
---@param prefix string
---@return boolean
function text.starts_with(value, prefix) end

---@param value string
---@param suffix string
---@return boolean
function text.ends_with(value, suffix) end

---@param value string
---@param part string
---@return boolean
function text.contains(value, part) end

---@param value string
---@param pattern string "*" is any run of bytes, "?" any one
---@return boolean
function text.glob(value, pattern) end

---@param value string
---@return string
function text.lower(value) end

---@param value string
---@return string
function text.upper(value) end

---@param value string
---@return string # without blanks at both ends
function text.trim(value) end

---@param value string
---@param separator string literal, not empty
---@return string[]
function text.split(value, separator) end

---@param value string RFC 3339
---@return integer? # milliseconds since 1970
---@return string? # message
function text.time(value) end

---What a spec of the pack asks: the rules under check. Rules themselves cannot name it.
rules = {}

---@param cart table<string, ExampleLine>
---@param more? table further facts of price.cart
---@return table # decision, with the full trace; raises if there is none
function rules.price(cart, more) end

---@param decision table
---@param rule string
---@return table? # its entry of the trace
function rules.entry(decision, rule) end

---@param point string
---@param facts table
---@return table? # decision
---@return table|string # info, or message
---@return string? # code
function rules.decide(point, facts) end
