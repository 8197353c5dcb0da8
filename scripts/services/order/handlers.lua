-- handlers: one function per route of the order service.

local access = require "platform.access"
local database = require "platform.db"
local explain = require "services.order.explain"
local problem = require "lib.problem"
local place = require "services.order.place"
local returns = require "services.order.returns"
local session = require "platform.session"
local store = require "services.order.store"
local transition = require "services.order.transition"
local view = require "services.order.view"
local work = require "services.order.work"

local M = {}

local array, null = fastr.json.array, fastr.json.null

local function db()
  return database.open("order")
end

-- ---- who may see it -----------------------------------------------------------------------------------------------

local function is_staff(principal)
  return principal.kind == "staff" and access.check(principal, "order:manage") == true
end

-- The guest's token, from the header, or from the cookie of one of our own pages; nil if neither is there.
local function token_of(req)
  return req:header("fastr-order") or session.cookie_counts(req) and session.cookie(req, "fastr_order", req.path) or nil
end

local function may_see(ctx, order)
  if is_staff(ctx.principal) then return true end
  if order.customer and ctx.principal.kind == "customer" and order.customer == ctx.principal.id then return true end
  local token = token_of(ctx.request)
  return token ~= nil and fastr.crypto.equal(fastr.crypto.sha256(token), order.token_hash)
end

-- The order of the path, or nil and the same problem whether it does not exist or is somebody else's.
local function own_order(ctx)
  local order = store.load(db(), ctx.params.id)
  if order and may_see(ctx, order) then return order end
  return nil, problem.new("order_not_found")
end

-- ---- reading ------------------------------------------------------------------------------------------------------

-- Staff may ask for every rule that was looked at, not only those that applied.
function M.show(ctx)
  local order, failed = own_order(ctx)
  if not order then return nil, failed end
  if ctx.query.explain ~= "full" then return 200, view.order(order) end
  if not is_staff(ctx.principal) then
    return nil, problem.new("forbidden", { detail = "explain=full needs the scope order:manage" })
  end
  order.trace, failed = explain.trace(db(), order)
  if not order.trace then return nil, failed end
  return 200, view.order(order)
end

function M.list(ctx)
  local query, customer = ctx.query
  if is_staff(ctx.principal) then
    customer = query.customer
  elseif ctx.principal.kind == "customer" then
    customer = ctx.principal.id
  else
    return nil, problem.new("unauthenticated")
  end
  local size = query.limit or 20
  local rows = store.list(db(), customer, query.status, query.cursor, size + 1)
  local more = rows[size + 1] ~= nil
  rows[size + 1] = nil
  local items = {}
  for i, row in ipairs(rows) do items[i] = view.summary(row) end
  return 200, { items = array(items), next_cursor = more and rows[size].id or null }
end

-- What has happened since the client was last told, then what happens. The stream is opened first and the history is
-- read behind it, so that a change between the two is in one of them.
function M.watch(ctx)
  local order, failed = own_order(ctx)
  if not order then return nil, failed end
  local stream, _, code = fastr.stream.open("order:" .. order.id)
  if not stream then return nil, problem.of_error(code) end
  local last, past = tonumber(ctx.request:header("last-event-id") or "") or -1, {}
  for _, entry in ipairs(store.load(db(), order.id).history) do
    if entry.sequence > last then past[#past + 1] = view.stream_event(entry) end
  end
  return 200, stream:replay(past)
end

-- ---- changing -----------------------------------------------------------------------------------------------------

local function who(ctx)
  return { kind = is_staff(ctx.principal) and "staff" or "customer", id = ctx.principal.id }
end

-- Some units alone: their stock and money go back by the id of this request's saga, as for a return.
local function cancel_units(ctx, order)
  if not ctx.request:header("idempotency-key") then
    return nil, problem.new("idempotency_key_required", { detail = "Units are cancelled with an Idempotency-Key" })
  end
  local ok, failed = db():transaction(function(tx)
    return returns.cancel(tx, store.lock(tx, order.id), ctx.saga, ctx.body, who(ctx))
  end)
  if not ok then return nil, failed end
  returns.finish(db(), ctx.saga)
  work.resume(db(), order.id)
  return 200, view.order(store.load(db(), order.id))
end

-- Cancels in one transaction; what must be given back is given back at once, or by the resumer.
function M.cancel(ctx)
  local order, failed = own_order(ctx)
  if not order then return nil, failed end
  if ctx.body and ctx.body.lines then return cancel_units(ctx, order) end
  if order.status ~= "cancelled" then
    local reason = ctx.body and ctx.body.reason or "cancelled by " .. who(ctx).kind
    local ok
    ok, failed = db():transaction(function(tx)
      local locked = store.lock(tx, order.id)
      if locked.status == "cancelled" then return true end
      return work.cancel(tx, locked, who(ctx), reason)
    end)
    if not ok then return nil, failed end
  end
  work.resume(db(), order.id)
  return 200, view.order(store.load(db(), order.id))
end

-- Staff's word on an order that is placed and not paid: its money is taken, or everything is given back.
function M.review(ctx)
  local body = ctx.body
  local ok, failed = db():transaction(function(tx)
    local order = store.lock(tx, ctx.params.id)
    if not order then return nil, problem.new("order_not_found") end
    return work.review(tx, order, body.accept, who(ctx), body.reason)
  end)
  if not ok then return nil, failed end
  work.resume(db(), ctx.params.id)
  local order = store.load(db(), ctx.params.id)
  return order.work and 202 or 200, view.order(order)
end

-- The stored reply, for who may still see the order: a guest's key does not say who sends it, his token does.
function M.shown_again(ctx)
  local order, failed = own_order(ctx)
  if not order then return nil, failed end
  return ctx.stored.status, ctx.stored.body, ctx.stored.headers
end

function M.ship(ctx)
  local order = store.lock(ctx.tx, ctx.params.id)
  if not order then return nil, problem.new("order_not_found") end
  local body = ctx.body
  local shipment = { order = order.id, status = body.status, carrier = body.carrier, tracking = body.tracking }
  local ok, failed = transition.move(ctx.tx, order, body.status, { who = who(ctx), extra = { shipment = {
    carrier = body.carrier, tracking = body.tracking } } })
  if not ok then return nil, failed end
  store.ship(ctx.tx, shipment, fastr.time.now())
  return 200, view.order(store.load_in(ctx.tx, order.id))
end

-- The return is the saga's: stock and money go back once for its id, however often it is run.
function M.take_back(ctx)
  local order, failed = own_order(ctx)
  if not order then return nil, failed end
  local ok
  ok, failed = db():transaction(function(tx)
    return returns.accept(tx, store.lock(tx, order.id), ctx.saga, ctx.body, who(ctx))
  end)
  if not ok then return nil, failed end
  returns.finish(db(), ctx.saga)
  return 201, view.order(store.load(db(), order.id))
end

-- ---- for the other services ---------------------------------------------------------------------------------------

function M.place(ctx)
  local answer, failed = place.place(db(), ctx.body)
  if not answer then return nil, failed end
  return 200, answer
end

function M.of_cart(ctx)
  local found = store.of_cart(db(), ctx.body.cart, fastr.time.now())
  if not found then return 200, { in_flight = false } end
  if found.status == "placing" then return 200, { in_flight = found.work ~= nil } end
  local answer = place.answer(db(), found.id, place.bought(found))
  answer.in_flight = false
  return 200, answer
end

function M.customer_facts(ctx)
  return 200, { orders_placed = store.orders_placed(db(), ctx.body.customer, ctx.body.fresh) }
end

function M.recorded(ctx)
  local items = store.recorded(db(), ctx.body)
  items.affected = nil
  return 200, { items = array(items) }
end

function M.recorded_count(ctx)
  return 200, { count = store.count_recorded(db(), ctx.body.since, ctx.body.pack) }
end

return M
