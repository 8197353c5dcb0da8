-- idempotency: an action that a client has named with an Idempotency-Key happens once, however often he asks.
-- By the route's declaration; handlers do not know. Leans on platform/db; rows are in idempotency_keys.
--
--   transaction   try the key's advisory lock -- taken for half a second: 409 --> row there? -- yes: replay
--                                                                                   |no
--                                                                        work + row + reply, one commit
--   saga          row(running, saga id, lease) committed first --> handler, steps idempotent by the id --> row(done)
--                  ^ same key: 409 while the lease lasts; after a crash the handler runs again with the same saga id
--
-- The row of a saga names the process that runs it (fastr.host.life). Where that is known to have ended, nobody waits
-- for the lease; where it cannot be known, as on another host, the lease decides. Two who find it so take turns at the
-- row's lock: the first writes his own name, and the second finds a run that lives.
--
-- What is stored: replies (a 402 too). What is not: refusals (nothing happened, so the client may correct and send the
-- same key again), and for sensitive routes neither body nor headers. The fingerprint is an HMAC: a plain hash of a
-- body with a card number would tell the number.

local json = fastr.json
local database = require "platform.db"
local problem = require "lib.problem"
local request = require "platform.request"
local session = require "platform.session"
local url = require "lib.url"

local M = {}

local KEEP_MS = 72 * 3600 * 1000
local MARGIN_MS = 5000 -- past a route's deadline its run cannot be alive
local DEFAULT_TIMEOUT_MS = 10000
local KEPT_HEADERS = { etag = true, location = true, ["content-type"] = true }

local RUNNING = { retry_after = 1 }

-- Before 409 is said: most transactions are shorter, and the lock of a process that was just killed is gone by then, so
-- that the balancer's repetition finds it free. No connection is held meanwhile.
local PAUSES_MS = { 20, 60, 150, 300 }

-- ---- what names an action -----------------------------------------------------------------------------------------

local function key_of(ctx, required)
  local key = ctx.request:header("idempotency-key")
  if not key or key == "" then
    if required then return nil, problem.new("idempotency_key_required") end
    return nil
  end
  if #key > 255 or key:find("[^\33-\126]") then return nil, problem.new("idempotency_key_invalid") end
  return key
end

-- A guest is known by the capability in the path; where there is none, by his address, so that two guests who both
-- thought of the key "1" do not get each other's cart.
local function principal_of(ctx)
  local who = ctx.principal
  if who.kind ~= "guest" then return who.kind .. ":" .. who.id end
  if next(ctx.params) ~= nil then return "guest" end
  return "guest@" .. request.client(ctx.request)
end

local function fingerprint(service, route, ctx)
  local body = ctx.body
  if route.fingerprint then body = service.handlers[route.fingerprint](ctx) end
  local text = table.concat({ ctx.request.method, ctx.request.path, url.query(ctx.query),
    body ~= nil and json.canonical(body) or "" }, "\n")
  return fastr.crypto.hmac(session.secret(service.name), text)
end

local function name_action(service, route, ctx, key)
  return { service = service.name, principal = principal_of(ctx), key = key,
    endpoint = ctx.request.method .. " " .. ctx.request.path, fingerprint = fingerprint(service, route, ctx) }
end

-- ---- rows ---------------------------------------------------------------------------------------------------------

local SELECT = "select fingerprint, saga, state, status, headers, body, worker, lease_until > $4 as alive"
  .. " from idempotency_keys"
  .. " where principal = $1 and endpoint = $2 and key = $3"
local WHERE = " where principal = $1 and endpoint = $2 and key = $3"

local function find(tx, action, suffix)
  local row = tx:query(SELECT .. (suffix or ""), action.principal, action.endpoint, action.key, fastr.time.now())[1]
  if row and row.alive and row.worker then row.alive = not fastr.host.is_over(row.worker) end
  return row
end

local function stored_headers(headers)
  local kept = {}
  for name, value in pairs(headers or {}) do
    if KEPT_HEADERS[name:lower()] then kept[name] = value end
  end
  return fastr.pg.json(kept)
end

local function stored_body(route, body)
  if route.sensitive or body == nil then return nil end
  return type(body) == "table" and json.encode(body) or body
end

-- The stored reply of `row` as status, body, headers; the route's replay function may rebuild what is not stored.
local function replay(service, route, ctx, row)
  local headers = { ["Content-Type"] = row.body and "application/json" or nil }
  for name, value in pairs(row.headers or {}) do headers[name] = value end
  local status, body = row.status, row.body
  if route.replay then
    ctx.saga, ctx.stored = row.saga, { status = status, headers = headers, body = body and json.decode(body) }
    status, body, headers = service.handlers[route.replay](ctx)
    if not status then return nil, body end
  end
  headers = headers or {}
  headers["Idempotent-Replayed"] = "true"
  return status, body, headers
end

-- What a row that is there already means for this request: true and the replay's results, true and nil, problem, or
-- false: a run that died, to be taken over.
local function settle(service, route, ctx, action, row)
  if row.fingerprint ~= action.fingerprint then return true, nil, problem.new("idempotency_mismatch") end
  if row.state == "done" then return true, replay(service, route, ctx, row) end
  if row.alive then return true, nil, problem.new("idempotency_running", RUNNING) end
  return false
end

-- ---- one transaction ----------------------------------------------------------------------------------------------

local function lock(tx, action)
  local name = table.concat({ action.service, action.principal, action.endpoint, action.key }, "\n")
  return tx:query("select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as locked", name)[1].locked
end

-- false if another request stored the same key meanwhile.
local function insert_done(tx, route, action, status, body, headers)
  local now = fastr.time.now()
  local rows = tx:query("insert into idempotency_keys (principal, endpoint, key, fingerprint, state, status, headers,"
    .. " body, created_at, done_at) values ($1, $2, $3, $4, 'done', $5, $6, $7, $8, $8) on conflict do nothing",
    action.principal, action.endpoint, action.key, action.fingerprint, status, stored_headers(headers),
    stored_body(route, body), now)
  return rows.affected == 1
end

local function in_transaction(service, route, ctx, action, tx)
  ctx.tx = tx -- for a replay too
  if action then
    if not lock(tx, action) then return nil, problem.new("idempotency_running", RUNNING) end
    local row = find(tx, action)
    if row then return select(2, settle(service, route, ctx, action, row)) end
  end
  local status, body, headers = service.handlers[route.handler](ctx)
  if not status then return nil, body end
  if action and not insert_done(tx, route, action, status, body, headers) then
    return nil, problem.new("idempotency_running", RUNNING)
  end
  return status, body, headers
end

-- Has an earlier run of this key ended? Asked before prepare(), whose answer may have changed since.
local function seen(service, route, ctx, action)
  local found, wrong = database.open(service.name):transaction(function(tx) return { row = find(tx, action) } end)
  if not found then return true, nil, wrong end
  if found.row then return settle(service, route, ctx, action, found.row) end
  return false
end

-- What stands in the way of prepare() may be what another run of this key has done meanwhile.
local function refused(service, route, ctx, action, wrong)
  if action then
    local over, status, body, headers = seen(service, route, ctx, action)
    if over then return status, body, headers end
  end
  return nil, wrong
end

local function run_transaction(service, route, ctx, action)
  if route.prepare then
    if action then
      local over, status, body, headers = seen(service, route, ctx, action)
      if over then return status, body, headers end
    end
    local wrong
    ctx.prepared, wrong = service.handlers[route.prepare](ctx)
    if wrong then return refused(service, route, ctx, action, wrong) end
  end
  for attempt = 0, #PAUSES_MS do
    if attempt > 0 then fastr.time.sleep(PAUSES_MS[attempt]) end
    local status, body, headers = database.open(service.name):transaction(function(tx)
      return in_transaction(service, route, ctx, action, tx)
    end)
    local is_running = not status and body.code == "idempotency_running"
    if not is_running or attempt == #PAUSES_MS then return status, body, headers end
  end
end

-- ---- a saga -------------------------------------------------------------------------------------------------------

local function lease_end(route)
  return fastr.time.iso(fastr.time.unix_ms() + (route.timeout_ms or DEFAULT_TIMEOUT_MS) + MARGIN_MS)
end

-- Commits the key with its saga's id, or finds it: {saga = id} when the handler is to run, {row = row} when it ran or
-- runs. nil, problem when the database says no.
local function claim(service, route, action)
  return database.open(service.name):transaction(function(tx)
    local saga, until_then, worker = fastr.crypto.uuid7(), lease_end(route), (fastr.host.life())
    local rows = tx:query("insert into idempotency_keys (principal, endpoint, key, fingerprint, saga, state,"
      .. " lease_until, created_at, worker) values ($1, $2, $3, $4, $5, 'running', $6, $7, $8) on conflict do nothing",
      action.principal, action.endpoint, action.key, action.fingerprint, saga, until_then, fastr.time.now(), worker)
    if rows.affected == 1 then return { saga = saga } end
    local row = find(tx, action, " for update")
    if not row then return nil, problem.new("idempotency_running", RUNNING) end
    if row.fingerprint ~= action.fingerprint or row.state == "done" or row.alive then return { row = row } end
    tx:query("update idempotency_keys set lease_until = $4, worker = $5" .. WHERE, action.principal, action.endpoint,
      action.key, until_then, worker)
    return { saga = row.saga }
  end)
end

-- One statement about the row of a run that is still this process's.
local function change(service, action, sql, ...)
  local values = { n = select("#", ...), ... }
  return database.open(service.name):transaction(function(tx)
    values[values.n + 1] = (fastr.host.life())
    tx:query(sql .. WHERE .. " and state = 'running' and worker is not distinct from $" .. values.n + 4,
      action.principal, action.endpoint, action.key, unpack(values, 1, values.n + 1))
    return true
  end)
end

-- The run has ended without an answer: the next request with the key may take it over at once.
local function let_go(service, action)
  local ok, why = pcall(change, service, action, "update idempotency_keys set lease_until = $4", fastr.time.now())
  if not ok then fastr.log.warn("cannot release an idempotency key; its lease will end", { why = tostring(why) }) end
end

local function store(service, route, action, status, body, headers)
  local ok, wrong = change(service, action,
    "update idempotency_keys set state = 'done', status = $4, headers = $5, body = $6, done_at = $7",
    status, stored_headers(headers), stored_body(route, body), fastr.time.now())
  if not ok then error(wrong, 0) end
end

local function end_saga(service, route, action, status, body, headers)
  if status then
    store(service, route, action, status, body, headers)
    return status, body, headers
  end
  if body.status == 402 then
    store(service, route, action, 402, body, { ["Content-Type"] = "application/problem+json" })
  elseif body.status >= 500 then
    let_go(service, action)
  else
    change(service, action, "delete from idempotency_keys")
  end
  return nil, body
end

local function run_saga(service, route, ctx, action)
  local handler = service.handlers[route.handler]
  if not action then
    ctx.saga = fastr.crypto.uuid7()
    return handler(ctx)
  end
  local claimed, wrong = claim(service, route, action)
  if not claimed then return nil, wrong end
  if claimed.row then return select(2, settle(service, route, ctx, action, claimed.row)) end
  ctx.saga = claimed.saga
  local ok, status, body, headers = xpcall(handler, fastr.traceback, ctx)
  if not ok then
    let_go(service, action)
    error(status, 0)
  end
  return end_saga(service, route, action, status, body, headers)
end

-- ---- what boot uses -----------------------------------------------------------------------------------------------

-- The function(ctx) that boot calls for a route: its handler, or its handler made idempotent.
function M.wrap(service, route)
  local mode = route.idempotency
  if not mode then return service.handlers[route.handler] end
  local required = mode:find("^required_") ~= nil
  local run = mode:find("saga$") and run_saga or run_transaction
  return function(ctx)
    local key, wrong = key_of(ctx, required)
    if wrong then return nil, wrong end
    return run(service, route, ctx, key and name_action(service, route, ctx, key) or nil)
  end
end

local function sweep(service)
  return function()
    database.open(service.name):transaction(function(tx)
      tx:query("delete from idempotency_keys where saga is null and created_at < $1",
        fastr.time.iso(fastr.time.unix_ms() - KEEP_MS))
      return true
    end)
    return true
  end
end

-- The schedules that a service's declarations bring with them.
function M.schedules(service)
  for _, route in ipairs(service.routes) do
    if route.idempotency then
      local name = service.name .. ".idempotency.sweep"
      return { { name = name, every_ms = 3600000, one = true, handle = sweep(service) } }
    end
  end
  return {}
end

return M
