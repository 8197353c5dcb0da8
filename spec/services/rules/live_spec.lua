-- fastr rules new, activate, off, on, rollback, status: on a host of one's own, with a master and two workers.
local host = require "spec.support.host"

local program = [[
return { routes = { { method = "GET", path = "/price", handle = function(req)
  local decision, info = fastr.rules.decide("price.cart", { currency = "GBP", now = "2026-12-01T10:00:00Z", zone = "GB",
    lines = { { sku = "A", quantity = 10, unit_price = 2000 } } }, { explain = "full" })
  return 200, { total = decision.total, trace = decision.trace, pack = info.pack }
end }, { method = "GET", path = "/rounded", handle = function(req)
  local decision, message = fastr.rules.decide("price.cart", { currency = "GBP", now = "2026-12-01T10:00:00Z",
    lines = { { sku = "A", quantity = 1, unit_price = 12345 }, { sku = "B", quantity = 1, unit_price = 50 } },
    promotions = { { id = "round", actions = { { type = "round_down", value = 1000 } } } } }, { explain = "full" })
  return 200, decision or { problem = message }
end } }, consumers = {}, schedules = {} }]]

local h

local function price() return fastr.json.decode(h:get("/price").body) end

local function rules(words, expected)
  local code, said = h:fastr("rules " .. words)
  assert.equal(expected or 0, code, said)
  return said
end

local function edit(from, to)
  local path = h.dir .. "/scripts/rules/definitions/promotions.lua"
  local text = assert(fastr.files.read(path))
  local at, stop = text:find(from, 1, true)
  assert(at, "no " .. from)
  h:write("scripts/rules/definitions/promotions.lua", text:sub(1, at - 1) .. to .. text:sub(stop + 1))
end

before_each(function()
  h = host.start { program = program }
  h:add_tools()
  assert(os.execute(("cp -r spec/rules/golden %s/"):format(h.dir)) == 0)
  h.env = h.env .. " FASTR_RULES_GOLDEN=" .. h.dir .. "/golden"
end)
after_each(function() h:stop() end)

it("an activated pack prices the next request in every worker, a rollback undoes it, no process ends", function()
  local pids = h:pids()
  assert.equal(18000, price().total)
  edit("value = 10", "value = 20")
  assert.truthy(rules("activate"):find("live as %x+   undo: fastr rules rollback"))
  for _ = 1, 20 do assert.equal(16000, price().total) end
  rules("rollback")
  for _ = 1, 20 do assert.equal(18000, price().total) end
  assert.same(pids, h:pids())
end)

it("a new kind of promotion is one Lua file, added while every worker serves", function()
  local pids = h:pids()
  local function rounded() return fastr.json.decode(h:get("/rounded").body) end
  assert.equal("promotions[1].actions[1].type: there is no action type 'round_down'", rounded().problem)
  h:write("scripts/rules/price/actions/round_down.lua", [[
    -- round_down: what the lines cost together, down to a multiple of the value.
    return { stage = "order", value = "amount",
      apply = function(cart, action, lines) cart.ledger:order(lines, cart.ledger:total(lines) % action.value) end }]])
  rules("activate")
  for _ = 1, 20 do
    local decision = rounded()
    assert.equal(12000, decision.total)
    assert.same({ "round", 395 }, { decision.trace[1].rule, decision.trace[1].amount })
  end
  rules("rollback")
  assert.truthy(rounded().problem)
  assert.same(pids, h:pids())
end)

it("the page's new kind of promotion, and a definition that uses it, are live as the page says", function()
  local section = assert(fastr.files.read("docs/rules.md")):match("\n### A new kind of promotion\n(.-)\n## ")
  local kind, definition = section:match("```lua\n(.-)```.-```lua\n(.-)```")
  local pids = h:pids()
  h:write("scripts/rules/price/actions/every_full_amount.lua", kind)
  edit("return {\n", "return {\n" .. definition)
  for command in section:match("```sh\n(.-)```"):gmatch("bin/fastr rules ([^\n]+)") do rules(command) end
  for _ = 1, 20 do assert.equal(17100, price().total) end -- 200.00 less a tenth; a twentieth of nine times 20.00
  rules("rollback")
  assert.equal(18000, price().total)
  assert.same(pids, h:pids())
end)

it("a promotion of a kind that nobody has thought of is one Lua file, from fastr rules new to live", function()
  assert.equal(18000, price().total)
  rules("new prime_quantities")
  h:write("scripts/rules/promotions/prime_quantities.lua", [[
    return rule {
      doc = "A penny off for each unit, but on prime quantities.",
      stage = "item", from = "2026-11-01T00:00:00Z",
      apply = function(cart)
        for _, line in ipairs(cart:lines()) do
          local prime = line.quantity > 1
          for k = 2, math.floor(math.sqrt(line.quantity)) do prime = prime and line.quantity % k > 0 end
          if not prime then cart:line_off(line, line.quantity) end
        end
      end,
      examples = { { "seven", cart = { A = { 7, 100 } }, total = 700 },
        { "eight", cart = { A = { 8, 100 } }, total = 792 } },
    }]])
  h:write("scripts/rules/spec/prime_quantities_spec.lua", [[it("looks at each line by itself", function()
    local decision = rules.price { A = { 4, 100 }, B = { 1, 100 }, C = { 5, 9 } }
    assert.equal(5, rules.entry(decision, "prime_quantities").amount)
  end)]])
  assert.truthy(rules("check", 1):find("prime_quantities", 1, true))
  rules("accept")
  rules("check")
  rules("activate")
  for _ = 1, 20 do assert.equal(17991, price().total) end -- (20000 - 10) less a tenth
  local named = false
  for _, entry in ipairs(price().trace) do named = named or entry.rule == "prime_quantities" and entry.amount == 10 end
  assert.is_true(named)
  rules("off prime_quantities --reason enough")
  assert.equal(18000, price().total)
end)

it("a pack that does not hold changes nothing, and the line is shown", function()
  edit("value = 10", "value = 'much'")
  local said = rules("activate", 1)
  assert.truthy(said:find("definitions/promotions.lua:6:43: [1].actions[1].value: ", 1, true), said)
  assert.equal(18000, price().total)
end)

it("a stored version is named by the beginning of its hash, as it is shown, if only one begins so", function()
  local live = fastr.json.decode(rules("status --json")).live
  assert.truthy(rules("check sha256:" .. live:sub(8, 14)):find("^ok"))
  local said = rules("activate sha256:" .. live:sub(8, 13), 1)
  assert.truthy(said:find("7 digits of a hash are needed, or more", 1, true), said)
  said = rules("activate sha256:0000000", 1)
  assert.truthy(said:find("no pack on this host has a hash that begins with 0000000", 1, true), said)
end)

it("a promotion that is switched off is off at once, says why, and comes back", function()
  rules("off ten_off_over_150 --reason 'it costs too much'")
  local priced = price()
  assert.equal(20000, priced.total)
  for _, entry in ipairs(priced.trace) do
    if entry.rule == "ten_off_over_150" then assert.equal("enabled", entry.condition) end
  end
  assert.truthy(rules("status"):find("off +ten_off_over_150: it costs too much"))
  assert.truthy(rules("off ten_off_over_150 --reason again", 1):find("is off already: it costs too much", 1, true))
  -- What is on disk follows, so that the next save does not bring it back.
  assert.truthy(rules("check"):find("^ok"))
  rules("activate")
  assert.equal(20000, price().total)
  rules("on ten_off_over_150")
  assert.equal(18000, price().total)
end)

it("who switches off what is not there, or says no reason, is told so, and nothing changes", function()
  local before = price().pack
  assert.truthy(rules("off tenoff --reason x", 1):find("fastr rules off: there is no promotion 'tenoff'", 1, true))
  assert.truthy(rules("off ten_off_over_150", 2):find("--reason TEXT is needed", 1, true))
  assert.truthy(rules("on ten_off_over_150", 1):find("is not switched off", 1, true))
  assert.equal(before, price().pack)
end)

it("status names what is live, what is on disk, and what each master runs", function()
  edit("value = 10", "value = 15")
  local said = rules("status")
  assert.truthy(said:find("^live +%x%x%x%x%x%x%x   by "), said)
  assert.truthy(said:find("\non disk  %x"), said)
  assert.truthy(said:find("\n  spec +2 workers   %x"), said)
  local report = fastr.json.decode(rules("status --json"))
  assert.equal(price().pack, report.live)
end)

it("an edit on disk that was not made live is left alone by off", function()
  edit("value = 10", "value = 15")
  assert.truthy(rules("off ten_off_over_150 --reason slow"):find("were left alone", 1, true))
  assert.equal(20000, price().total)
  assert.is_nil(rules("status"):find("on disk  unreadable", 1, true))
end)

it("a version is tried on a share of the carts, stopped with a reason, and promoted; not when asked wrongly", function()
  for words, what in pairs { ["--canary 0%"] = "--canary 0%: a percentage from 0.01 to 100 is expected",
    ["--canary 5% --shadow"] = "exclude each other", ["--drift 2%"] = "--drift goes with --canary or --shadow",
    ["--canary 5% --after none"] = "--after none: a whole number", ["--shadow --drift x"] = "--drift x",
    ["--canary 5% --sample 5%"] = "--sample goes with --shadow" } do
    local said = rules("activate " .. words, 2)
    assert.truthy(said:find(what, 1, true), said)
  end
  assert.truthy(rules("stop", 2):find("--reason TEXT is needed", 1, true))
  assert.truthy(rules("activate --canary 5%", 1):find("is what is live", 1, true))
  edit("value = 10", "value = 20")
  assert.truthy(rules("activate --canary 5%"):find("^%x+ on trial: canary of 5 %% of the carts "))
  assert.equal(18000, price().total)
  local trial = fastr.json.decode(rules("status --json")).trial
  assert.same({ true, "canary", 500, { drift = 200, errors = 1, after = 20 } },
    { trial.running, trial.mode, trial.share, trial.limits })
  local said = rules("status")
  assert.truthy(said:find("\ntrial +%x+   canary of 5 %% of the carts, by "), said)
  local code
  code, said = h:fastr("status") -- 1: the spec's host has no shop
  assert.truthy(said:find("\ntrial +%x+  canary of 5 %% by .-: runs"), code .. said)
  assert.truthy(rules("stop --reason 'too dear, by far'"):find("^stopped: "))
  assert.truthy(rules("status"):find(": over: stopped by %w+: too dear, by far"))
  assert.truthy(rules("stop --reason again", 1):find("no trial of rules runs", 1, true))
  rules("activate --shadow --sample 50% --drift 0.5% --errors 3 --after 100")
  trial = fastr.json.decode(rules("status --json")).trial
  assert.same({ "shadow", 5000, { drift = 50, errors = 3, after = 100 } }, { trial.mode, trial.share, trial.limits })
  rules("activate")
  assert.equal(16000, price().total)
  assert.truthy(rules("status"):find(": over: promoted by ", 1, true))
end)
