-- handlers: one function per route of user.

local problem = require "lib.problem"
local request = require "platform.request"
local store = require "services.user.store"

local M = {}

local ADDRESSES_MAX = 50 -- what one page shows; a customer has a handful

local function reply(status, user)
  return status, user, { ETag = request.etag(user.version) }
end

-- ---- registration -------------------------------------------------------------------------------------------------

-- Two steps, each safe to repeat: the account in auth (found again by the same password), then the profile. What broke
-- off between them is finished by sending the same again. Who has both already is told that the address is taken.
function M.register(ctx)
  local body = ctx.body
  local account, wrong = fastr.call("auth", "register", { email = body.email, password = body.password })
  if not account then return nil, wrong end
  local user = store.add_user(account.id, account.email, body.name)
  if not user then return nil, problem.new("email_taken") end
  return reply(201, user)
end

-- Two requests of one key must agree in this. The password is left out: a fast hash of it is not to be kept.
function M.registration(ctx)
  return { email = ctx.body.email, name = ctx.body.name }
end

-- The reply of a registration whose key is sent again: no body is stored beside a password, so it is read again. auth
-- compares the password once more.
function M.registered(ctx)
  local account, wrong = fastr.call("auth", "register", { email = ctx.body.email, password = ctx.body.password })
  if not account then return nil, wrong end
  local user = store.latest_user(account.id)
  if not user then return nil, problem.new("unavailable", { retry_after = 1 }) end
  return reply(ctx.stored.status, user)
end

-- ---- profile ------------------------------------------------------------------------------------------------------

-- Staff made by other means have an account and no profile.
local function missing()
  return nil, problem.new("not_found", { detail = "This account has no profile." })
end

function M.me(ctx)
  local user = store.user(ctx.principal.id)
  if not user then return missing() end
  return reply(200, user)
end

function M.change_me(ctx)
  local user = store.user_for_update(ctx.tx, ctx.principal.id)
  if not user then return missing() end
  local ok, wrong = request.matches(ctx, user.version)
  if not ok then return nil, wrong end
  if ctx.body.name and ctx.body.name ~= user.name then user = store.change_user(ctx.tx, user.id, ctx.body.name) end
  return reply(200, user)
end

function M.contact(ctx)
  local user = store.user(ctx.body.user)
  if not user then return missing() end
  return 200, { email = user.email, name = user.name }
end

-- Staff put a customer into a group, which prices may know; null takes him out.
function M.set_group(ctx)
  local group = ctx.body.group
  if group == fastr.json.null then group = nil end
  if not store.set_group(ctx.tx, ctx.params.id, group) then
    return nil, problem.new("account_not_found", { detail = "There is no user " .. ctx.params.id })
  end
  return 200, { user = ctx.params.id, group = ctx.body.group }
end

-- Who has an account and no profile is in no group.
function M.customer_facts(ctx)
  return 200, { group = store.group(ctx.body.user, ctx.body.fresh) or fastr.json.null }
end

-- ---- addresses ----------------------------------------------------------------------------------------------------

local function view(row)
  return { id = row.id, address = row.address, default = row.is_default, version = row.version }
end

function M.addresses(ctx)
  local items = fastr.json.array {}
  for i, row in ipairs(store.addresses(ctx.principal.id)) do items[i] = view(row) end
  return 200, { items = items, next_cursor = fastr.json.null }
end

-- The user's row is the lock of the address book: limits and the one default hold under concurrency.
function M.add_address(ctx)
  local owner = ctx.principal.id
  if not store.user_for_update(ctx.tx, owner) then return missing() end
  local count = store.count_addresses(ctx.tx, owner)
  if count >= ADDRESSES_MAX then return nil, problem.new("address_limit") end
  local is_default = ctx.body.default or count == 0
  if is_default then store.clear_default(ctx.tx, owner) end
  return reply(201, view(store.add_address(ctx.tx, owner, ctx.body.address, is_default)))
end

function M.change_address(ctx)
  local owner, body = ctx.principal.id, ctx.body
  if not store.user_for_update(ctx.tx, owner) then return missing() end
  local row = store.address_for_update(ctx.tx, owner, ctx.params.id)
  if not row then return nil, problem.new("address_not_found") end
  local ok, wrong = request.matches(ctx, row.version)
  if not ok then return nil, wrong end
  local is_default = row.is_default
  if body.default ~= nil then is_default = body.default end
  if is_default and not row.is_default then store.clear_default(ctx.tx, owner) end
  return reply(200, view(store.change_address(ctx.tx, row.id, body.address or row.address, is_default)))
end

function M.delete_address(ctx)
  store.delete_address(ctx.tx, ctx.principal.id, ctx.params.id)
  return 204
end

return M
