-- The rules service: packs with their files, differences and reports; activations, of hosts that do not exist; who may
-- what.
local bundle = require "services.rules.bundle"
local keys = require "services.auth.keys"
local program = require "spec.support.program"
local rules_keys = require "services.rules.keys"
local session = require "platform.session"
local statement = require "services.rules.statement"

local call = program.of { "rules" }
local uuid7 = fastr.crypto.uuid7

local function signed_in(role)
  return { Authorization = "Bearer " .. keys.sign({ aud = session.audience, sub = uuid7(),
    roles = fastr.json.array { role } }, 600) }
end

local AUTHOR, APPROVER, SUPPORT = signed_in "rule_author", signed_in "rule_approver", signed_in "support"
local OPERATOR = signed_in "operator"

local position -- in the database's log, of what was written last

local function ask(expected, method, path, who, body)
  local headers = { ["Idempotency-Key"] = method ~= "GET" and uuid7() or nil, ["Fastr-Session"] = position }
  for name, value in pairs(who) do headers[name] = value end
  local status, reply, told = call(method, "/api/v1/rules" .. path, { body = body, headers = headers })
  position = session.later(position, told["Fastr-Session"])
  assert.equal(expected, status, fastr.json.encode(reply))
  return reply
end

local function pack_of(...)
  local out = { "fastr bundle 1\n" }
  for _, file in ipairs { ... } do out[#out + 1] = ("%s %d\n%s\n"):format(file[1], #file[2], file[2]) end
  return table.concat(out)
end

-- A pack of its own, published: its hash as shown, and its text.
local function published(more)
  local text = pack_of({ "a.lua", "return 1 -- " .. uuid7() .. "\n" }, { "b.lua", "-- b\n" })
  local body = { bundle = text, message = "a spec's" }
  for name, value in pairs(more or {}) do body[name] = value end
  return ask(201, "POST", "/packs", AUTHOR, body).hash, text
end

local GREEN = { ok = true, checks = fastr.json.array {} }

describe("a pack", function()
  it("that is published is listed, with its author, message, files and report", function()
    local hash, text = published { report = GREEN }
    assert.equal("sha256:" .. bundle.hash(text), hash)
    local shown = ask(200, "GET", "/packs/" .. hash, AUTHOR)
    assert.same({ "a spec's", 2, true }, { shown.message, shown.files, shown.green })
    assert.equal(hash, ask(200, "GET", "/packs?limit=1", AUTHOR).items[1].hash)
    assert.equal("-- b\n", ask(200, "GET", "/packs/" .. hash .. "/files", AUTHOR).items[2].text)
    assert.equal("gate", ask(200, "GET", "/packs/" .. hash .. "/reports", AUTHOR).items[1].kind)
  end)

  it("is the same when it is published again", function()
    local hash, text = published()
    assert.equal(hash, ask(200, "POST", "/packs", AUTHOR, { bundle = text, message = "again" }).hash)
    assert.equal("a spec's", ask(200, "GET", "/packs/" .. hash, AUTHOR).message)
  end)

  it("shows what it changes in its parent, or in another", function()
    local first, text = published()
    local next_text = text:gsub("%-%- b", "-- c")
    local second = ask(201, "POST", "/packs", AUTHOR, { bundle = next_text, message = "c", parent = first }).hash
    local reply = ask(200, "GET", "/packs/" .. second .. "/difference", AUTHOR)
    assert.equal(first, reply.from)
    assert.same({ { file = "b.lua", change = "changed", lines = "- -- b\n+ -- c" } }, reply.items)
    assert.same({}, ask(200, "GET", ("/packs/%s/difference?from=%s"):format(second, second), AUTHOR).items)
  end)

  it("is refused when its text is broken, or a statement is not signed by somebody who is trusted", function()
    local broken = ask(422, "POST", "/packs", AUTHOR, { bundle = "fastr bundle 1\na 9\n", message = "x" })
    assert.equal("pack_invalid", broken.code)
    local sealed = "fastr signed pack 1\nkey 0123456789abcdef\nsignature " .. ("A"):rep(86) .. "\n{}\n"
    local text = pack_of { "a.lua", "-- " .. uuid7() }
    assert.equal("pack_key_unknown",
      ask(422, "POST", "/packs", AUTHOR, { bundle = text, message = "x", sealed = sealed }).code)
    ask(404, "GET", "/packs/" .. bundle.hash(text), AUTHOR)
  end)

  -- A statement about a pack, signed with this host's key, which it trusts.
  local function sealed_with(text, more)
    local says = { type = "fastr pack 1", pack = bundle.hash(text), abi = fastr.rules.abi, author = "ada",
      points = fastr.json.array {}, message = "signed" }
    for point in fastr.setting("rules.points", ""):gmatch("[^;]+") do says.points[#says.points + 1] = point end
    for name, value in pairs(more) do says[name] = value end
    local line = rules_keys.own() and select(2, rules_keys.own()).line or assert(rules_keys.new("spec")).line
    rules_keys.trust(line)
    return assert(statement.sign(fastr.json.canonical(says)))
  end

  it("that is signed takes the gate's report that its signer saw, and no other", function()
    local text = pack_of { "a.lua", "-- " .. uuid7() }
    local seen = { ok = false, checks = fastr.json.array {}, counts = { files = 1 }, made_at = fastr.time.now() }
    local sealed = sealed_with(text, { report = fastr.crypto.sha256(fastr.json.canonical(seen)) })
    local body = { bundle = text, message = "x", sealed = sealed, report = GREEN }
    local refused = ask(422, "POST", "/packs", AUTHOR, body)
    assert.equal("report", refused.errors[1].path)
    body.report = seen
    local shown = ask(201, "POST", "/packs", AUTHOR, body)
    assert.same({ "ada", "signed", false }, { shown.author, shown.message, shown.green })
  end)

  it("is refused with a statement about another pack, and with a parent that is no hash", function()
    local one, other = pack_of { "a.lua", "-- " .. uuid7() }, pack_of { "a.lua", "-- " .. uuid7() }
    assert.equal("pack_unfit",
      ask(422, "POST", "/packs", AUTHOR, { bundle = one, message = "x", sealed = sealed_with(other, {}) }).code)
    for _, parent in ipairs { ("z"):rep(64), ("a"):rep(70), "sha256:" .. ("a"):rep(60) } do
      local refused = ask(422, "POST", "/packs", AUTHOR, { bundle = one, message = "x", parent = parent })
      assert.equal("parent", refused.errors[1].path)
    end
  end)

  it("that there is not, is 404; a name that is no hash is 422", function()
    assert.equal("pack_not_found", ask(404, "GET", "/packs/" .. ("0"):rep(64), AUTHOR).code)
    ask(422, "GET", "/packs/abc", AUTHOR)
  end)
end)

describe("an activation", function()
  local function wanted(hash, more)
    local body = { pack = hash, mode = "live", reason = "a spec's", hosts = fastr.json.array { "nowhere" } }
    for name, value in pairs(more or {}) do body[name] = value end
    return body
  end

  it("needs a green report, or somebody who forces it", function()
    local hash = published()
    assert.equal("pack_not_proved", ask(409, "POST", "/activations", APPROVER, wanted(hash)).code)
    ask(201, "POST", ("/packs/%s/reports"):format(hash), AUTHOR, { kind = "gate", green = false, document = { a = 1 } })
    ask(409, "POST", "/activations", APPROVER, wanted(hash))
    assert.is_true(ask(201, "POST", "/activations", APPROVER, wanted(hash, { force = true })).forced)
    ask(201, "POST", ("/packs/%s/reports"):format(hash), AUTHOR, { kind = "gate", green = true, document = { a = 1 } })
    assert.is_false(ask(201, "POST", "/activations", APPROVER, wanted(hash)).forced)
  end)

  it("is kept for ever, newest first, with who, where and why", function()
    local hash = published { report = GREEN }
    local canary = ask(201, "POST", "/activations", APPROVER, wanted(hash, { mode = "canary", share = 500 }))
    local newest = ask(200, "GET", "/activations?host=nowhere&limit=1", AUTHOR).items[1]
    assert.same(canary, newest)
    assert.same({ "canary", 500, "a spec's" }, { newest.mode, newest.share, newest.reason })
    local ok, err = pcall(function()
      return require("platform.db").open("rules"):write("delete from activations where id = $1", canary.id)
    end)
    assert.is_false(ok)
    assert.truthy(tostring(err.message or err):find("permission denied", 1, true))
  end)

  it("that is not whole is refused with the field", function()
    local hash = published { report = GREEN }
    for path, more in pairs { ["body.share"] = { mode = "canary" }, ["body.pack"] = { mode = "stop" } } do
      assert.equal(path, ask(422, "POST", "/activations", APPROVER, wanted(hash, more)).errors[1].path)
    end
    local refused = ask(422, "POST", "/activations", APPROVER, { mode = "live", reason = "x" })
    assert.equal("body.pack", refused.errors[1].path)
    ask(404, "POST", "/activations", APPROVER, wanted(("0"):rep(64)))
  end)

  it("is for approvers; a rollback for operators too; nothing of it for support", function()
    local hash = published { report = GREEN }
    ask(403, "POST", "/activations", AUTHOR, wanted(hash))
    ask(403, "POST", "/activations", OPERATOR, wanted(hash))
    ask(403, "POST", "/packs", OPERATOR, { bundle = "x", message = "x" })
    ask(403, "GET", "/hosts", SUPPORT)
    local back = ask(201, "POST", "/rollback", OPERATOR, { reason = "x", hosts = fastr.json.array { "nowhere" } })
    assert.same({ "rollback", fastr.json.null }, { back.mode, back.pack })
  end)
end)
