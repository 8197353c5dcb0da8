-- shop: the one page of data by which the platform knows the house that it serves: its services, who may do what, and
-- which service may call which. A scope is "area:verb"; a grant of "area:*" covers every verb of its area.

return {
  -- Every service, in the order in which they are listed.
  services = { "auth", "user", "product", "cart", "order", "payment", "notification", "rules", "storefront" },
  -- What stands for somebody else's machine: served only where it is named, and in no document of ours.
  apart = { "provider" },

  -- Guests are people without a token: they shop, and open what they hold a capability for (a cart's id, an order's
  -- token). What belongs to an account ("self:...") needs a sign-in.
  guest = { "catalog:read", "cart:*", "checkout:*", "order:read", "order:own", "payment_method:*", "payment:own",
    "pricing:quote", "user:register" },

  -- Everybody who has a role may what a guest may, too; the owner all that any of them may.
  roles = {
    customer = { "self:*", "account:self" },
    support = { "account:read", "user:*", "coupon:read", "order:*", "payment:*", "gift_card:*",
      "notification:read", "stock:read", "promotion:read" },
    catalogue = { "product:*", "stock:*", "category:*", "coupon:*", "promotion:read" },
    rule_author = { "rules:read", "rules:write", "rules:test", "promotion:*" },
    rule_approver = { "rules:*", "promotion:*" },
    operator = { "ops:*", "notification:*", "events:*", "stock:read", "order:read", "payment:read", "rules:read",
      "rules:rollback", "promotion:read" },
  },

  -- Which services each service calls. Its token for one of them carries every internal operation of that one; it gets
  -- no token for the rest. Only what is called is listed: so order alone can move money. (Public routes need no token.)
  calls = {
    auth = {},
    user = { "auth" },
    product = {},
    cart = { "product", "order", "user" },
    order = { "product", "cart", "payment" },
    payment = {},
    notification = {},
    rules = { "order", "cart" },
    storefront = {},
  },
}
