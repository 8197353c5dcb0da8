-- handlers: one function per route of rules.

local bundle = require "services.rules.bundle"
local database = require "platform.db"
local differences = require "services.rules.difference"
local fleet = require "services.rules.fleet"
local outbox = require "platform.outbox"
local problem = require "lib.problem"
local promotions = require "services.rules.promotions"
local request = require "platform.request"
local statement = require "services.rules.statement"
local store = require "services.rules.store"
local view = require "services.rules.view"

local M = {}

local array, null = fastr.json.array, fastr.json.null

-- ---- prices ---------------------------------------------------------------------------------------------------------

-- "lines[1].sku: is missing" is a path and what is wrong there.
local function place(message)
  local at = message:find(": ", 1, true)
  if not at then return { path = "", problem = message } end
  return { path = message:sub(1, at - 1), problem = message:sub(at + 2) }
end

-- No rule is at fault when the caller's own amounts add up to more than an amount can be.
local function is_overflow(code, message)
  return code == "rules_error" and message:find("goes past 2^53 - 1", 1, true) ~= nil
end

-- Facts and decision are passed on as the texts that they are.
function M.quote(ctx)
  local decision, message, code = fastr.rules.decide_text("price.cart", ctx.body, { explain = "full" })
  if decision then return 200, decision, { ["Content-Type"] = "application/json" } end
  if code == "json" then return nil, problem.new("body_not_json", { detail = message }) end
  if is_overflow(code, message) then code = "facts_invalid" end
  if code ~= "facts_invalid" then return nil, problem.new(code, { detail = message }) end
  return nil, problem.new(code, { detail = message, errors = fastr.json.array { place(message) } })
end

-- ---- packs ----------------------------------------------------------------------------------------------------------

local function bare(hash)
  return hash and hash:gsub("^sha256:", ""):lower()
end

local function db() return database.open("rules") end

local function page(rows, size, number_of, show)
  local more = rows[size + 1] ~= nil
  rows[size + 1] = nil
  local items = {}
  for i, row in ipairs(rows) do items[i] = show(row) end
  return { items = array(items), next_cursor = more and tostring(number_of(rows[size])) or null }
end

local function number_of(row) return row.number end

function M.list_packs(ctx)
  local size = ctx.query.limit or 20
  return 200, page(store.list_packs(db(), tonumber(ctx.query.cursor), size + 1), size, number_of, view.pack)
end

local function find(reader, hash)
  local row = store.pack(reader, bare(hash))
  if row then return row end
  return nil, problem.new("pack_not_found")
end

function M.read_pack(ctx)
  local row, missing = find(db(), ctx.params.hash)
  if not row then return nil, missing end
  return 200, view.pack(row)
end

local function files_of(hash)
  local text = store.bundle(db(), bare(hash))
  if text then return bundle.files(text) end
  return nil, problem.new("pack_not_found", { detail = "There is no pack " .. bare(hash):sub(1, 12) .. "." })
end

function M.stored(ctx)
  local hash, sealed = bare(ctx.body.pack), array {}
  local text = store.bundle(db(), hash)
  if not text then return nil, problem.new("pack_not_found") end
  for i, row in ipairs(store.signatures(db(), hash)) do sealed[i] = row.sealed end
  return 200, { bundle = text, sealed = sealed }
end

function M.files(ctx)
  local files, missing = files_of(ctx.params.hash)
  if not files then return nil, missing end
  return 200, { items = array(files) }
end

-- Against a parent that is not here, everything is new.
function M.difference(ctx)
  local row, missing = find(db(), ctx.params.hash)
  if not row then return nil, missing end
  local from, before = bare(ctx.query.from) or row.parent, {}
  if ctx.query.from then
    before, missing = files_of(from)
    if not before then return nil, missing end
  elseif from then
    before = files_of(from) or {}
  end
  local changes = differences.of_files(before, files_of(ctx.params.hash))
  return 200, { from = from and "sha256:" .. from or null, items = array(changes) }
end

-- ---- publishing -----------------------------------------------------------------------------------------------------

local function invalid(path, what)
  return problem.new("pack_invalid", { errors = array { { path = path, problem = what } } })
end

-- The key that signed the pack, false where nobody did and nobody needs to; or nil and the problem.
local function signer(hash, sealed)
  if not sealed then
    if not statement.is_needed() then return false end
    return nil, problem.new("pack_unsigned")
  end
  local key, message, code = fastr.rules.verify(hash, sealed)
  if key then return key end
  if code == "unavailable" then return nil, problem.of_error(code) end
  return nil, problem.new(code, { detail = message })
end

-- What was brought, read: the pack's row, the key, and what the signer says; or nil and the problem.
local function read(body, by)
  local files, wrong = bundle.files(body.bundle)
  if not files then return nil, invalid("bundle", wrong) end
  local hash = bundle.hash(body.bundle)
  local key, refused = signer(hash, body.sealed)
  if key == nil then return nil, refused end
  local says = key and statement.parts(body.sealed).says or {}
  local parent = says.parent or bare(body.parent)
  return { hash = hash, parent = parent, author = says.author or body.author or by,
    message = says.message or body.message, bundle = body.bundle, files = #files, by = by }, key, says
end

local function add_report(tx, hash, by, kind, green, document)
  return store.add_report(tx, { id = fastr.crypto.uuid7(), pack = hash, kind = kind, green = green,
    document = document, by = by })
end

-- Who brings a signed pack need not be who signed it: the gate's report must be the one that the statement names. A
-- host's command line answers for its own.
local function is_forged(body, says)
  return body.report and says.report ~= fastr.crypto.sha256(fastr.json.canonical(body.report))
end

local function publish(tx, body, by, is_host)
  local row, key, says = read(body, by)
  if not row then return nil, key end
  if key and not is_host and is_forged(body, says) then
    return nil, invalid("report", "is not the one that the signed statement names")
  end
  local is_new = store.add_pack(tx, row)
  if key then store.add_signature(tx, row.hash, key, body.sealed) end
  if body.report then add_report(tx, row.hash, by, "gate", body.report.ok == true, body.report) end
  local shown = view.pack(store.pack(tx, row.hash))
  if is_new then
    outbox.add(tx, { topic = "rules", key = row.hash, type = "rules.published.v1", data = shown })
  end
  return is_new and 201 or 200, shown
end

function M.publish(ctx) return publish(ctx.tx, ctx.body, ctx.principal.id) end
function M.publish_for(ctx) return publish(ctx.tx, ctx.body, ctx.body.by, true) end

function M.reports(ctx)
  local row, missing = find(db(), ctx.params.hash)
  if not row then return nil, missing end
  local items = {}
  for i, report in ipairs(store.reports(db(), row.hash, 100)) do items[i] = view.report(report) end
  return 200, { items = array(items) }
end

function M.add_report(ctx)
  local row, missing = find(ctx.tx, ctx.params.hash)
  if not row then return nil, missing end
  local body = ctx.body
  if body.kind == "gate" and statement.is_needed() then
    return nil, invalid("kind", "the gate's report comes with the signed pack, or nobody answers for it")
  end
  return 201, view.report(add_report(ctx.tx, row.hash, ctx.principal.id, body.kind, body.green, body.document))
end

-- ---- what is live ---------------------------------------------------------------------------------------------------

local TRIED = { canary = true, shadow = true }

-- Is the request whole? Nil, or the problem.
local function incomplete(body)
  local function wrong(path, what)
    return problem.new("validation", { errors = array { { path = "body." .. path, problem = what } } })
  end
  if body.mode ~= "stop" and not body.pack then return wrong("pack", "is missing") end
  if body.mode == "stop" and body.pack then return wrong("pack", "a trial is stopped without naming it") end
  if body.mode == "canary" and not body.share then return wrong("share", "is missing: basis points of the carts") end
  for _, name in ipairs { "share", "limits" } do
    if body[name] and not TRIED[body.mode] then return wrong(name, "only a canary or a shadow has one") end
  end
end

-- May this pack become live, or be tried? Its row, or nil and the problem.
local function proved(tx, body)
  local row, missing = find(tx, body.pack)
  if not row then return nil, missing end
  if row.green or body.force then return row end
  return nil, problem.new("pack_not_proved", { detail = row.green == nil and "There is no report of the gate on it."
    or "The last report of the gate on it is red." })
end

local function write(tx, it)
  it.id, it.at = fastr.crypto.uuid7(), fastr.time.now()
  local shown = view.activation(store.activate(tx, it))
  outbox.add(tx, { topic = "rules", key = it.pack or "all", type = "rules.activated.v1", data = shown })
  tx.after_commit.agent = function() fastr.flight.nudge("rules.agent") end
  return 201, shown
end

local function activate(tx, body, by)
  local refused, row = incomplete(body), nil
  if refused then return nil, refused end
  store.lock(tx)
  if body.pack then
    row, refused = proved(tx, body)
    if row and body.mode == "live" and not body.force then refused = promotions.undone(tx, row.hash) end
    if refused then return nil, refused end
  end
  return write(tx, { mode = body.mode, pack = row and row.hash, reason = body.reason, by = by, hosts = body.hosts,
    limits = body.limits, share = TRIED[body.mode] and (body.share or 10000) or nil,
    forced = row ~= nil and not row.green })
end

function M.activate(ctx) return activate(ctx.tx, ctx.body, ctx.principal.id) end
function M.activate_for(ctx) return activate(ctx.tx, ctx.body, ctx.body.by) end

-- ---- promotions -----------------------------------------------------------------------------------------------------

function M.list_promotions()
  local body, etag = promotions.list()
  if not body then return nil, etag end
  return 200, body, { ETag = etag }
end

function M.read_promotion(ctx)
  local body, etag = promotions.one(ctx.params.id)
  if not body then return nil, etag end
  return 200, body, { ETag = etag }
end

M.prepare_put_promotion = promotions.prepare_put
M.prepare_delete_promotion = promotions.prepare_delete

-- The version of ctx.prepared becomes live, unless it was only asked about, or another one did meanwhile.
function M.change_promotion(ctx)
  local made, by = ctx.prepared, ctx.principal.id
  local about, headers = made.about, { ETag = request.etag(made.hash) }
  if about.dry or made.same then return 200, promotions.told(made), headers end
  store.lock(ctx.tx)
  local outdated = promotions.outdated(ctx.tx, made)
  if outdated then return nil, outdated end
  local status, failed = publish(ctx.tx, { bundle = fastr.rules.stored(made.hash), message = about.reason,
    sealed = made.sealed, parent = made.base.pack, report = made.report, author = by }, by, true)
  if not status then return nil, failed end
  local _, activation = write(ctx.tx, { mode = "live", pack = bare(made.hash), by = by, forced = not made.report.ok,
    reason = ("promotion %s: %s"):format(about.id, about.reason) })
  return about.is_new and 201 or 200, promotions.told(made, activation.number), headers
end

-- Each route has a name of its own in the API's document.
M.drop_promotion = M.change_promotion

-- ---- going back -----------------------------------------------------------------------------------------------------

-- Some hosts go back by themselves, each to what it had before.
function M.rollback(ctx)
  local pack
  store.lock(ctx.tx)
  if not ctx.body.hosts then
    pack = fleet.before(store.fleet(ctx.tx, 200))
    if not pack then return nil, problem.new("rules_no_previous") end
  end
  return write(ctx.tx, { mode = "rollback", pack = pack, reason = ctx.body.reason, by = ctx.principal.id,
    hosts = ctx.body.hosts })
end

function M.history(ctx)
  local size, query = ctx.query.limit or 20, ctx.query
  return 200, page(store.history(db(), tonumber(query.cursor), query.host, size + 1), size, number_of, view.activation)
end

function M.hosts()
  local items = {}
  for i, row in ipairs(store.hosts(db())) do items[i] = view.host(row) end
  return 200, { items = array(items) }
end

return M
