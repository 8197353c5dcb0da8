-- Two hosts beside the shop's database: what is activated reaches it; what it may not run it refuses and tells;
-- a host that was away catches up before it serves; what was done on it is written down when it can be.
local database = require "platform.db"
local host = require "spec.support.host"
local keys = require "services.auth.keys"
local program = require "spec.support.program"
local rules_keys = require "services.rules.keys"
local session = require "platform.session"
local shell = require "spec.support.shell"
local statement = require "services.rules.statement"

local db = database.open("rules")
local call = program.of { "rules" }
local uuid7 = fastr.crypto.uuid7

local NAME = "spec-" .. uuid7():sub(-12)
local OTHER = NAME .. "-b"

-- What the shop's processes are told, for a host that serves only its agent and what tells the live pack.
local PROGRAM = [[
  local jobs = require "services.rules.jobs"
  return { routes = {
      { method = "GET", path = "/pack", handle = function()
        return 200, { pack = fastr.rules.pack() or fastr.json.null } end },
      { method = "GET", path = "/price", handle = function()
        return 200, (fastr.rules.decide("price.cart", { currency = "GBP", now = "2026-11-25T12:00:00Z",
          lines = { { sku = "A", quantity = 10, unit_price = 2000 } } }, { key = "a cart", compare = "money" }))
      end } },
    schedules = { { name = "rules.follow", every_ms = 50, one = true, handle = function()
      fastr.task.set("service", "rules")
      return jobs.follow()
    end } } }
]]

local h, other, base_env

local function env(name) return assert(os.getenv(name), name .. " is not set: run this with bin/fastr spec") end

local APPROVER = { Authorization = "Bearer " .. keys.sign({ aud = session.audience, sub = uuid7(),
  roles = fastr.json.array { "rule_approver" } }, 600) }

local function ask(expected, method, path, body)
  local status, reply = call(method, "/api/v1/rules" .. path, { body = body, headers = APPROVER })
  assert.equal(expected, status, fastr.json.encode(reply))
  return reply
end

local function live(of) return fastr.json.decode((of or h):get("/pack").body).pack end

local function done(arguments)
  local code, said = h:fastr(arguments)
  assert.equal(0, code, said)
  return said
end

local function text_of(path) return assert(fastr.files.read(path)) end

-- Other rules, signed with the host's key: hash, stored form, signed statement.
local function made(note)
  h:write("scripts/rules/definitions/note.lua", ("return { %q, %q }\n"):format(note, NAME))
  local pack = assert(fastr.rules.open(h.dir .. "/scripts/rules"))
  local files, names, out = pack:files(), {}, { "fastr bundle 1\n" }
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do out[#out + 1] = ("%s %d\n%s\n"):format(name, #files[name], files[name]) end
  local says = statement.of(pack, { author = "spec", message = "a note" })
  local line, private = text_of(h.dir .. "/var/secrets/rules_key"):match("^([^\n]*)\n(.*)$")
  return pack:hash(), table.concat(out),
    statement.text(rules_keys.read(line).id, fastr.crypto.base64url(fastr.crypto.sign(private, says)), says)
end

-- The same, brought to the service: the host has to fetch them.
local function published(note)
  local hash, text, sealed = made(note)
  ask(201, "POST", "/packs", { bundle = text, message = "a note", report = { ok = true } })
  db:write("insert into signatures (pack, key, sealed) values ($1, $2, $3)", hash:sub(8), statement.parts(sealed).key,
    sealed)
  return hash
end

local function activate(hash, more)
  local body = { pack = hash, mode = "live", reason = "a spec's", hosts = fastr.json.array { NAME } }
  for name, value in pairs(more or {}) do body[name] = value end
  return ask(201, "POST", "/activations", body)
end

local function record(name)
  for _, row in ipairs(ask(200, "GET", "/hosts").items) do
    if row.name == (name or NAME) then return row end
  end
end

local function history() return ask(200, "GET", "/activations?limit=20&host=" .. NAME).items end

describe("a host's agent", function()
  local key

  -- A host called `name` that demands signatures and trusts the key of the first: "" for the first itself.
  local function begin(name)
    local new = host.make { program = PROGRAM, workers = 1 }
    new:add_tools()
    shell.must(("mkdir -p %s/var/packs %s/var/secrets %s/var/run"):format(new.dir, new.dir, new.dir))
    for variable, value in pairs(base_env) do new.env = new.env .. (" %s='%s'"):format(variable, value) end
    new.env = new.env .. " FASTR_RULES_AGENT=true FASTR_RULES_HOST=" .. name
    return new
  end

  lazy_setup(function()
    base_env = { FASTR_RULES_SIGNED = "true" }
    for _, name in ipairs { "FASTR_PG_PRIMARY", "FASTR_PG_REPLICAS", "FASTR_PG_PASSFILE", "FASTR_REDIS_ADDRESS",
      "FASTR_KAFKA_BROKERS", "FASTR_PUBLIC_URL" } do base_env[name] = env(name) end
    h, other = begin(NAME), begin(OTHER)
    key = done("rules key new spec"):match("ed25519 [^\n]+")
    h:write("key.pub", key .. "\n")
    for _, each in ipairs { h, other } do
      assert.equal(0, (each:fastr("rules key trust " .. h.dir .. "/key.pub")))
    end
    local hash, text, sealed = made "the first"
    shell.must(("cp %s/scripts/rules/definitions/note.lua %s/scripts/rules/definitions/"):format(h.dir, other.dir))
    for _, each in ipairs { h, other } do
      each:write("var/packs/" .. hash:sub(8), text)
      each:write("var/packs/" .. hash:sub(8) .. ".sig", sealed)
      each:begin()
    end
  end)
  lazy_teardown(function()
    h:stop()
    other:stop()
    db:write("delete from hosts where name in ($1, $2)", NAME, OTHER)
  end)

  it("follows what is activated, with a pack that it fetches, and says so; so does another's", function()
    local hash = published "1"
    local row = activate(hash, { hosts = fastr.json.array { NAME, OTHER } })
    for name, each in pairs { [NAME] = h, [OTHER] = other } do
      host.eventually("the pack is live", function() return live(each) == hash end)
      host.eventually("the host says so", function()
        local seen = record(name)
        return seen and seen.live == hash and seen.applied >= row.number and seen.refused == fastr.json.null
      end)
    end
  end)

  it("is among the hosts that fastr rules status shows on another", function()
    local code, said = shell.run((os.getenv("FASTR_BUILD") or "build") .. "/fastr rules status --json 2>&1")
    assert.equal(0, code, said)
    local seen = {}
    for _, each in ipairs(fastr.json.decode(said:match("{.*")).hosts) do seen[each.name] = each.live end
    assert.same({ live(), live(other) }, { seen[NAME], seen[OTHER] })
    assert.truthy(shell.must((os.getenv("FASTR_BUILD") or "build") .. "/fastr rules status"):find(("host     %s   %s")
      :format(OTHER, live(other):sub(8, 14)), 1, true))
  end)

  it("leaves alone what is for another host", function()
    local before, hash = live(), published "one for the other"
    local row = activate(hash, { hosts = fastr.json.array { OTHER } })
    host.eventually("the other has it", function() return live(other) == hash end)
    host.eventually("the first has passed it by", function() return record().applied >= row.number end)
    assert.equal(before, live())
  end)

  it("refuses what is signed by nobody whom it trusts, tells why, and takes it once it does", function()
    local before, hash = live(), published "2"
    done("rules key forget spec")
    local row = activate(hash)
    host.eventually("the host tells of it", function()
      local seen = record()
      return seen.refused ~= fastr.json.null and seen.refused.activation == row.number
        and seen.refused.problem:find("does not trust", 1, true)
    end)
    assert.equal(before, live())
    done("rules key trust " .. h.dir .. "/key.pub")
    host.eventually("the pack is live", function() return live() == hash end, 15)
  end)

  it("catches up before it serves, when it was away", function()
    local first, hash = published "3", published "4"
    h:quit()
    activate(first)
    activate(hash)
    local pid = tonumber(shell.must(("%s %s/fastr serve >>%s/log 2>&1 </dev/null & echo $!"):format(h.env,
      os.getenv("FASTR_BUILD") or "build", h.dir)))
    h.pid = pid
    host.eventually("a ready reply", function()
      local reply = h:get("/readyz")
      if reply.status ~= 200 then return false end
      assert.equal(hash, live())
      return true
    end, 20)
  end)

  it("writes down what was done on the host itself, once, with who and why", function()
    local hash = live()
    done("rules rollback --reason 'too dear'")
    local now = live()
    assert.are_not.equal(hash, now)
    local row = host.eventually("the service knows", function()
      local newest = history()[1]
      return newest.done_on == NAME and newest.mode == "rollback" and newest
    end)
    assert.same({ now, "too dear" }, { row.pack, row.reason })
    assert.truthy(row.by:find("@" .. NAME, 1, true))
    fastr.time.sleep(1200)
    assert.equal(row.id, history()[1].id)
    assert.equal(now, live())
  end)

  it("has what it followed last as the last word, also over what was done here just before", function()
    local hash = published "over a rollback"
    done("rules rollback --reason 'a moment before'")
    activate(hash)
    host.eventually("the service's last word is what is live here", function()
      local rows = history()
      return live() == hash and rows[1].pack == hash and rows[2].reason == "a moment before"
    end, 10)
    assert.same({ hash, hash }, { live(), history()[1].pack })
  end)

  it("writes down what was done under a clock that went back, and by whoever says he is the agent", function()
    h:quit()
    h:write("var/run/rules-agent", (text_of(h.dir .. "/var/run/rules-agent"):gsub('"noted":%d+',
      ('"noted":%.0f'):format(fastr.time.unix_ms() * 1000 + 86400e6))))
    h:begin()
    local hash = published "under a clock"
    activate(hash)
    host.eventually("it is live", function() return live() == hash end)
    local env_before = h.env
    h.env = h.env .. " 'USER=#1/x y' 'SUDO_USER=#1/x y'"
    done("rules rollback --reason \"caf$(printf '\\351')\"")
    h.env = env_before
    host.eventually("the service knows", function()
      local newest = history()[1]
      return newest.done_on == NAME and newest.reason:find("^caf") and newest.by:find("^%w+@")
    end)
  end)

  it("rolls back by the service, to what the host had before", function()
    local before, hash = published "5", published "6"
    activate(before)
    host.eventually("the first is live", function() return live() == before end)
    activate(hash)
    host.eventually("the second is live", function() return live() == hash end)
    ask(201, "POST", "/rollback", { reason = "a spec's", hosts = fastr.json.array { NAME } })
    host.eventually("the first is live again", function() return live() == before end)
  end)

  it("rolls back once, although the canary that was asked for next is refused for ever", function()
    local before, after, untrusted = published "one before", published "one after", published "by nobody"
    activate(before)
    host.eventually("the first is live", function() return live() == before end)
    activate(after)
    host.eventually("the second is live", function() return live() == after end)
    h:quit()
    done("rules key forget spec")
    ask(201, "POST", "/rollback", { reason = "a spec's", hosts = fastr.json.array { NAME } })
    local row = activate(untrusted, { mode = "canary", share = 500 })
    h:begin()
    host.eventually("the canary is refused", function()
      local refused = record().refused
      return refused ~= fastr.json.null and refused.activation == row.number
    end)
    fastr.time.sleep(2500) -- it is tried again every two seconds
    assert.equal(before, live())
    ask(201, "POST", "/activations", { mode = "stop", reason = "enough", hosts = fastr.json.array { NAME } })
    host.eventually("nothing is refused any more", function() return record().refused == fastr.json.null end)
    done("rules key trust " .. h.dir .. "/key.pub")
  end)

  it("tries a canary and stops it", function()
    activate(published "7", { mode = "canary", share = 500 })
    local function trial()
      local of = record().trial
      return of ~= fastr.json.null and of
    end
    host.eventually("the canary runs", function() return trial() and trial().running end)
    ask(201, "POST", "/activations", { mode = "stop", reason = "enough", hosts = fastr.json.array { NAME } })
    host.eventually("it has ended", function() return trial() and not trial().running end)
  end)

  it("ends a canary everywhere when it stopped itself on one host, and no other one", function()
    local promotions = "scripts/rules/definitions/promotions.lua"
    local cheap = text_of(h.dir .. "/" .. promotions)
    h:write(promotions, (cheap:gsub('"order_percent", value = 10', '"order_percent", value = 5')))
    local hash = published "dearer"
    h:write(promotions, cheap)
    local later = published "another"
    local both = { mode = "canary", share = 10000, hosts = fastr.json.array { NAME, OTHER },
      limits = { drift = 100, errors = 1, after = 1 } }
    activate(hash, both)
    local function trial(name)
      local of = record(name).trial
      return of ~= fastr.json.null and of or nil
    end
    local function runs(name) return trial(name) and trial(name).running and "sha256:" .. trial(name).hash == hash end
    host.eventually("it runs on both", function() return runs(NAME) and runs(OTHER) end)
    assert.equal(200, h:get("/price").status)
    host.eventually("it has ended on both", function() return not runs(NAME) and not runs(OTHER) end, 15)
    assert.is_true(trial(NAME).breach)
    assert.is_false(trial(OTHER).breach)
    local stop = history()[1]
    assert.same({ "stop", hash, NAME, fastr.json.null }, { stop.mode, stop.pack, stop.done_on, stop.hosts })
    activate(later, both)
    host.eventually("the next one runs", function() return trial(OTHER).running end)
    ask(201, "POST", "/activations", { mode = "stop", reason = "enough", hosts = fastr.json.array { NAME, OTHER } })
    host.eventually("it has ended", function() return not trial(NAME).running and not trial(OTHER).running end)
  end)

  it("needs no database to roll back, and writes it down afterwards", function()
    local with_database = h.env
    local eighth = published "8"
    activate(eighth)
    host.eventually("it is live", function() return live() == eighth end)
    h:quit()
    h.env = with_database:gsub("FASTR_PG_PRIMARY='[^']*'", "FASTR_PG_PRIMARY='hostaddr=127.0.0.1 port=9 dbname=shop'")
      :gsub("FASTR_PG_REPLICAS='[^']*'", "FASTR_PG_REPLICAS='hostaddr=127.0.0.1 port=9 dbname=shop'")
    h.pid = tonumber(shell.must(("%s %s/fastr serve >>%s/log 2>&1 </dev/null & echo $!"):format(h.env,
      os.getenv("FASTR_BUILD") or "build", h.dir)))
    local hash = host.eventually("it serves what was live", live, 20)
    local began = fastr.time.unix_ms()
    done("rules rollback --reason 'no database'")
    assert.is_true(fastr.time.unix_ms() - began < 2000)
    assert.are_not.equal(hash, live())
    h:quit()
    h.env = with_database
    h:begin()
    local row = host.eventually("it is written down", function()
      local newest = history()[1]
      return newest.reason == "no database" and newest
    end, 15)
    assert.equal(live(), row.pack)
  end)
end)
