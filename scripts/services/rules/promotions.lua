-- promotions: those that are live, as the admin API shows and changes them. A change is another version of the pack,
-- with another definitions/edited.lua: derived from what is live, and through the gate, in a process of its own; then
-- it is written down in one transaction (handlers).
--
--   what is live here, and by which activation --> fastr rules derive --> still the same? --> publish, activate
--
-- Who is late (another version became live since the client read, or since this began) is told so and changes nothing.

local access = require "platform.access"
local database = require "platform.db"
local edited = require "services.rules.edited"
local packs = require "services.rules.packs"
local problem = require "lib.problem"
local request = require "platform.request"
local store = require "services.rules.store"
local who = require "services.rules.who"

local M = {}

local json, time, null = fastr.json, fastr.time, fastr.json.null
local array = json.array

-- ---- showing --------------------------------------------------------------------------------------------------------

local function is_past(at, now) return at ~= nil and time.parse(at) < now end

-- What a promotion does now: off (`fastr rules off`), disabled, scheduled, ended or running.
local function state_of(each, now)
  local definition = each.definition
  if each.off then return "off" end
  if definition.enabled == false then return "disabled" end
  if is_past(definition.ends_at, now) then return "ended" end
  if definition.starts_at and time.parse(definition.starts_at) > now then return "scheduled" end
  return "running"
end

local function is_rule(each) return each.file:find("^promotions/") ~= nil end

local function made_by(each)
  if is_rule(each) then return "rule" end
  return each.file == edited.FILE and "api" or "definitions"
end

local function off_of(each)
  local off = each.off
  return off and { reason = off.reason or null, by = off.by or null, at = off.at or null } or null
end

local function shown(each)
  return { id = each.id, state = state_of(each, time.unix_ms()), made_by = made_by(each), file = each.file,
    replaces = each.replaces or null, off = off_of(each), definition = edited.to_json(each.definition) }
end

-- The promotions of a pack (nil: the one that is live): their list and the pack's hash; or nil and a problem.
local function of_pack(pack)
  local decision, info, code = fastr.rules.decide("price.definitions", {}, { pack = pack })
  if decision then return decision.promotions, info.pack end
  if code == "rules_version_gone" then return nil, problem.new("busy", { retry_after = 1 }) end
  return nil, problem.new(code, { detail = info })
end

local function find(list, id)
  for i, each in ipairs(list) do
    if each.id == id then return each, i end
  end
end

-- { items, pack } of what is live, and its entity tag; or nil and a problem.
function M.list()
  local list, pack = of_pack()
  if not list then return nil, pack end
  local items = array {}
  for i, each in ipairs(list) do items[i] = shown(each) end
  return { items = items, pack = pack }, request.etag(pack)
end

-- One of them and the entity tag; or nil and a problem.
function M.one(id)
  local list, pack = of_pack()
  if not list then return nil, pack end
  local each = find(list, id)
  if each then return shown(each), request.etag(pack) end
  return nil, problem.new("promotion_not_found", { detail = ("There is no promotion '%s'."):format(id) })
end

-- ---- what a change is made from -------------------------------------------------------------------------------------

local SETTLE_MS, LOOK_MS = 5000, 50

-- What this host's leading master says is live, or nil.
local function live_here()
  local status = fastr.host.ask("status")
  local live = status and packs.of_status(status)
  return live and live.hash
end

-- What is live here, and the number of the activation by which it is: { pack, activation }. Waits while the two differ,
-- since this host is about to follow the one or to write down the other. Nil and a problem if that does not end.
local function base()
  local ends, host = time.unix_ms() + SETTLE_MS, who.host()
  repeat
    local row, live = store.last_live(database.open("rules"), host), live_here()
    if live and (not row or not row.pack or "sha256:" .. row.pack == live) then
      return { pack = live, activation = row and row.number or 0 }
    end
    time.sleep(LOOK_MS)
  until time.unix_ms() > ends
  return nil, problem.new("busy", { retry_after = 2,
    detail = "Which rules are live here, and which should be, is not the same: GET /api/v1/rules/hosts says why." })
end

-- Is what a change was made from still so? Nil, or the problem. The caller holds the lock of the activations.
function M.outdated(tx, made)
  local row = store.last_live(tx, who.host())
  if (row and row.number or 0) == made.base.activation then return nil end
  return problem.new("rules_changed", { pack = row.pack and "sha256:" .. row.pack or null })
end

-- A pack that was published before the API changed something would undo that. Nil, or the problem with the names.
function M.undone(tx, hash)
  local live = store.fleet(tx, 1)[1]
  if not live or live.pack == hash then return nil end
  local ids = edited.differing(edited.within(store.bundle(tx, live.pack)), edited.within(store.bundle(tx, hash)))
  if #ids == 0 then return nil end
  return problem.new("promotions_differ", { promotions = array(ids),
    detail = "What is live has these otherwise, or has others: " .. table.concat(ids, ", ") .. "." })
end

-- Has the client read what is live, where he changes what there is? Nil, or the problem.
local function unread(ctx, pack, exists)
  if exists and not ctx.request:header("if-match") then return problem.new("precondition_required") end
  local ok, stale = request.matches(ctx, pack)
  if not ok then return stale end
end

-- ---- the list of what the API made, changed -------------------------------------------------------------------------

local function in_file(each, cure)
  return problem.new("promotion_in_file", { file = each.file,
    detail = ("'%s' is written in scripts/rules/%s. %s"):format(each.id, each.file, cure) })
end

local function edited_of(list)
  local out = {}
  for _, each in ipairs(list) do
    if each.file == edited.FILE then out[#out + 1] = each.definition end
  end
  return out
end

-- The definitions with this one instead of that of the same id, or last; and its place.
local function with(definitions, definition)
  local _, at = find(definitions, definition.id)
  at = at or #definitions + 1
  definitions[at] = definition
  return definitions, at
end

local function without(definitions, id)
  local _, at = find(definitions, id)
  table.remove(definitions, at)
  return definitions
end

-- ---- through the gate -----------------------------------------------------------------------------------------------

local function wrong(path, what)
  return problem.new("validation", { errors = array { { ["in"] = "body", path = path, problem = what } },
    detail = (path ~= "" and path .. " " or "") .. what })
end

-- "definitions/edited.lua:1: [3].actions[1].value: is missing" is about the third definition; `at`: the one that is
-- changed.
local function refused(message, at)
  local place, rest = message:match("^definitions/edited%.lua:%d+: %[(%d+)%]%.?(.*)$")
  if not place or tonumber(place) ~= at then return wrong("", message) end
  local path, what = rest:match("^([%w_%.%[%]]*): (.*)$")
  if not path then return wrong("definition", rest) end
  return wrong("definition" .. (path ~= "" and "." .. path or ""), what)
end

-- Runs `fastr rules derive`: its answer, or nil and a problem.
local function derive(wanted)
  local text, code, why_not = fastr.child.run({ "rules", "derive" }, json.encode(wanted))
  if not text then return nil, problem.of_error(why_not == "invalid" and "unavailable" or why_not) end
  local out = json.decode(text)
  if type(out) == "table" and not out.failed then return out end
  local why = type(out) == "table" and out.failed or "the process ended with " .. tostring(code)
  fastr.log.error("rules: a version could not be derived", { reason = why:sub(1, 2000) })
  return nil, problem.new("unavailable", { detail = why:match("^[^\n]*"):sub(1, 300) })
end

-- A red report stops a change that nobody forces, and one whose examples do not hold in any case: no host would run it.
-- Nil if it may go on.
local function red(out, about)
  if about.dry or out.same or out.report.ok then return nil end
  local last = out.report.checks[#out.report.checks]
  if about.force and last.name ~= "examples" then return nil end
  return problem.new("pack_invalid", { errors = array { { path = last.name, problem = last.detail } },
    detail = ("The gate refuses it at '%s'. What is meant goes through with force."):format(last.name),
    report = out.report, impact = out.impact, impact_at_start = out.impact_at })
end

-- The version with these definitions: what ctx.prepared becomes, { base, hash, same, report, impact, sealed, ... }; or
-- nil and a problem. `about`: id, at (of the changed one in the list), starts_at (its own), reason, force, dry.
local function made_of(ctx, from, definitions, about)
  local out, failed = derive { base = from.pack, file = edited.FILE, text = edited.text(definitions),
    message = ("promotion %s: %s"):format(about.id, about.reason), author = ctx.principal.id, force = about.force,
    dry = about.dry, at = about.starts_at }
  if not out then return nil, failed end
  if out.invalid then return nil, refused(out.invalid, about.at) end
  if out.unsigned then return nil, problem.new("pack_unsigned", { detail = out.unsigned }) end
  failed = red(out, about)
  if failed then return nil, failed end
  if live_here() ~= from.pack then return nil, problem.new("rules_changed") end
  out.base, out.about, out.definitions = from, about, definitions
  return out
end

-- To set the gate aside takes who may make any rules live. Nil, or the problem.
local function may_force(ctx, force)
  if not force then return nil end
  local ok, forbidden = access.check(ctx.principal, "rules:activate")
  if not ok then return forbidden end
end

-- What is live and its promotions, as the client has read them: { pack, activation }, list, the one of this id or nil;
-- or nil and a problem.
local function read(ctx, force)
  local forbidden = may_force(ctx, force)
  if forbidden then return nil, forbidden end
  local from, failed = base()
  if not from then return nil, failed end
  local list
  list, failed = of_pack(from.pack)
  if not list then return nil, failed end
  local each = find(list, ctx.params.id)
  failed = unread(ctx, from.pack, each ~= nil)
  if failed then return nil, failed end
  return from, list, each
end

-- When it begins, if that is a time; nil: with no time of its own, or the rules will refuse it.
local function begin_of(definition)
  local at = definition.starts_at
  return type(at) == "string" and time.parse(at) and at or nil
end

-- PUT: makes the promotion, or takes the place of what there is under this id. As made_of.
function M.prepare_put(ctx)
  local body, id = ctx.body, ctx.params.id
  local from, list, each = read(ctx, body.force)
  if not from then return nil, list end
  if each and is_rule(each) then
    return nil, in_file(each, "It is code: change it there, or take it out with fastr rules off.")
  end
  local definition = edited.from_json(body.definition)
  if definition.id ~= nil and definition.id ~= id then return nil, wrong("definition.id", "is not that of the path") end
  definition.id = id
  local definitions, at = with(edited_of(list), definition)
  return made_of(ctx, from, definitions, { id = id, at = at, starts_at = begin_of(definition),
    reason = body.reason, force = body.force, dry = ctx.query.dry_run, is_new = each == nil })
end

-- DELETE: takes away what was made here; what a file has under this id is in force again.
function M.prepare_delete(ctx)
  local id, query = ctx.params.id, ctx.query
  local from, list, each = read(ctx, query.force)
  if not from then return nil, list end
  if not each then
    return nil, problem.new("promotion_not_found", { detail = ("There is no promotion '%s'."):format(id) })
  end
  if each.file ~= edited.FILE then
    return nil, in_file(each, "Delete it there; PUT it with enabled: false to end it now.")
  end
  return made_of(ctx, from, without(edited_of(list), id), { id = id, reason = query.reason, force = query.force,
    dry = query.dry_run })
end

-- What the client is told of a change; `activation` is nil where nothing became live.
function M.told(made, activation)
  local report, green = made.report, null
  if report then green = report.ok end
  return { id = made.about.id, pack = made.hash, parent = made.base.pack, activation = activation or null,
    green = green, checks = report and array(report.checks) or null,
    impact = made.impact or null, impact_at_start = made.impact_at or null, orders_unread = made.orders_unread or null }
end

return M
