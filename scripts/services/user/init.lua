-- user: the people of the shop: registration, profile, address book.

local shape = require "lib.shape"
local address = require "lib.address"

local id = shape.text { format = "uuid" }
local name = shape.text { min = 1, max = 120, doc = "what to call them" }
local time = shape.text { format = "date-time" }

local user = shape.object({
  id = id, email = shape.text {}, name = name, version = shape.integer { doc = "the ETag" }, created_at = time,
}, { name = "User" })

local entry = shape.object({
  id = id, address = address.shape, default = shape.boolean { doc = "the one to suggest first" },
  version = shape.integer { doc = "the ETag" },
}, { name = "AddressEntry" })

local group = shape.nullable(shape.text { min = 1, max = 40, format = "token" })

local told = shape.object { user = id, email = shape.text {}, name = name, version = shape.integer {} }

return {
  name = "user",
  doc = "Registration, profile and addresses.",
  routes = {
    { method = "POST", path = "/users", handler = "register", scope = "user:register", idempotency = "saga",
      sensitive = true, replay = "registered", fingerprint = "registration", credentials = false,
      doc = "Registers: an account and a profile. Repeating one that broke off finishes it",
      body = shape.object { email = shape.text { format = "email", max = 254 },
        password = shape.text { min = 8, max = 200, doc = "at least 8 characters" }, name = name },
      replies = { [201] = user } },

    { method = "GET", path = "/users/me", handler = "me", scope = "self:read", doc = "One's own profile",
      replies = { [200] = user } },

    { method = "PATCH", path = "/users/me", handler = "change_me", scope = "self:write", idempotency = "transaction",
      doc = "Changes the profile; a stale If-Match is refused", headers = { "If-Match" },
      body = shape.object { name = shape.optional(name) },
      replies = { [200] = user } },

    { method = "GET", path = "/users/me/addresses", handler = "addresses", scope = "self:read",
      doc = "The address book, oldest first", replies = { [200] = shape.object { items = shape.list(entry),
        next_cursor = shape.nullable(shape.text {}, { doc = "null: this is all" }) } } },

    { method = "POST", path = "/users/me/addresses", handler = "add_address", scope = "self:write",
      idempotency = "transaction", doc = "Adds an address",
      body = shape.object { address = address.shape, default = shape.optional(shape.boolean) },
      replies = { [201] = entry } },

    { method = "PATCH", path = "/users/me/addresses/{id}", handler = "change_address", scope = "self:write",
      idempotency = "transaction", params = { id = id }, doc = "Replaces an address, or makes it the default",
      headers = { "If-Match" },
      body = shape.object { address = shape.optional(address.shape), default = shape.optional(shape.boolean) },
      replies = { [200] = entry } },

    { method = "DELETE", path = "/users/me/addresses/{id}", handler = "delete_address", scope = "self:write",
      idempotency = "transaction", params = { id = id }, doc = "Deletes an address; repeating it is no error",
      replies = { [204] = shape.any {} } },

    { method = "PUT", path = "/users/{id}/group", handler = "set_group", scope = "user:write",
      idempotency = "transaction", params = { id = id },
      doc = "Staff: puts a customer into a group that prices may know, as wholesale; null takes him out",
      body = shape.object { group = group }, replies = { [200] = shape.object { user = id, group = group } } },

    { internal = true, handler = "customer_facts", scope = "user:facts", doc = "What rules may know of a customer",
      body = shape.object { user = id, fresh = shape.optional(shape.boolean { doc = "from the primary" }) },
      replies = { [200] = shape.object { group = group } } },

    { internal = true, handler = "contact", scope = "user:contact", doc = "E-mail and name, for mails",
      body = shape.object { user = id },
      replies = { [200] = shape.object { email = shape.text {}, name = name } } },
  },
  produces = {
    user = { doc = "People of the shop", key = "user id", events = {
      ["user.registered.v1"] = told, ["user.changed.v1"] = told } },
  },
}
