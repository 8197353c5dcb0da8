-- Canary and shadow on a served process of one's own: who answers which cart, what is counted, what stops it.
local host = require "spec.support.host"
local shell = require "spec.support.shell"
local compare = require "services.rules.compare"

-- /price?key=K&units=N&sku=S: what a cart of N units at 20.00 costs; /many?n=N: which pack decides for each of N keys.
local program = [[
local function facts(sku, units)
  return { currency = "GBP", now = "2026-12-01T10:00:00Z", zone = "GB",
    lines = { { sku = sku, quantity = units, unit_price = 2000 } } }
end
return { routes = {
  { method = "GET", path = "/price", handle = function(req)
    local q = req.query
    local decision, message, code = fastr.rules.decide("price.cart", facts(q.sku or "A", tonumber(q.units or "10")),
      { key = q.key, compare = q.compare ~= "no" and "money" or nil })
    if not decision then return 500, { message = message, code = code } end
    return 200, { total = decision.total, pack = message.pack }
  end },
  { method = "GET", path = "/many", handle = function(req)
    local packs = {}
    for i = 1, tonumber(req.query.n) do
      local _, info = fastr.rules.decide("price.cart", facts("A", 10),
        { key = "cart-" .. i, compare = req.query.compare })
      packs[i] = info.pack
    end
    return 200, packs
  end },
  { method = "GET", path = "/twice", handle = function(req)
    local first = fastr.rules.decide("price.cart", facts("A", 10), { key = req.query.key })
    fastr.time.sleep(1000)
    local second = fastr.rules.decide("price.cart", facts("A", 10), { key = req.query.key })
    return 200, { first.total, second.total }
  end },
  { method = "GET", path = "/accept", handle = function(req)
    return 200, (fastr.rules.decide("cart.accept", { currency = "GBP", lines = { { sku = "A", quantity = 2 } },
      stock = { A = 5 } }, { key = req.query.key, compare = "answer" }))
  end },
  { method = "GET", path = "/trial", handle = function() return 200, fastr.rules.trial() or {} end },
}, consumers = {}, schedules = {} }]]

local h, live, opened

-- A pack with `file` changed by `edit` (or set to it), stored on this host: its hash without prefix, and the pack.
local function version(file, edit)
  local text = live:files()[file]
  local pack = assert(live:with(file, type(edit) == "string" and edit or edit(text)))
  assert(pack:prove())
  opened[#opened + 1] = pack
  assert(pack:store())
  local hash = pack:hash():sub(8)
  assert(os.execute(("cp %s/packs/%s %s/var/packs/"):format(fastr.setting("var", "var"), hash, h.dir)) == 0)
  return hash, pack
end

local function discount(percent)
  return version("definitions/promotions.lua", function(text)
    return (text:gsub("value = 10 ", "value = " .. percent .. " "))
  end)
end

-- Half the order's discount: dearer for every cart of 150.00 and more.
local function halved() return discount(5) end

local function faulty(body)
  return version("promotions/faulty.lua", ([[return rule { doc = "Faulty.", stage = "item",
    apply = function(cart) for _, line in ipairs(cart:lines()) do if line.sku == "BAD" then %s end end end,
    examples = { { "nothing", cart = { A = { 1, 100 } }, total = 100 } } }]]):format(body))
end

local function get(path) return fastr.json.decode(h:get(path).body) end

-- Kills the workers one after the other; each time, another serves in its place before the next is killed.
local function kill_workers()
  for _, pid in ipairs(h:pids()) do
    host.kill(pid, "KILL")
    host.eventually("another serves", function()
      for _, now in ipairs(h:pids()) do
        if now == pid then return false end
      end
      return h:ready()
    end)
  end
end
local function trial() return get("/trial") end
local function price(key, more) return get("/price?key=" .. key .. (more or "")) end

local function ask(command, refused)
  local reply = h:ask(command)
  assert.equal(not refused, reply.ok, reply.error)
  if refused then assert.truthy(reply.error:find(refused, 1, true), reply.error) end
end

local function compared(n)
  return host.eventually("so many are compared: " .. n, function()
    local now = trial()
    return now.compared + now.dropped >= n and now
  end)
end

-- One host for all: what a test has begun or made live is undone.
setup(function()
  h = host.start { program = program }
  live, opened = assert(fastr.rules.open("scripts/rules")), {}
end)
teardown(function()
  h:stop()
  for _, pack in ipairs(opened) do pack:close() end
  live:close()
end)
before_each(function()
  h:ask("stop rules spec next")
  ask("activate rules " .. live:hash():sub(8) .. " spec")
end)

describe("a canary", function()
  it("answers its share of the keys, always the same ones, also those of a larger share", function()
    local hash = halved()
    ask("trial rules " .. hash .. " canary 500 me 10000 1 1000000")
    local first = get("/many?n=1000")
    local inside = 0
    for _, pack in ipairs(first) do
      assert.is_true(pack == live:hash() or pack == "sha256:" .. hash)
      if pack ~= live:hash() then inside = inside + 1 end
    end
    assert.is_true(inside >= 25 and inside <= 80, inside .. " of 1000 keys at 5 %") -- 50, within 4 standard deviations
    assert.same(first, get("/many?n=1000"))
    ask("trial rules " .. hash .. " canary 2500 me 10000 1 1000000")
    local wider = get("/many?n=1000")
    for i, pack in ipairs(first) do
      if pack ~= live:hash() then assert.equal(pack, wider[i]) end
    end
    assert.same({ 1000, true, 2500, "canary", "me" }, { trial().by_live + trial().by_candidate, trial().running,
      trial().share, trial().mode, trial().by })
    ask("stop rules me seen enough")
    for _, pack in ipairs(get("/many?n=1000")) do assert.equal(live:hash(), pack) end
    assert.equal("stopped by me: seen enough", trial().reason)
    assert.is_false(trial().breach)
  end)

  it("does not answer who names no key", function()
    ask("trial rules " .. halved() .. " canary 10000 me")
    assert.equal(18000, get("/price").total)
    assert.equal(19000, price("a", "&compare=no").total)
  end)

  it("that overcharges stops itself within a second, and nobody is refused", function()
    ask("trial rules " .. halved() .. " canary 3000 me 200 1 20")
    local seen, ended, breach = {}, nil, nil
    for i = 1, 200 do
      local reply = h:get("/price?key=cart" .. i)
      assert.equal(200, reply.status)
      local total = fastr.json.decode(reply.body).total
      seen[total] = (seen[total] or 0) + 1
      local now = trial()
      if now.compared >= 20 then breach = breach or fastr.time.unix_ms() end
      if not now.running then
        ended = now
        assert.is_true(fastr.time.unix_ms() - breach < 1000)
        break
      end
    end
    assert.is_table(ended)
    assert.is_true(ended.breach)
    assert.equal("dearer by 20000 minor units of GBP in 20 decisions, 5.56 % of the live sum; the limit is 2.00 %",
      ended.reason)
    assert.is_true(seen[18000] > 0 and seen[19000] > 0)
    for i = 1, 100 do assert.equal(18000, price("cart" .. i).total) end
    assert.truthy(h:log():find("a trial has stopped itself", 1, true))
    assert.truthy(h:get("/metrics").body:find('fastr_rules_trial_total{what="stopped"} 1', 1, true))
    local worst = ended.worst[1]
    assert.same({ 1000, "GBP", "A x 10", "ten_off_over_150" }, { worst.delta, worst.currency, worst.line, worst.rule })
    assert.truthy(worst.key:find("^cart%d%d?%.%.%.$"), worst.key)
  end)

  it("that raises is stopped, and nobody sees it", function()
    ask("trial rules " .. faulty("error('boom')") .. " canary 10000 me")
    assert.same({ 20000 * 0.9, live:hash() }, { price("a", "&sku=BAD").total, price("a", "&sku=BAD").pack })
    local ended = trial()
    assert.same({ false, true, 1, 0 }, { ended.running, ended.breach, ended.errors, ended.kills })
    assert.truthy(ended.reason:find("price.cart: promotions/faulty.lua:2:", 1, true), ended.reason)
    assert.truthy(ended.reason:find("boom", 1, true), ended.reason)
  end)

  it("that loops is stopped, and nobody sees it", function()
    ask("trial rules " .. faulty("while true do end") .. " canary 10000 me")
    assert.equal(18000, price("a", "&sku=BAD").total)
    assert.same({ false, 1, 1 }, { trial().running, trial().errors, trial().kills })
    assert.equal(18000, price("a").total)
  end)

  it("that is promoted ends, and its version is live; so does one beside which the live one is rolled back", function()
    local hash = halved()
    ask("trial rules " .. hash .. " canary 100 me")
    ask("activate rules " .. hash .. " boss")
    assert.equal(19000, price("a").total)
    assert.same({ false, "promoted by boss" }, { trial().running, trial().reason })
    local other = discount(7)
    ask("trial rules " .. other .. " canary 10000 me 10000 1 20")
    assert.equal(18600, price("a").total)
    ask("rollback rules boss")
    assert.equal(18000, price("a").total)
    assert.same({ false, live:hash():sub(8, 19) .. " was rolled back to by boss" }, { trial().running, trial().reason })
  end)

  it("that is stopped is finished by the requests that it has answered in part", function()
    ask("trial rules " .. discount(8) .. " canary 10000 me")
    local results = fastr.all {
      function() return get("/twice?key=a") end,
      function()
        host.eventually("the request has decided", function() return trial().by_candidate == 1 end)
        ask("stop rules me enough")
        return price("a").total
      end,
    }
    assert.same({ 18400, 18400 }, results[1][1])
    assert.equal(18000, results[2][1])
  end)

  it("goes on in a worker that was killed and came back", function()
    local hash = halved()
    ask("trial rules " .. hash .. " canary 5000 me 10000 1 1000000")
    local before = get("/many?n=200")
    kill_workers()
    for _ = 1, 10 do assert.same(before, get("/many?n=200")) end
    assert.is_true(trial().running)
  end)

  it("that a worker which comes back cannot build any more is stopped; the worker serves what is live", function()
    local hash = discount(6)
    ask("trial rules " .. hash .. " canary 10000 me")
    assert.equal(18800, price("a", "&compare=no").total)
    assert(os.remove(h.dir .. "/var/packs/" .. hash))
    kill_workers()
    assert.equal(18000, price("a").total)
    assert.is_true(trial().breach)
    assert.truthy(trial().reason:find("^the candidate failed: .*" .. hash:sub(1, 12)), trial().reason)
  end)

  it("is of a version that is named by its hash, which is no path", function()
    for _, command in ipairs { "trial rules ../run/leader canary 10 me", "activate rules ../run/leader me",
      "prepare rules " .. ("A"):rep(64) } do
      local reply = h:ask(command)
      assert.is_false(reply.ok)
      assert.truthy(reply.error:find("64 hexadecimal digits", 1, true))
    end
  end)

  it("is one for all masters of the host: what one counts stops it for the other", function()
    local port = host.free_port()
    local other = setmetatable({ name = "second", url = "http://127.0.0.1:" .. port }, { __index = h })
    local pid = tonumber(shell.must(("%s FASTR_NAME=second FASTR_LISTEN=127.0.0.1:%d FASTR_WORKERS=1 %s/fastr serve "
      .. ">%s/second 2>&1 </dev/null & echo $!"):format(h.env, port, os.getenv("FASTR_BUILD") or "build", h.dir)))
    finally(function()
      host.kill(pid, "TERM")
      host.eventually("the second master ends", function() return not host.alive(pid) end, 40)
    end)
    host.eventually("the second master serves", function() return other:ready() end)
    ask("trial rules " .. halved() .. " canary 10000 me")
    for i = 1, 20 do assert.equal(19000, fastr.json.decode(other:get("/price?key=cart" .. i).body).total) end
    host.eventually("it is stopped", function() return not trial().running end)
    assert.equal(18000, price("cart1").total)
    assert.same({ 20, 20 }, { trial().compared, trial().by_candidate })
  end)

  it("does not begin with what is live, is not there or does not build, nor beside another one", function()
    local hash = halved()
    ask("trial rules " .. live:hash():sub(8) .. " canary 500 me", "is what is live")
    ask("trial rules " .. ("0"):rep(64) .. " canary 500 me", "0000")
    local cut = discount(3)
    shell.write(h.dir .. "/var/packs/" .. cut, "fastr bundle 1\ninit.lua 99")
    ask("trial rules " .. cut .. " canary 500 me", "broken bundle")
    assert.equal(18000, price("a").total)
    ask("trial rules " .. hash .. " canary 0 me", "SHARE is 1 to 10000")
    ask("trial rules " .. hash .. " canary 10001 me", "SHARE is 1 to 10000")
    ask("trial scripts " .. hash .. " canary 500 me", "no trial of that line")
    ask("stop rules me nothing", "no trial of rules runs")
    ask("trial rules " .. hash .. " shadow 10000 me")
    ask("trial rules " .. faulty("error()") .. " canary 500 you",
      "a trial of " .. hash:sub(1, 12) .. " runs, begun by me")
    assert.equal(hash, trial().hash)
  end)
end)

describe("a shadow", function()
  it("whose candidate would refuse carts is stopped, and none was refused", function()
    ask("trial rules " .. halved() .. " shadow 10000 me")
    for i = 1, 25 do assert.is_true(get("/accept?key=cart" .. i).accept) end
    host.eventually("all are compared", function() return trial().judged == 25 end)
    assert.same({ 0, true }, { trial().otherwise, trial().running })
    local hash = version("cart/accept.lua", function(text)
      return (text:gsub("return { accept", "if facts.stock and facts.stock.A == 5 then "
        .. "problems[1] = { sku = 'A', code = 'five', detail = 'five' } end return { accept"))
    end)
    ask("stop rules me next")
    ask("trial rules " .. hash .. " shadow 10000 me")
    for i = 1, 25 do assert.is_true(get("/accept?key=cart" .. i).accept) end
    host.eventually("it is stopped", function() return not trial().running end)
    assert.equal("other answers than the live ones in 20 of 20 decisions, the last cart.accept; the limit is 2.00 %",
      trial().reason)
  end)

  it("changes no answer and counts what compare finds on the same carts", function()
    local hash, candidate = halved()
    ask("trial rules " .. hash .. " shadow 10000 me 10000 1 1000000")
    local expected = { base = 0, dearer = 0, differing = 0 }
    for i = 1, 60 do
      local facts = { currency = "GBP", now = "2026-12-01T10:00:00Z", zone = "GB",
        lines = { { sku = "A", quantity = i, unit_price = 2000 } } }
      local before, after = live:decide("price.cart", facts), candidate:decide("price.cart", facts)
      local difference = compare.decisions(before, after)
      expected.base = expected.base + before.total
      expected.dearer = expected.dearer + (difference and difference.delta or 0)
      expected.differing = expected.differing + (difference and 1 or 0)
      local answer = price("cart" .. i, "&units=" .. i)
      assert.same({ before.total, live:hash() }, { answer.total, answer.pack })
    end
    local now = compared(60)
    assert.same({ 0, 60, expected.differing, 0 }, { now.dropped, now.compared, now.differing, now.by_candidate })
    assert.same({ currency = "GBP", compared = 60, base = expected.base, dearer = expected.dearer, cheaper = 0,
      difference = expected.dearer }, now.money[1])
    assert.equal(10, #now.worst)
    assert.same({ key = "cart60...", delta = 6000, currency = "GBP", line = "A x 60", rule = "ten_off_over_150" },
      now.worst[1])
  end)

  it("leaves out comparisons that would wait too long, and counts them", function()
    ask("trial rules " .. halved() .. " shadow 10000 me 10000 1 1000000")
    get("/many?n=1000&compare=money")
    local now = compared(1000)
    assert.same({ 256, 744 }, { now.compared, now.dropped })
    assert.truthy(h:get("/metrics").body:find('fastr_rules_trial_total{what="dropped"} ', 1, true))
  end)

  it("whose candidate raises is stopped, and no answer has changed", function()
    ask("trial rules " .. faulty("error('boom')") .. " shadow 10000 me")
    assert.equal(18000, price("a", "&sku=BAD").total)
    host.eventually("it is stopped", function() return not trial().running end)
    assert.same({ true, 1 }, { trial().breach, trial().errors })
  end)
end)
