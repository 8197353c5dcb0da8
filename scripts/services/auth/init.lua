-- auth: who somebody is. Accounts, sign-in, tokens of people and of services, roles, and the keys that sign.

local shape = require "lib.shape"
local access = require "platform.access"

local email = shape.text { format = "email", max = 254 }
local password = shape.text { min = 8, max = 200, doc = "at least 8 characters" }
local account_id = shape.text { format = "uuid" }

local roles = access.roles()
local role = shape.enum(roles)

local tokens = shape.object({
  access_token = shape.text { doc = "for Authorization: Bearer" },
  refresh_token = shape.text { doc = "works once; gives the next pair. Sent again within ten seconds, as by "
    .. "another tab, it gives the same next one" },
  token_type = shape.enum { "Bearer" },
  expires_in = shape.integer { doc = "seconds that the access token lives" },
}, { name = "Tokens" })

local account = shape.object({
  id = account_id, email = shape.text {}, roles = shape.list(role), created_at = shape.text { format = "date-time" },
}, { name = "Account" })

return {
  name = "auth",
  doc = "Accounts, sign-in, tokens and roles.",
  routes = {
    { method = "POST", path = "/auth/tokens", handler = "sign_in", scope = "public", credentials = false,
      sensitive = true, doc = "Signs in with e-mail and password, or goes on with a refresh token",
      body = shape.one_of {
        shape.object { email = email, password = shape.text { min = 1, max = 200 } },
        shape.object { refresh_token = shape.text { min = 1, max = 200 } },
      },
      replies = { [200] = tokens } },

    { method = "DELETE", path = "/auth/tokens", handler = "sign_out", scope = "account:self",
      doc = "Signs out: the refresh tokens of this session, or of all, work no longer",
      query = { everywhere = shape.optional(shape.boolean { doc = "all sessions of the account" }) },
      replies = { [204] = shape.any {} } },

    { method = "GET", path = "/auth/jwks", handler = "jwks", scope = "public", credentials = false,
      doc = "The public keys that verify tokens (RFC 7517)",
      replies = { [200] = shape.object { keys = shape.list(shape.map(shape.text {})) } } },

    { method = "POST", path = "/auth/service-tokens", handler = "service_token", scope = "public", credentials = false,
      sensitive = true, doc = "A short token with which one service may call another (client credentials)",
      body = shape.object {
        client_id = shape.text { min = 1, max = 40, format = "token" },
        client_secret = shape.text { min = 1, max = 200 },
        audience = shape.text { min = 1, max = 40, format = "token" },
      },
      replies = { [200] = shape.object { access_token = shape.text {}, token_type = shape.enum { "Bearer" },
        expires_in = shape.integer {} } } },

    { method = "GET", path = "/auth/accounts", handler = "find", scope = "account:read",
      doc = "The account of an e-mail address", query = { email = email },
      replies = { [200] = shape.object { items = shape.list(account) } } },

    { method = "GET", path = "/auth/accounts/{id}/roles", handler = "roles", scope = "account:read",
      doc = "The roles of an account", params = { id = account_id },
      replies = { [200] = shape.object { roles = shape.list(role) } } },

    { method = "PUT", path = "/auth/accounts/{id}/roles", handler = "set_roles", scope = "account:write",
      doc = "Gives an account exactly these roles; tokens out there keep the old ones for ten minutes at most",
      idempotency = "transaction", params = { id = account_id },
      body = shape.object { roles = shape.list(role, { max = #roles }) },
      replies = { [200] = shape.object { roles = shape.list(role) } } },

    { internal = true, handler = "register", scope = "auth:register", sensitive = true,
      doc = "Makes an account, or finds the one with this e-mail and this very password",
      body = shape.object { email = email, password = password },
      replies = { [200] = shape.object { id = account_id, email = shape.text {} } } },
  },
  schedules = {
    { name = "owner", every_ms = 2000, job = "ensure_owner", one = true,
      doc = "Makes the first owner from admin.email and the secret admin_password" },
    { name = "keys", every_ms = 3600000, job = "rotate_keys", one = true, doc = "A new signing key every 30 days" },
    { name = "sweep", every_ms = 3600000, job = "sweep", one = true, doc = "Removes old sessions and failures" },
  },
}
