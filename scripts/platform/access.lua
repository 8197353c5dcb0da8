-- access: who may do what. Roles give scopes; a route names the one scope it needs. The tables are the shop's
-- (scripts/shop.lua). Leans on lib/problem only.

local problem = require "lib.problem"
local shop = require "shop"

local M = {}

local function set_of(...)
  local set = {}
  for _, list in ipairs { ... } do
    for _, scope in ipairs(list) do set[scope] = true end
  end
  return set
end

local GUEST_SET = set_of(shop.guest)

-- The owner has every role's scopes.
local function owner_scopes()
  local set = set_of(shop.guest)
  for _, scopes in pairs(shop.roles) do
    for _, scope in ipairs(scopes) do set[scope] = true end
  end
  set["owner:*"], set["account:*"] = true, true
  return set
end

local sets = {} -- "customer,support" -> set; roles are few, so this stays small

-- The set of scopes of a list of roles (a guest's included). Unknown roles give nothing.
function M.scopes(roles)
  local key = table.concat(roles, ",")
  if sets[key] then return sets[key] end
  local set = set_of(shop.guest)
  for _, role in ipairs(roles) do
    if role == "owner" then set = owner_scopes() end
    for _, scope in ipairs(shop.roles[role] or {}) do set[scope] = true end
  end
  sets[key] = set
  return set
end

function M.guest_scopes()
  return GUEST_SET
end

-- May `caller` get a token for `target`? Both are names of services. A service may always call itself.
function M.may_call(caller, target)
  if caller == target then return shop.calls[caller] ~= nil end
  for _, name in ipairs(shop.calls[caller] or {}) do
    if name == target then return true end
  end
  return false
end

-- The services that `caller` calls, in the order of the table.
function M.callees(caller)
  return shop.calls[caller] or {}
end

-- All roles that an account can be given.
function M.roles()
  local list = { "owner" }
  for role in pairs(shop.roles) do list[#list + 1] = role end
  table.sort(list)
  return list
end

-- Is this role one of the staff's?
function M.is_staff(role)
  return role == "owner" or (shop.roles[role] ~= nil and role ~= "customer")
end

-- Is the scope covered by a set of grants?
function M.covers(set, scope)
  return set[scope] or set[scope:match("^[^:]*") .. ":*"] or false
end

-- Does anybody's token carry this scope (the owner's carries all that a role gives)? For the check of declarations: a
-- route whose scope nobody has could never be called.
function M.is_granted(scope)
  return scope == "public" or M.covers(owner_scopes(), scope)
end

-- true if the principal may; else nil and the problem: 401 for a guest, 403 for anybody else.
function M.check(principal, scope)
  if scope == "public" or M.covers(principal.scopes, scope) then return true end
  if principal.kind == "guest" then return nil, problem.new("unauthenticated", { scope = scope }) end
  return nil, problem.new("forbidden", { detail = "This needs the scope " .. scope .. ".", scope = scope })
end

return M
