-- handlers: one function per route of auth.

local access = require "platform.access"
local keys = require "services.auth.keys"
local passwords = require "services.auth.passwords"
local problem = require "lib.problem"
local request = require "platform.request"
local session = require "platform.session"
local store = require "services.auth.store"

local M = {}

local ACCESS_S = 600
local SERVICE_S = 1200 -- renewed at a third of it: with auth away, the calls between services go on for ten minutes
local SESSION_MS = 30 * 86400000
local WINDOW_MS, LOCK_S, LOCK_MAX_S = 900000, 30, 900
local GRACE_MS = 10000 -- two tabs whose access tokens ran out come back together
local NO_STORE = { ["Cache-Control"] = "no-store" }

-- ---- sign-in ------------------------------------------------------------------------------------------------------

local function limit(name, otherwise)
  return tonumber(fastr.setting("auth." .. name, otherwise))
end

-- The token that follows another: only who has that one and what its row keeps can make it.
local function next_of(token, salt)
  return fastr.crypto.base64url(fastr.crypto.unhex(fastr.crypto.hmac(token, salt)))
end

local function pair(account, roles, session_id, refresh_token)
  local claims = { aud = session.audience, sub = account, sid = session_id, roles = fastr.json.array(roles) }
  return 200, { access_token = keys.sign(claims, ACCESS_S), refresh_token = refresh_token, token_type = "Bearer",
    expires_in = ACCESS_S }, NO_STORE
end

local function fail(account_subject, address_subject)
  store.add_failure(account_subject, limit("failures_per_account", "10"), WINDOW_MS, LOCK_S, LOCK_MAX_S)
  store.add_failure(address_subject, limit("failures_per_address", "200"), WINDOW_MS, LOCK_S, LOCK_MAX_S)
  return nil, problem.new("credentials_wrong")
end

local function open_session(account)
  local id = fastr.crypto.uuid7()
  local refresh_token = store.transaction(function(tx)
    store.add_session(tx, id, account.id, SESSION_MS)
    local token = fastr.crypto.base64url(fastr.crypto.random(32))
    store.add_refresh_token(tx, fastr.crypto.sha256(token), id)
    return token
  end)
  return pair(account.id, account.roles, id, refresh_token)
end

-- Wrong passwords and unknown accounts answer alike, after the same work.
local function with_password(ctx)
  local email = ctx.body.email:lower()
  local by_account, by_address = "account:" .. email, "address:" .. request.client(ctx.request)
  local seconds = store.locked_seconds(by_account, by_address)
  if seconds > 0 then return nil, problem.new("account_locked", { retry_after = seconds }) end
  local account = store.account_by_email(email)
  if not passwords.fits(ctx.body.password, account and account.password) then return fail(by_account, by_address) end
  store.clear_failures(by_account)
  if passwords.is_weak(account.password) then store.set_password(account.id, passwords.hash(ctx.body.password)) end
  return open_session(account)
end

-- Is the second use of a token that of another tab, which has not heard of the first? Not when somebody has already
-- gone on with the one that followed.
local function is_another_tab(tx, token, found)
  return found.is_recent and found.salt ~= nil
    and not store.is_used(tx, fastr.crypto.sha256(next_of(token, found.salt)))
end

local function use(tx, token, session_id)
  local salt = fastr.crypto.hex(fastr.crypto.random(16))
  store.use_refresh_token(tx, fastr.crypto.sha256(token), salt)
  store.add_refresh_token(tx, fastr.crypto.sha256(next_of(token, salt)), session_id)
  return salt
end

-- Within the transaction; what a reuse revokes must be committed, so refusals are returned as {wrong = code}.
local function rotate(tx, token)
  local found = store.refresh_token(tx, fastr.crypto.sha256(token), GRACE_MS)
  if not found or not found.is_live then return { wrong = "refresh_token_invalid" } end
  if found.is_used and not is_another_tab(tx, token, found) then
    store.revoke_session(tx, found.session)
    return { wrong = "refresh_token_reused", account = found.account }
  end
  local salt = found.is_used and found.salt or use(tx, token, found.session)
  return { account = found.account, roles = found.roles, session = found.session, token = next_of(token, salt) }
end

local function with_refresh_token(ctx)
  local next_one = store.transaction(function(tx) return rotate(tx, ctx.body.refresh_token) end)
  if next_one.wrong then
    if next_one.account then fastr.log.warn("a refresh token was used twice", { account = next_one.account }) end
    return nil, problem.new(next_one.wrong)
  end
  return pair(next_one.account, next_one.roles, next_one.session, next_one.token)
end

function M.sign_in(ctx)
  if ctx.body.refresh_token then return with_refresh_token(ctx) end
  return with_password(ctx)
end

function M.sign_out(ctx)
  store.transaction(function(tx)
    if ctx.query.everywhere then
      store.revoke_all(tx, ctx.principal.id)
    elseif ctx.principal.session then
      store.revoke_session(tx, ctx.principal.session)
    end
    return true
  end)
  return 204
end

-- ---- keys and services --------------------------------------------------------------------------------------------

function M.jwks()
  return 200, keys.jwks(), { ["Cache-Control"] = "public, max-age=300" }
end

-- The secret is compared with the host's own copy of it: no table, so that services start while PostgreSQL is away.
function M.service_token(ctx)
  local wanted = ctx.body
  local secret = wanted.client_id:find("^%l+$") and fastr.file.read("secrets/service_" .. wanted.client_id)
  if not secret or not fastr.crypto.equal(secret, wanted.client_secret) then
    return nil, problem.new("client_credentials_wrong")
  end
  if not access.may_call(wanted.client_id, wanted.audience) then
    return nil, problem.new("forbidden", { detail = wanted.client_id .. " has no business with " .. wanted.audience
      .. "; scripts/shop.lua lists who calls whom." })
  end
  local claims = { kind = "service", sub = wanted.client_id, aud = wanted.audience, scope = wanted.audience .. ":*" }
  return 200, { access_token = keys.sign(claims, SERVICE_S), token_type = "Bearer", expires_in = SERVICE_S }, NO_STORE
end

-- ---- accounts -----------------------------------------------------------------------------------------------------

-- Nil if the password is that of the account. This is a sign-in by another door, so failures count here too.
local function not_the_same(email, password, account)
  local subject = "account:" .. email
  local seconds = store.locked_seconds(subject, subject)
  if seconds > 0 then return problem.new("account_locked", { retry_after = seconds }) end
  if passwords.fits(password, account.password) then return nil end
  store.add_failure(subject, limit("failures_per_account", "10"), WINDOW_MS, LOCK_S, LOCK_MAX_S)
  return problem.new("email_taken")
end

-- One and the same answer for a registration that is repeated: the account, if the password is the same.
function M.register(ctx)
  local email = ctx.body.email:lower()
  local known = store.account_by_email(email)
  if not known then
    local id = fastr.crypto.uuid7()
    if store.add_account(id, email, passwords.hash(ctx.body.password), { "customer" }) then
      return 200, { id = id, email = email }
    end
    known = store.account_by_email(email)
  end
  local wrong = not_the_same(email, ctx.body.password, known)
  if wrong then return nil, wrong end
  return 200, { id = known.id, email = email }
end

function M.find(ctx)
  local account = store.account_by_email(ctx.query.email:lower())
  local items = fastr.json.array {}
  if account then
    items[1] = { id = account.id, email = account.email, roles = fastr.json.array(account.roles),
      created_at = account.created_at }
  end
  return 200, { items = items }
end

function M.roles(ctx)
  local account = store.account(ctx.params.id)
  if not account then return nil, problem.new("account_not_found") end
  return 200, { roles = fastr.json.array(account.roles) }
end

local function keeps_an_owner(owners, id, roles)
  for _, role in ipairs(roles) do
    if role == "owner" then return true end
  end
  for _, owner in ipairs(owners) do
    if owner.id ~= id then return true end
  end
  return #owners == 0
end

function M.set_roles(ctx)
  local roles, id = fastr.json.array(ctx.body.roles), ctx.params.id:lower()
  if not keeps_an_owner(store.owners_for_update(ctx.tx), id, roles) then
    return nil, problem.new("conflict", { detail = "This is the last owner." })
  end
  if not store.set_roles(ctx.tx, id, roles) then return nil, problem.new("account_not_found") end
  return 200, { roles = roles }
end

return M
