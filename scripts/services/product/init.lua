-- product: what is sold, what it lists for, and how much of it there is.

local shape = require "lib.shape"
local price_lists = require "services.product.price_lists"

local sku = shape.text { min = 1, max = 64, doc = "stock-keeping unit" }
local category = shape.text { min = 1, max = 120, doc = "path from the root, home/lighting" }
local order = shape.text { format = "uuid", doc = "order that the stock is for" }
local seconds = shape.integer { min = 1, max = 86400, doc = "how long the hold lives from now" }
local whole = { min = 0, max = 9007199254740991 }

local product = shape.object {
  sku = sku,
  name = shape.text { doc = "what it is called" },
  description = shape.text { lines = true, doc = "staff's words, else a sentence made from name and category" },
  categories = shape.list(category),
  tax_category = shape.text { doc = "decides the tax rate" },
  price = shape.money { doc = "for one unit, after catalogue rules" },
  list_price = shape.money { doc = "before catalogue rules" },
  lowest_price_30d = shape.nullable(shape.money { doc = "beside a reduced price: the lowest that everybody paid in "
    .. "the 30 days before the reduction began (directive 98/6/EC, 6a); null: not reduced, or sold for no other price "
    .. "before, and then list_price is no former price" }),
  available = shape.integer { doc = "units on hand and not promised to somebody" },
  version = shape.integer { doc = "grows with every change; the ETag" },
}

local held_line = shape.object { sku = sku, quantity = shape.integer { min = 1, max = 9007199254740991 } }
local held_lines = shape.list(held_line, { min = 1, max = 5000 })
local reservation = shape.object {
  order = order,
  state = shape.enum { "held", "expired", "released", "committed" },
  expires_at = shape.text { format = "date-time" },
}

local facts = shape.object {
  sku = sku, name = shape.text {}, categories = shape.list(category), tax_category = shape.text {},
  price = shape.integer { min = 0, doc = "list price of one unit, minor units" },
  currency = shape.text {}, available = shape.integer {}, version = shape.integer {},
  prices = shape.optional(shape.any { doc = "rows of the price list, as facts of price.cart" }),
  reduced = shape.optional(shape.object {
    price = shape.integer { min = 0, doc = "what everybody pays for one unit by the record, minor units" },
    lowest = shape.integer { min = 0, doc = "in the 30 days before the reduction" } }),
}

local reason = shape.optional(shape.text { min = 1, max = 200, doc = "kept in the price history" })
local rows = shape.list(price_lists.row, { max = price_lists.MOST_ROWS,
  doc = "of those that fit: most conditions, then highest min_quantity, then lowest price" })
local price_list = shape.object { rows = rows }
local new_price_list = shape.object { rows = rows, reason = reason }
local many_price_lists = shape.object {
  rows = shape.optional(shape.list(shape.any { doc = "a row of PUT /products/{sku}/prices, with its sku" },
    { max = price_lists.MOST_AT_ONCE })),
  csv = shape.optional(shape.text { max = 1000000, lines = true, doc = "the same as RFC 4180: the first line names the "
    .. "columns: sku, currency, amount (minor units) and as needed min_quantity, max_quantity, customer_group, zone, "
    .. "from, to" }),
  reason = reason,
}
local many_replaced = shape.object {
  products = shape.integer { doc = "whose price lists were replaced" },
  rows = shape.integer { doc = "that they have now" },
  failed = shape.list(shape.object {
    row = shape.integer { doc = "counted from 1; of CSV the line" }, sku = shape.optional(shape.text {}),
    field = shape.text { doc = "of the row, empty: the row itself" }, problem = shape.text {} },
    { doc = "rows that were not taken, and why; their products keep the price lists that they had" }),
}
local price_change = shape.object {
  price = shape.money { doc = "what everybody paid for one unit" },
  list_price = shape.money { doc = "that stood beside it" },
  from = shape.text { format = "date-time" },
  to = shape.nullable(shape.text { format = "date-time", doc = "when the next began; null: it applies" }),
  lowest_price_30d = shape.nullable(shape.money { doc = "where it was reduced: the lowest before" }),
  by = shape.optional(shape.text { doc = "staff alone: who changed it" }),
  reason = shape.optional(shape.text { doc = "staff alone: why" }),
}

local stock_event = shape.object {
  order = order, lines = shape.list(held_line), reason = shape.optional(shape.text {}),
}

return {
  name = "product",
  doc = "Catalogue, prices, stock and the holds on it.",
  routes = {
    { method = "GET", path = "/categories", handler = "categories", scope = "public",
      doc = "All categories with the number of products in each, its descendants included",
      replies = { [200] = shape.object { items = shape.list(shape.object {
        path = category, name = shape.text {}, products = shape.integer { min = 0 } }),
        next_cursor = shape.nullable(shape.text {}, { doc = "null: this is all" }) } } },

    { method = "GET", path = "/products", handler = "list", scope = "public",
      doc = "Products, filtered, searched and sorted, a page at a time",
      query = shape.object {
        q = shape.optional(shape.text { min = 1, max = 200, doc = "words to look for" }),
        category = shape.optional(category),
        sort = shape.optional(shape.enum { "relevance", "name", "-name", "price", "-price", "newest" }),
        min_price = shape.optional(shape.integer { min = 0, max = whole.max, doc = "list price, minor units" }),
        max_price = shape.optional(shape.integer { min = 0, max = whole.max, doc = "list price, minor units" }),
        in_stock = shape.optional(shape.boolean { doc = "only what can be had now" }),
        currency = shape.optional(shape.text { format = "currency" }),
        limit = shape.optional(shape.integer { min = 1, max = 100, doc = "products a page; 20 unless told" }),
        cursor = shape.optional(shape.text { max = 1000, doc = "next_cursor of the page before" }),
      },
      replies = { [200] = shape.object { items = shape.list(product), next_cursor = shape.nullable(shape.text {}) } } },

    { method = "GET", path = "/products/{sku}", handler = "show", scope = "public", doc = "One product",
      params = { sku = sku },
      query = shape.object { currency = shape.optional(shape.text { format = "currency" }) },
      replies = { [200] = product } },

    { method = "GET", path = "/products/{sku}/price-history", handler = "price_history", scope = "public",
      doc = "What everybody paid for one unit, the latest first; staff sees who, why and what is planned",
      params = { sku = sku },
      query = shape.object {
        currency = shape.optional(shape.text { format = "currency" }),
        limit = shape.optional(shape.integer { min = 1, max = 100, doc = "changes a page; 20 unless told" }),
        cursor = shape.optional(shape.text { max = 1000, doc = "next_cursor of the page before" }),
      },
      replies = { [200] = shape.object { items = shape.list(price_change),
        next_cursor = shape.nullable(shape.text {}) } } },

    { method = "PUT", path = "/products/{sku}", handler = "put", scope = "product:write",
      doc = "Creates or replaces a product; a stale If-Match is refused",
      idempotency = "transaction", params = { sku = sku }, headers = { "If-Match" },
      body = shape.object {
        name = shape.text { min = 1, max = 200 },
        description = shape.optional(shape.text { max = 10000, lines = true }),
        categories = shape.list(category, { max = 20 }),
        price = shape.money { min = 0, max = price_lists.MOST_PRICE, doc = "list price of one unit" },
        tax_category = shape.optional(shape.text { min = 1, max = 40 }),
        reason = reason,
      },
      replies = { [200] = product, [201] = product } },

    { method = "GET", path = "/products/{sku}/prices", handler = "price_list", scope = "product:write",
      doc = "Staff: what the product costs instead of its list price, and to whom",
      params = { sku = sku }, replies = { [200] = price_list } },

    { method = "PUT", path = "/products/{sku}/prices", handler = "put_price_list", scope = "product:write",
      doc = "Staff: replaces the product's price list; a row that could not be told from another is refused",
      idempotency = "transaction", params = { sku = sku }, headers = { "If-Match" }, body = new_price_list,
      replies = { [200] = price_list } },

    { method = "PUT", path = "/price-lists", handler = "put_price_lists", scope = "product:write",
      doc = "Staff: replaces the price lists of the products that are named, and says of each row that is wrong why",
      idempotency = "transaction", prepare = "prepare_price_lists", timeout_ms = 30000, body = many_price_lists,
      replies = { [200] = many_replaced } },

    { method = "POST", path = "/products/{sku}/stock", handler = "adjust", scope = "stock:write",
      doc = "Adds to the stock on hand, or takes from it what is not held",
      idempotency = "transaction", params = { sku = sku },
      body = shape.object {
        delta = shape.integer { min = -1000000000, max = 1000000000, doc = "units; negative takes away" },
        reason = shape.text { min = 1, max = 200, doc = "kept in the ledger" },
      },
      replies = { [200] = shape.object {
        sku = sku, on_hand = shape.integer {}, held = shape.integer {}, available = shape.integer {} } } },

    { internal = true, handler = "facts", scope = "product:read", doc = "What pricing must know of some products",
      body = shape.object {
        skus = shape.list(sku, { max = 5000 }), currency = shape.text { format = "currency" },
        fresh = shape.optional(shape.boolean { doc = "from the primary" }) },
      replies = { [200] = shape.object { items = shape.list(facts) } } },

    { internal = true, handler = "hold", scope = "product:reserve",
      doc = "Makes an order's hold exactly these lines, all of them or none; asking again is asking once",
      body = shape.object { order = order, lines = held_lines, seconds = seconds },
      replies = { [200] = reservation } },

    { internal = true, handler = "extend", scope = "product:reserve",
      doc = "Lets an order's hold live longer; one that ran out is taken again if the stock is still there",
      body = shape.object { order = order, seconds = seconds }, replies = { [200] = reservation } },

    { internal = true, handler = "commit", scope = "product:reserve", doc = "Takes what an order holds off the shelf",
      body = shape.object { order = order }, replies = { [200] = reservation } },

    { internal = true, handler = "release", scope = "product:reserve", doc = "Gives an order's hold back",
      body = shape.object { order = order }, replies = { [200] = reservation } },

    { internal = true, handler = "restock", scope = "product:reserve",
      doc = "Puts units of a committed order back on the shelf, once for each key",
      body = shape.object { order = order, key = shape.text { min = 1, max = 100 }, lines = held_lines },
      replies = { [200] = reservation } },

    { internal = true, handler = "taken", scope = "product:reserve", timeout_ms = 30000,
      doc = "What orders hold, took off the shelf and gave back: of these, or of a page of all that took something",
      body = shape.object { orders = shape.optional(shape.list(order, { max = 200 })),
        since = shape.optional(shape.text { format = "date-time" }), after = shape.optional(order),
        limit = shape.optional(shape.integer { min = 1, max = 200 }) },
      replies = { [200] = shape.object { items = shape.list(shape.object { order = order, state = shape.text {},
        lines = shape.any, restocks = shape.any }) } } },

    { internal = true, handler = "drifted", scope = "product:reserve", timeout_ms = 30000,
      doc = "Products whose stock or holds are not the sum of their movements", body = shape.object {},
      replies = { [200] = shape.object { items = shape.list(shape.object { sku = sku, on_hand = shape.integer {},
        moved = shape.integer {}, held = shape.integer {}, promised = shape.integer {} }) } } },
  },
  produces = {
    product = { doc = "A product was created or changed", key = "sku", events = {
      ["product.changed.v1"] = shape.object { sku = sku, version = shape.integer {}, name = shape.text {},
        categories = shape.list(category), tax_category = shape.text {}, price = shape.money {} } } },
    stock = { doc = "Stock moved: by staff (key: sku) or for an order (key: order)", key = "sku or order id", events = {
      ["stock.adjusted.v1"] = shape.object { sku = sku, delta = shape.integer {}, on_hand = shape.integer {},
        reason = shape.text {} },
      ["stock.held.v1"] = stock_event,
      ["stock.released.v1"] = stock_event,
      ["stock.committed.v1"] = stock_event,
      ["stock.restocked.v1"] = stock_event } },
  },
  schedules = {
    { name = "record_prices", every_ms = 60000, job = "record_prices", one = true,
      doc = "Writes down the prices that the rules have changed; what is shown does not wait for it" },
    { name = "expire_holds", every_ms = 5000, job = "expire_holds", one = true,
      doc = "Tidies holds that ran out; nobody waits for it, readers pass them by" },
  },
}
