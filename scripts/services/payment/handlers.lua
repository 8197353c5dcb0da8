-- handlers: one function per route of payment.

local cards = require "services.payment.cards"
local database = require "platform.db"
local problem = require "lib.problem"
local vault = require "services.payment.vault"

local M = {}

local array = fastr.json.array

local function db()
  return database.open("payment")
end

-- ---- payment methods -----------------------------------------------------------------------------------------------

local PATH = "/api/v1/payment-methods/"

-- Whose methods these are; nil: a guest's.
local function owner_of(ctx)
  return ctx.principal.id
end

local function view(row)
  return { id = row.id, brand = row.brand, last4 = row.last4, exp_month = row.exp_month, exp_year = row.exp_year,
    created_at = row.created_at, expires_at = row.expires_at }
end

function M.save_method(ctx)
  local card, errors = cards.check(ctx.body.card, fastr.time.now())
  if not card then
    return nil, problem.new("card_invalid", { detail = errors[1].path .. " " .. errors[1].problem,
      errors = array(errors) })
  end
  local row, is_new = vault.save(ctx.tx, card, owner_of(ctx))
  if not row then return nil, is_new end
  return is_new and 201 or 200, view(row), { Location = PATH .. row.id }
end

-- The reply of a key that is sent again: beside a card no body is stored, so the method is read again.
function M.saved_method(ctx)
  local stored = ctx.stored
  local row, wrong = vault.method_in(ctx.tx, stored.headers.Location:sub(#PATH + 1), owner_of(ctx))
  if not row then return nil, wrong end
  return stored.status, view(row), stored.headers
end

function M.list_methods(ctx)
  if not owner_of(ctx) then return nil, problem.new("unauthenticated") end
  local items = array {}
  for i, row in ipairs(vault.list(db(), owner_of(ctx))) do items[i] = view(row) end
  return 200, { items = items }
end

function M.show_method(ctx)
  local row, wrong = vault.method(db(), ctx.params.id, owner_of(ctx))
  if not row then return nil, wrong end
  return 200, view(row)
end

function M.delete_method(ctx)
  local ok, wrong = vault.delete(ctx.tx, ctx.params.id, owner_of(ctx))
  if not ok then return nil, wrong end
  return 204
end

return M
