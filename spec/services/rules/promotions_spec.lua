-- Promotions of the admin API, asked of the running shop: each change is another version of what is live, through the
-- gate; nobody's change is lost; what could not be used is refused with its place. Every promotion made here needs a
-- code that nobody else knows, and is taken away again.
local bundle = require "services.rules.bundle"
local edited = require "services.rules.edited"
local keys = require "services.auth.keys"
local session = require "platform.session"
local shell = require "spec.support.shell"
local shopper = require "spec.support.shopper"

local uuid7, json = fastr.crypto.uuid7, fastr.json
local SHOP = assert(os.getenv("SHOP_URL"), "SHOP_URL is not set: run this with bin/fastr spec")

local function signed_in(role)
  return "Bearer " .. keys.sign({ aud = session.audience, sub = uuid7(), roles = json.array { role } }, 600)
end

local AUTHOR, APPROVER, SUPPORT = signed_in "rule_author", signed_in "rule_approver", signed_in "support"

-- Sends a request: status, body, entity tag.
local function send(method, path, options)
  options = options or {}
  local reply = assert(fastr.http.request { method = method, url = SHOP .. "/api/v1/rules" .. path, timeout_ms = 60000,
    headers = { Authorization = options.who or AUTHOR, ["If-Match"] = options.etag,
      ["Content-Type"] = "application/json", ["Idempotency-Key"] = method ~= "GET" and uuid7() or nil },
    body = options.body and json.encode(options.body) })
  return reply.status, json.decode(reply.body), reply.headers.etag
end

local function ask(expected, ...)
  local status, body, etag = send(...)
  assert.equal(expected, status, json.encode(body))
  return body, etag
end

local function settled(pack)
  shopper.eventually("every worker has " .. pack, function()
    for _ = 1, 8 do
      if ask(200, "GET", "/promotions").pack ~= pack then return false end
    end
    return true
  end, 10)
end

local function code() return "SPEC" .. uuid7():sub(-12):upper() end

local function definition(more)
  local out = { coupon = code(), actions = { { type = "order_percent", value = 10 } } }
  for name, value in pairs(more or {}) do out[name] = value end
  return out
end

-- Puts a promotion and waits until it is live: what was answered, and the entity tag.
local function put(expected, id, body, etag)
  local told, now = ask(expected, "PUT", "/promotions/" .. id, { etag = etag,
    body = { definition = body, reason = "a spec's" } })
  settled(told.pack)
  return told, now
end

local made = {}

local function new_id()
  made[#made + 1] = "spec_" .. uuid7():sub(-12)
  return made[#made]
end

local function read(id, expected) return ask(expected or 200, "GET", "/promotions/" .. id) end

local function remove(id)
  for _ = 1, 5 do
    local status, _, etag = send("GET", "/promotions/" .. id)
    if status == 404 then return end
    local told
    status, told = send("DELETE", "/promotions/" .. id .. "?reason=spec", { etag = etag })
    if status == 200 then return settled(told.pack) end
  end
  error("cannot remove " .. id)
end

after_each(function()
  for _, id in ipairs(made) do remove(id) end
  made = {}
end)

local function wrong(written)
  local status, problem = send("PUT", "/promotions/spec_wrong", { body = { definition = written, reason = "x" } })
  assert.equal(422, status, json.encode(problem))
  assert.equal("validation", problem.code)
  return problem.errors[1].path .. ": " .. problem.errors[1].problem
end

describe("a promotion of the admin API", function()
  it("becomes live as another version, which the gate has passed, with who and why, until it is taken away", function()
    local first = ask(200, "GET", "/promotions").pack
    local id, body = new_id(), definition { doc = "A tenth off.", usage = { limit = 5 } }
    local told, etag = put(201, id, body)
    assert.same({ true, first, id, '"' .. told.pack .. '"' }, { told.green, told.parent, told.id, etag })
    assert.matches("^[%d,]+ real orders?: none changes$", told.impact.line)
    local each, now = read(id)
    assert.same({ "running", "api", "definitions/edited.lua", etag }, { each.state, each.made_by, each.file, now })
    body.id = id
    assert.same(body, each.definition)
    local entry = ask(200, "GET", "/activations?limit=1", { who = APPROVER }).items[1]
    assert.same({ told.activation, "live", told.pack, "promotion " .. id .. ": a spec's" },
      { entry.number, entry.mode, entry.pack, entry.reason })
    local changes = ask(200, "GET", "/packs/" .. told.pack .. "/difference").items
    assert.same({ 1, "definitions/edited.lua", "changed" }, { #changes, changes[1].file, changes[1].change })
    assert.equal("gate", ask(200, "GET", "/packs/" .. told.pack .. "/reports").items[1].kind)
    remove(id)
    assert.equal("promotion_not_found", read(id, 404).code)
    assert.equal(first, ask(200, "GET", "/promotions").pack)
  end)

  it("is on nobody's disk, and goes live with what is", function()
    local function on_disk() return json.decode(shell.must "bin/fastr rules status --json").disk end
    local is_live = on_disk() == ask(200, "GET", "/promotions").pack
    local id = new_id()
    local told = put(201, id, definition())
    assert.equal(is_live, on_disk() == told.pack)
    assert.truthy(shell.must("bin/fastr rules try 84077 --coupon NONE"):find(id, 1, true))
    if is_live then shell.must "bin/fastr reload rules" end -- others' rules on disk are not ours to make live
    settled(told.pack)
    assert.equal("running", read(id).state)
  end)

  it("does what its schedule says, and the same thing again changes nothing", function()
    local id, body = new_id(), definition { starts_at = "2099-01-01T00:00:00Z" }
    local told, etag = put(201, id, body)
    assert.same({ "scheduled", told.impact.orders }, { read(id).state, told.impact_at_start.orders })
    local again = put(200, id, body, etag)
    assert.same({ told.pack, json.null }, { again.pack, again.activation })
    body.starts_at, body.enabled = json.null, false
    put(200, id, body, etag)
    assert.equal("disabled", read(id).state)
  end)

  it("that the gate refuses is only told of, unless somebody who may make anything live forces it", function()
    local all = { definition = { actions = { { type = "order_percent", value = 10 } } }, reason = "x" }
    local refused = ask(422, "PUT", "/promotions/spec_all", { body = all, who = APPROVER })
    assert.same({ "pack_invalid", "golden carts" }, { refused.code, refused.errors[1].path })
    assert.is_false(refused.report.ok)
    local told = ask(200, "PUT", "/promotions/spec_all?dry_run=true", { body = all })
    assert.same({ false, json.null }, { told.green, told.activation })
    assert.equal("golden carts", told.checks[#told.checks].name)
    all.force = true
    assert.equal("rules:activate", ask(403, "PUT", "/promotions/spec_all", { body = all }).scope)
    read("spec_all", 404)
  end)

  it("is for those who look after the rules; the staff may look", function()
    local body = { definition = definition(), reason = "x" }
    ask(200, "GET", "/promotions", { who = SUPPORT })
    ask(403, "PUT", "/promotions/spec_mine", { who = SUPPORT, body = body })
    ask(403, "GET", "/promotions", { who = signed_in "customer" })
    ask(403, "DELETE", "/promotions/welcome?reason=x", { who = SUPPORT })
  end)
end)

describe("two who change promotions at once", function()
  it("do not lose a change: who has read what is no longer live is told so", function()
    local id = new_id()
    local _, old = put(201, id, definition())
    local refused
    put(200, id, definition { priority = 1 }, old)
    local before = { mode = "live", pack = old:sub(2, -2), reason = "spec" }
    refused = ask(409, "POST", "/activations", { who = APPROVER, body = before })
    assert.same({ "promotions_differ", { id } }, { refused.code, refused.promotions })
    refused = ask(412, "PUT", "/promotions/" .. id, { etag = old,
      body = { definition = definition { priority = 2 }, reason = "x" } })
    assert.equal("precondition_failed", refused.code)
    assert.equal("precondition_required", ask(428, "PUT", "/promotions/" .. id,
      { body = { definition = definition(), reason = "x" } }).code)
    assert.equal("precondition_required", ask(428, "DELETE", "/promotions/" .. id .. "?reason=x").code)
    assert.equal(1, read(id).definition.priority)
  end)

  it("in the same moment: one is live, the other is told, and nothing of his is", function()
    local runs = {}
    for i = 1, 2 do
      local id, body = new_id(), { definition = definition(), reason = "race" }
      runs[i] = function()
        local status
        status, body = send("PUT", "/promotions/" .. id, { body = body })
        return { id = id, status = status, body = body }
      end
    end
    local won = 0
    for _, result in ipairs(fastr.all(runs)) do
      local run = result[1]
      if run.status == 201 then
        won = won + 1
        settled(run.body.pack)
        assert.equal("running", read(run.id).state)
      else
        assert.same({ 409, "rules_changed" }, { run.status, run.body.code }, json.encode(run.body))
        read(run.id, 404)
      end
    end
    assert.equal(1, won)
  end)
end)

describe("what is written in files", function()
  it("as code is changed there, and the answer names the file", function()
    local _, etag = read "three_for_two_candles"
    local refused = ask(409, "PUT", "/promotions/three_for_two_candles", { etag = etag,
      body = { definition = definition(), reason = "x" } })
    assert.same({ "promotion_in_file", "promotions/three_for_two_candles.lua" }, { refused.code, refused.file })
    refused = ask(409, "DELETE", "/promotions/three_for_two_candles?reason=x", { etag = etag })
    assert.equal("promotion_in_file", refused.code)
  end)

  it("as data is stood in for, and in force again when that is taken away", function()
    local before, etag = read "welcome"
    assert.equal("promotion_in_file", ask(409, "DELETE", "/promotions/welcome?reason=x", { etag = etag }).code)
    local changed = before.definition
    changed.doc = "A spec's welcome."
    put(200, "welcome", changed, etag)
    local now, tag = read "welcome"
    assert.same({ "api", "definitions/promotions.lua", "A spec's welcome." },
      { now.made_by, now.replaces, now.definition.doc })
    settled(ask(200, "DELETE", "/promotions/welcome?reason=spec", { etag = tag }).pack)
    assert.equal("definitions", read("welcome").made_by)
  end)
end)

describe("what could not be used", function()
  it("is refused with its path and the reason", function()
    local action = { type = "order_percent", value = 10 }
    local function with(more)
      local out = { actions = { action } }
      for name, value in pairs(more) do out[name] = value end
      return out
    end
    local function of(more)
      local out = { type = "order_percent", value = 10 }
      for name, value in pairs(more) do out[name] = value end
      return { actions = { out } }
    end
    assert.equal("definition.cupon: unknown field (did you mean 'coupon'?)", wrong(with { cupon = "X" }))
    assert.equal("definition.actions[1].type: there is no action type 'order_percentage' "
      .. "(did you mean 'order_percent'?)", wrong(of { type = "order_percentage" }))
    for _, value in ipairs { 100.1, -1, 3.14159, "3.14159", "ten", true } do
      assert.equal("definition.actions[1].value: a percentage from 0 to 100 with up to 4 places is expected",
        wrong(of { value = value }))
    end
    assert.equal("definition.ends_at: ends before it starts",
      wrong(with { starts_at = "2026-12-01T00:00:00Z", ends_at = "2026-11-01T00:00:00Z" }))
    assert.equal("definition.currency: 'ZZZ' is no currency whose minor units are known",
      wrong(with { currency = "ZZZ" }))
    assert.matches("^definition.actions: ", wrong { actions = json.array {} })
    assert.equal("definition.actions: is missing", wrong { doc = "nothing" })
    assert.equal("definition.id: is not that of the path", wrong(with { id = "another" }))
    assert.matches("^definition.usage.used: unknown field", wrong(with { usage = { limit = 1, used = 0 } }))
    assert.matches("^definition.actions%[1%]: ", wrong { actions = json.array { json.null } })
    assert.matches("^definition.doc: ", wrong(with { doc = 7 }))
    assert.matches("^definition", wrong(with { ['"] = os.exit() --'] = 1 }))
  end)
end)

describe("the file of the admin API", function()
  local LIST = { { id = "a", doc = 'quotes " and \\, a line\nand \1 more', actions = { { type = "buy_x_get_y",
    value = "33.3333", buy_quantity = 2, get_quantity = 1, times = 9007199254740991 } }, priority = -3 },
    { id = "b", actions = { { type = "order_percent", value = 33.3333 } }, exclusive = true,
      conditions = { sku_quantity = { skus = { "end", "x]]" }, min = 2 } } } }

  it("gives back what was written, and says the same thing in the same bytes", function()
    local shop = assert(fastr.rules.open("scripts/rules"))
    local pack = assert(shop:with(edited.FILE, edited.text(LIST)))
    local found = {}
    for _, each in ipairs(assert(pack:decide("price.definitions", {})).promotions) do
      if each.file == edited.FILE then found[#found + 1] = each.definition end
    end
    assert.same(LIST, found)
    assert.equal(edited.text(LIST), edited.text(found))
    assert.is_truthy(edited.text(LIST):find("times = unlimited", 1, true))
    assert.equal(json.null, edited.to_json(LIST[1]).actions[1].times)
    assert.equal(9007199254740991, edited.from_json(edited.to_json(LIST[1])).actions[1].times)
  end)

  it("is told apart from another by the names of what differs", function()
    local text = edited.text(LIST)
    assert.same({}, edited.differing(text, text))
    assert.same({}, edited.differing(nil, edited.text {}))
    assert.same({ "a", "b" }, edited.differing(nil, text))
    assert.same({ "b" }, edited.differing(text, edited.text { LIST[1] }))
    local first = LIST[1].actions
    assert.same({ "a", "c" }, edited.differing(edited.text { { id = "a", actions = first, priority = 1 }, LIST[2] },
      edited.text { { id = "a", actions = first, priority = 2 }, LIST[2], { id = "c" } }))
  end)

  it("is the pack's own when there is nothing in it", function()
    local shop = assert(fastr.rules.open("scripts/rules"))
    assert.equal(shop:files()[edited.FILE], edited.text {})
    assert.equal(64, #bundle.hash(edited.text {}))
  end)
end)
