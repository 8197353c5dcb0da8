-- storefront: the shop's pages. It owns no data: each page is made of the other services' answers, asked as whoever
-- looks at it. All of it works without JavaScript: what changes something is a form, answered by the way to the next
-- page.

local shape = require "lib.shape"

local sku = shape.text { min = 1, max = 64 }
local uuid = shape.text { format = "uuid" }
local file = shape.text { min = 1, max = 80 }
local optional = shape.optional
local function text(max) return optional(shape.text { max = max }) end

-- Forms carry a key: a double click, the back button and a repetition by the browser are one action.
local key = optional(shape.text { max = 64, format = "token" })

-- What people typed comes as it is: it is judged by the service whose it is, and shown again with what is wrong.
local function fields(names)
  local object = { key = key, ["goto"] = text(300) }
  for _, name in ipairs(names) do object[name] = text(300) end
  return shape.object(object)
end

local notice = { notice = text(60), about = text(120) }

local function page(route)
  route.method, route.scope, route.root, route.refusal = "GET", "public", true, "refused"
  route.query = route.query or shape.object(notice)
  return route
end

local function form(route)
  route.method, route.scope, route.root, route.form, route.refusal = "POST", "public", true, true, "refused"
  route.body, route.timeout_ms = route.body or fields {}, route.timeout_ms or 20000
  route.sensitive = true
  return route
end

local ADDRESS = { "email", "name", "line1", "line2", "city", "region", "postcode", "country", "phone" }

return {
  name = "storefront",
  doc = "The shop's pages, rendered here from the other services' answers.",
  routes = {
    page { path = "/", handler = "home", doc = "Where a visit begins" },

    page { path = "/products", handler = "list", doc = "Products of a category, or found by words",
      query = shape.object { q = text(200), category = text(120), sort = text(20), in_stock = text(5),
        cursor = text(1000), notice = text(60), about = text(120) } },

    page { path = "/products/{sku}", handler = "product", doc = "One product", params = { sku = sku } },

    page { path = "/cart", handler = "cart", doc = "What is in the cart, what it costs, and why" },
    form { path = "/cart/lines", handler = "add", doc = "Puts units of a product into the cart",
      body = fields { "sku", "quantity" } },
    form { path = "/cart/lines/{sku}", handler = "set_line", doc = "Sets the units of a line; none takes it out",
      params = { sku = sku }, body = fields { "quantity", "remove" } },
    form { path = "/cart/coupons", handler = "coupon", doc = "Enters a coupon code, or takes one out",
      body = fields { "code", "remove" } },
    form { path = "/cart/gift-cards", handler = "gift_card", doc = "Pays with a gift card, or takes one out by its id",
      body = fields { "code", "remove" } },

    page { path = "/checkout", handler = "address", doc = "Checkout: who receives it, and where" },
    form { path = "/checkout", handler = "set_address", doc = "Notes e-mail and address", body = fields(ADDRESS) },
    page { path = "/checkout/shipping", handler = "shipping", doc = "Checkout: how it is sent" },
    form { path = "/checkout/shipping", handler = "set_shipping", doc = "Notes the shipping method",
      body = fields { "method" } },
    page { path = "/checkout/payment", handler = "payment",
      doc = "Checkout: how it is paid. The form of a card goes to the payment service alone" },
    form { path = "/checkout/payment", handler = "set_payment", doc = "Notes a saved card",
      body = fields { "method" } },
    page { path = "/checkout/review", handler = "review", doc = "Checkout: all of it, before it is bought" },
    form { path = "/checkout/review", handler = "buy", doc = "Buys what was shown, for the total that was shown",
      body = fields { "total", "due", "currency" } },

    page { path = "/orders", handler = "orders", doc = "One's own orders",
      query = shape.object { cursor = text(100), notice = text(60), about = text(120) } },
    page { path = "/orders/{id}", handler = "order", doc = "One order and what happened to it",
      params = { id = uuid } },
    form { path = "/orders/{id}/cancel", handler = "cancel", doc = "Cancels an order that has not left yet",
      params = { id = uuid } },

    page { path = "/sign-in", handler = "sign_in", doc = "Sign in, or register",
      query = shape.object { notice = text(60), about = text(120), ["goto"] = text(300) } },
    form { path = "/sign-in", handler = "do_sign_in", doc = "Signs in", body = fields { "email", "password" } },
    form { path = "/register", handler = "register", doc = "Makes an account, and signs in",
      body = fields { "email", "password", "name" } },
    form { path = "/sign-out", handler = "sign_out", doc = "Signs out on this browser" },

    form { path = "/language", handler = "language", doc = "Speaks another language", body = fields { "language" } },

    page { path = "/no-such-page", handler = "nothing", doc = "What the balancer shows for a path that nobody has" },

    page { path = "/art/{file}", handler = "art", doc = "A picture of a product, drawn from its name",
      params = { file = file }, query = shape.object { name = text(200) } },
    page { path = "/assets/{file}", handler = "asset", doc = "The pages' style, under the name of its content",
      params = { file = file } },
  },
}
