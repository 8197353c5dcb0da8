-- fastr rules new, check, try, explain, replay, watch: as a rule developer types them, over a pack of his own and the
-- retailer's invoices, with no server.
local host = require "spec.support.host"
local invoices = require "spec.support.invoices"
local shell = require "spec.support.shell"

local run, must, write = shell.run, shell.must, shell.write

local home, folder

-- exit code, and what it said on both outputs
local function rules(words)
  return run(("FASTR_VAR=%s FASTR_RULES_DIR=%s bin/fastr rules %s"):format(home, folder, words))
end

local function read(path) return assert(fastr.files.read(path)) end

-- Edits a file of the pack: each plain text `from` becomes `to`.
local function edit(name, from, to)
  local text = read(folder .. "/" .. name)
  local at, stop = text:find(from, 1, true)
  assert(at, name .. " has no " .. from)
  write(folder .. "/" .. name, text:sub(1, at - 1) .. to .. text:sub(stop + 1))
end

local function save_orders(orders)
  local lines = {}
  for i, order in ipairs(orders) do lines[i] = fastr.json.encode(order) end
  write(home .. "/orders", table.concat(lines, "\n") .. "\n")
end

local orders -- decided once: they are the same for every spec

local function lines_of(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

before_each(function()
  home = os.tmpname()
  os.remove(home)
  folder = home .. "/rules"
  must(("mkdir -p %s/packs && cp -r scripts/rules %s"):format(home, folder))
  local pack = assert(fastr.rules.open("scripts/rules"))
  orders = orders or invoices.orders(pack, 120)
  -- Stored where this installation's packs are, then copied to the spec's own.
  assert(pack:store())
  local stored = fastr.setting("var", "var") .. "/packs/" .. pack:hash():sub(8)
  must(("cp %s %s/packs/"):format(stored, home))
end)

after_each(function() must("rm -rf " .. home) end)

describe("fastr rules new", function()
  it("makes a rule that passes the gate as it is", function()
    local code, said = rules("new mugs")
    assert.equal(0, code, said)
    assert.truthy(said:find("made " .. folder .. "/promotions/mugs.lua", 1, true), said)
    code, said = rules("check --parent scripts/rules")
    assert.equal(0, code, said)
    assert.truthy(said:find("and  " .. folder .. "/spec/mugs_spec.lua", 1, true)
      or read(folder .. "/spec/mugs_spec.lua"))
    assert.truthy(said:find("ok +specs +6 in 2 files hold"), said)
    code, said = rules("try 84997D*4")
    assert.equal(0, code, said)
    assert.truthy(said:find("\n  mugs +%l+"), said)
  end)

  it("begins with a promotion of the cookbook", function()
    local code, said = rules("new spring_frames --like three_for_ten")
    assert.equal(0, code, said)
    assert.truthy(read(folder .. "/promotions/spring_frames.lua"):find("^%-%- spring_frames: any three of a shelf"))
    code, said = rules("check")
    assert.equal(0, code, said)
  end)

  it("refuses a name that is taken or none, says what to do, and leaves the folder as it was", function()
    local before = fastr.rules.hash(folder)
    for name, expected in pairs {
      three_for_two_candles = "promotions/three_for_two_candles.lua is there already: edit it",
      ten_off_over_150 = "definitions/promotions.lua has a promotion 'ten_off_over_150': choose another name",
      ["../mugs"] = "'../mugs' cannot be a rule's name: a small letter",
      ["mugs.lua"] = "without .lua: fastr rules new mugs", [("m"):rep(61)] = "at most 60 characters",
      [""] = "what shall it be called?", ["mugs --like nothing"] = "docs/cookbook/README.md lists what there is",
    } do
      local code, said = rules("new " .. name)
      assert.is_true(code > 0)
      assert.truthy(said:find(expected, 1, true), name .. ": " .. said)
    end
    assert.equal(before, fastr.rules.hash(folder))
  end)

  it("says what is wrong with the rules on disk before it adds to them", function()
    edit("promotions/three_for_two_candles.lua", "at_least(", "at_laest(")
    local code, said = rules("new mugs")
    assert.equal(1, code)
    assert.truthy(said:find("mend them first", 1, true) and said:find("did you mean 'at_least'", 1, true), said)
  end)
end)

describe("docs/rules.md, typed word by word,", function()
  -- The text of each block of code of this kind on the page.
  local function blocks(kind)
    local list = {}
    for text in read("docs/rules.md"):gmatch("\n```" .. kind .. "\n(.-)```") do list[#list + 1] = text end
    return list
  end

  local function type_in(block)
    for command in block:gmatch("[^\n]+") do
      local words = assert(command:match("^bin/fastr rules (.*)$"), command)
      local code, said = rules(words)
      assert.equal(0, code, said)
    end
  end

  it("leads from nothing to a first rule that is checked and priced", function()
    local commands, rule = blocks "sh", blocks("lua")[1]
    type_in(commands[1])
    write(folder .. "/promotions/mugs.lua", rule)
    type_in(commands[2])
    local _, said = rules(commands[2]:match("rules (try [^\n]*)"))
    assert.truthy(said:find("\n  mugs +applied %-0%.%d%d"), said)
  end)

  it("shows a misspelt word as the page does", function()
    local shown = assert(read("docs/rules.md"):match("\n(scripts/rules/promotions/mugs.lua:.-)\nnot live"))
    local rule = blocks("lua")[1]:gsub("at_least%(4, category", "at_least(4, categry")
    write(folder .. "/promotions/mugs.lua", rule)
    local code, said = rules("check")
    assert.equal(1, code)
    assert.truthy(said:find(shown:gsub("^scripts/rules", folder), 1, true), said)
  end)
end)

describe("fastr rules check", function()
  it("passes the shop's own rules, with the retailer's invoices", function()
    save_orders(orders)
    local code, said = rules(("check --orders %s/orders --parent scripts/rules"):format(home))
    assert.equal(0, code, said)
    assert.truthy(said:find("ok +cost +[%d,]+ instructions a cart %(%+0 %%%)"), said)
    assert.truthy(said:find(#orders .. " real orders: none changes", 1, true), said)
  end)

  it("refuses a rule that makes the decision a fifth dearer", function()
    edit("promotions/three_for_two_candles.lua", "function(cart)", "function(cart) for _ = 1, 9000 do end")
    save_orders(orders)
    local code, said = rules(("check --orders %s/orders --parent scripts/rules"):format(home))
    assert.equal(1, code)
    assert.truthy(said:find("FAIL  cost\n[%d,]+ instructions a cart %(%+%d+ %%%): "
      .. "more than 20 %% %(and 500 instructions%) above its"), said)
  end)

  it("gives its report as JSON and as JUnit's XML", function()
    local report = fastr.json.decode((select(2, rules("check --json"))))
    assert.is_true(report.ok)
    assert.equal(9, #report.checks)
    edit("promotions/three_for_two_candles.lua", "apply =", "aply =")
    local code, said = rules("check --junit")
    assert.equal(1, code)
    assert.truthy(said:find('<failure message="[^"]*unknown field \'aply\''), said)
  end)

  it("shows an unknown name with its line, column, a caret and the likely cure, where no example reaches it", function()
    edit("promotions/three_for_two_candles.lua", "function(cart)", "function(cart) if cart.x then catgory() end")
    local code, said = rules("check")
    assert.equal(1, code)
    local shown = lines_of(said)
    assert.equal("FAIL  syntax, names, manifest", table.remove(shown, 1))
    assert.truthy(shown[1]:find("promotions/three_for_two_candles.lua:%d+:%d+: unknown name 'catgory' %(did you mean "
      .. "'category'%?%)$"), said)
    local column = tonumber(shown[1]:match(":%d+:(%d+):"))
    local margin = #shown[2]:match("^ +%d+ | ")
    assert.equal("catgory", shown[2]:sub(margin + column, margin + column + 6))
    assert.equal("^~~~~~~", shown[3]:sub(margin + column))
  end)

  it("says of a category that is misspelt at its end which one may be meant", function()
    local subjects = require "services.rules.subjects"
    local pack = { files = function()
      return { ["promotions/mugs.lua"] = 'when = { at_least(4, category "kitchen/mugs-and-cupz") }' }
    end }
    assert.equal("no product is in 'kitchen/mugs-and-cupz' (promotions/mugs.lua; did you mean "
      .. "'kitchen/mugs-and-cups'?)", subjects.line(pack))
  end)

  it("says which category no product is in, and which one may be meant", function()
    assert(rules("new mugs") == 0)
    local code, said = rules("check")
    assert.equal(0, code, said)
    assert.truthy(said:find("ok +categories +every one that is named has products"), said)
    local wrong = read(folder .. "/promotions/mugs.lua"):gsub("mugs%-and%-cups", "mugs")
    write(folder .. "/promotions/mugs.lua", wrong)
    said = select(2, rules("check"))
    assert.truthy(said:find("no product is in 'kitchen/mugs' (promotions/mugs.lua; did you mean "
      .. "'kitchen/mugs-and-cups'?)", 1, true), said)
  end)

  it("points at what a message quotes where it knows no line, and names the line that runs for ever", function()
    edit("promotions/three_for_two_candles.lua", 'from = "2026-11-20T00', 'from = "2026-11-2T00')
    local _, said = rules("check")
    assert.truthy(said:find("a rule.from: '2026-11-2T00:00:00Z' is not a date-time", 1, true), said)
    assert.truthy(said:find('\n  %d+ |   from = "2026%-11%-2T00:00:00Z"'), said)
    edit("promotions/three_for_two_candles.lua", 'from = "2026-11-2T00', 'from = "2026-11-20T00')
    edit("promotions/three_for_two_candles.lua", "function(cart)", "function(cart) while true do end")
    _, said = rules("check")
    assert.truthy(said:find("three_for_two_candles.lua:%d+:%d+: budget of %d+ instructions spent"), said)
  end)

  it("names the rule that keeps something between decisions", function()
    write(folder .. "/promotions/counts.lua", "local n = 0\n" .. read(folder .. "/promotions/three_for_two_candles.lua")
      :gsub("function%(cart%)", "function(cart) n = n + 1"))
    local code, said = rules("check")
    assert.equal(1, code)
    assert.truthy(said:find("promotions/counts.lua:1:1: a rule keeps state between decisions", 1, true), said)
  end)

  it("points at the example that does not hold", function()
    edit("promotions/three_for_two_candles.lua", "every = 3", "every = 2")
    local code, said = rules("check")
    assert.equal(1, code)
    assert.truthy(said:find("total is 300, expected 400", 1, true), said)
    assert.truthy(said:find('| %s+{ "six candles, two free"'), said)
  end)

  it("names a file that is cut off in the middle", function()
    write(folder .. "/promotions/half.lua", "return rule {\n  doc = \"half")
    local code, said = rules("check")
    assert.equal(1, code)
    assert.truthy(said:find("promotions/half.lua:2", 1, true), said)
  end)
end)

describe("the gate", function()
  local function failing(check, ...)
    local code, said = rules("check --parent scripts/rules")
    assert.equal(1, code, said)
    assert.truthy(said:find("FAIL  " .. check, 1, true), said)
    for _, expected in ipairs { ... } do assert.truthy(said:find(expected, 1, true), said) end
  end

  local function spec(text) write(folder .. "/spec/mine_spec.lua", text) end

  it("runs the pack's specs, and shows the one that does not hold with its line", function()
    spec [[
      it("costs what it says", function()
        assert.equal(1, rules.price({ A = { 2, 100 } }).total)
      end)]]
    failing("specs", "costs what it says\n" .. folder .. "/spec/mine_spec.lua:2:9: Expected objects to be equal.",
      "(number) 200", "2 |         assert.equal(1, rules.price({ A = { 2, 100 } }).total)")
    spec "it('is cut"
    failing("specs", "spec/mine_spec.lua:1")
    spec(string.dump(function() end))
    failing("syntax, names, manifest", "is bytecode; rules are text")
  end)

  it("gives specs no file, no process, no socket, no code to load, and no more memory than its limit", function()
    spec [[it("has what it needs", function()
      for _, each in ipairs { "nothing" } do assert.equal("nothing", each) end
      assert.same({}, { io, os, debug, require, package, fastr, load, loadstring, loadfile, dofile, getfenv, setfenv,
        collectgarbage, coroutine, jit, ffi, _G, string.dump })
      local x = "x"
      local good, why = pcall(function() while true do x = x .. x end end)
      assert.same({ false, "not enough memory" }, { good, why })
      local none, message = rules.decide("price.cart", {})
      assert.is_nil(none)
      assert.truthy(message:find("is missing", 1, true))
    end)]]
    local code, said = rules("check --parent scripts/rules")
    assert.equal(0, code, said)
  end)

  it("ends specs that do not end, and says so", function()
    spec "it('loops', function() while true do end end)"
    local code, said = run(("FASTR_RULES_SPEC_SECONDS=1 FASTR_VAR=%s FASTR_RULES_DIR=%s bin/fastr rules check")
      :format(home, folder))
    assert.equal(1, code)
    assert.truthy(said:find("FAIL  specs\nthey took more than 1 s of CPU", 1, true), said)
  end)

  it("refuses a rule to which the order of the lines matters, with the cart that shows it", function()
    write(folder .. "/promotions/first.lua", [[return rule { doc = "The first line is free.", stage = "item",
      coupon = "nonsense", apply = function(cart) local first = cart:lines()[1] cart:line_off(first, first.total) end,
      examples = { { "one", cart = { A = { 1, 100 } }, total = 0 } } }]])
    failing("invariants", "with its lines in the other order; the cart: {")
  end)

  it("takes a dearer rule in when it is told why, and keeps its report under the pack's hash", function()
    edit("promotions/three_for_two_candles.lua", "function(cart)", "function(cart) for _ = 1, 9000 do end")
    save_orders(orders)
    local code, said = rules(("check --orders %s/orders --parent scripts/rules --dearer 'it is worth it'"):format(home))
    assert.equal(0, code, said)
    assert.truthy(said:find("taken in: it is worth it", 1, true), said)
    local hash = fastr.rules.hash(folder):sub(8)
    local report = fastr.json.decode(read(("%s/packs/%s.report.json"):format(home, hash)))
    assert.same({ true, "sha256:" .. hash, fastr.rules.hash("scripts/rules"), "it is worth it", #orders, 200 },
      { report.ok, report.hash, report.parent, report.dearer, report.counts.orders, report.counts.carts })
    assert.truthy(fastr.time.parse(report.made_at))
    for _, check in ipairs(report.checks) do
      assert.same({ "string", "boolean", "string", "number" }, { type(check.name), type(check.ok), type(check.detail),
        type(check.ms) })
    end
    edit("promotions/three_for_two_candles.lua", "apply =", "aply =")
    assert.equal(1, (rules "check"))
  end)
end)

describe("without a stack, as nobody, with an empty environment and no network,", function()
  local AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "

  it("a rule is made, checked, tried, decided and explained", function()
    must(("chmod -R a+rwX %s && rm -rf %s/packs"):format(home, home))
    local is_root = must("id -u") == "0"
    local no_network = is_root and run("unshare -n true") == 0 and "unshare -n " or ""
    local function type_in(words)
      local code, said = run(("%s%senv -i PATH=/usr/bin:/bin FASTR_VAR=%s/none FASTR_RULES_DIR=%s bin/fastr rules %s")
        :format(no_network, is_root and AS_NOBODY or "", home, folder, words))
      assert.equal(0, code, words .. ": " .. said)
      return said
    end
    write(home .. "/facts.json", [[{"currency":"GBP","now":"2026-12-01T12:00:00Z","zone":"GB","lines":
      [{"sku":"A","quantity":4,"unit_price":250,"categories":["kitchen/mugs-and-cups"]}]}]])
    type_in "new mugs"
    assert.truthy(type_in("check"):find("ok +recorded orders"))
    assert.truthy(type_in("try 84997D*4"):find("\n  mugs +%l+"))
    assert.equal(1000, fastr.json.decode(type_in("decide price.cart " .. home .. "/facts.json")).items_total)
    assert.truthy(type_in("explain " .. home .. "/facts.json"):find("\n  mugs +%l+"))
  end)
end)

describe("fastr rules try", function()
  it("prices the catalogue's products and says why a rule did not apply", function()
    local code, said = rules("try 84077*6 85123A --at 2026-11-27T12:00Z --coupon WELCOME --orders 0")
    assert.equal(0, code, said)
    assert.truthy(said:find("84077  6 x 0.29", 1, true), said)
    assert.truthy(said:find("three_for_two_candles +not applied: at_least 3 of lighting/candles: has 0, needs 3"), said)
    assert.truthy(said:find("welcome +applied %-0.21"), said)
    assert.truthy(said:find("total GBP +8.43"), said)
  end)

  it("asks what it would cost at another time, in another group, elsewhere, with a coupon", function()
    write(folder .. "/promotions/friends.lua", [[return rule { doc = "Friends.", stage = "order",
      from = "2026-11-27T12:00:00Z", to = "2026-11-28T12:00:00Z", coupon = "FRIEND",
      when = { customer_in "wholesale", in_zone "DE" },
      apply = function(cart) cart:order_percent_off { percent = 50 } end,
      examples = { { "half", cart = { A = { 1, 100 } }, customer = { group = "wholesale" }, zone = "DE",
        total = 50 } } }]])
    local words = "try 85123A*2 --at 2026-11-27T12:00Z --as wholesale --zone DE --coupon FRIEND"
    local code, said = rules(words)
    assert.equal(0, code, said)
    assert.truthy(said:find("\n  friends +applied %-2.95\n"), said)
    assert.truthy(said:find("\ncoupon FRIEND +accepted\n"), said)
    assert.truthy(said:find("\nshipping international +"), said)
    for from, to in pairs { ["11%-27T12:00Z"] = "11-27T11:59Z", ["wholesale"] = "retail", ["zone DE"] = "zone GB",
      ["FRIEND"] = "FREIND" } do
      code, said = rules((words:gsub(from, to)))
      assert.equal(0, code, said)
      assert.truthy(said:find("\n  friends +not applied: "), from .. ": " .. said)
    end
  end)

  it("refuses what is not in the catalogue, and a time that is none", function()
    assert.same({ 1, true }, { rules("try NOSUCH"), select(2, rules("try NOSUCH")):find("no product 'NOSUCH'") ~= nil })
    assert.truthy(select(2, rules("try 84077 --at tomorrow")):find("--at: a time", 1, true))
    assert.equal(2, (rules("try")))
    assert.equal(2, (rules("try 84077 --colour red")))
  end)
end)

describe("fastr rules replay", function()
  it("proves that every order costs what it did", function()
    save_orders(orders)
    local code, said = rules("replay --orders " .. home .. "/orders")
    assert.equal(0, code, said)
    assert.truthy(said:find(#orders .. " orders by 1 pack: every one as it was", 1, true), said)
  end)

  it("exits with 1 and names the order when one digit of its stored facts is another", function()
    local forged = fastr.json.decode(fastr.json.encode(orders[7]))
    forged.facts.lines[1].quantity = forged.facts.lines[1].quantity + 1
    save_orders { orders[6], forged, orders[8] }
    local code, said = rules("replay --orders " .. home .. "/orders")
    assert.equal(1, code)
    assert.truthy(said:find("order " .. forged.number, 1, true), said)
  end)

  it("says when the rules that decided an order are not kept", function()
    save_orders(orders)
    must("rm " .. home .. "/packs/*")
    local code, said = rules("replay --orders " .. home .. "/orders")
    assert.equal(1, code)
    assert.truthy(said:find("order " .. orders[1].number, 1, true), said)
  end)

  it("adds up what an edit would have changed, to the penny", function()
    edit("definitions/promotions.lua", "value = 10", "value = 12")
    save_orders(orders)
    local code, said = rules(("replay --with %s --orders %s/orders"):format(folder, home))
    assert.equal(0, code, said)
    local draft, changed, delta = assert(fastr.rules.open(folder)), 0, 0
    for _, order in ipairs(orders) do
      local total = assert(draft:decide("price.cart", order.facts)).total
      if total ~= order.total then changed, delta = changed + 1, delta + total - order.total end
    end
    assert.is_true(changed > 50)
    local expected = ("%d real orders: %d change, %.2f GBP"):format(#orders, changed, delta / 100)
    assert.truthy(said:find(expected, 1, true), said)
  end)

  it("says which order the edit cannot price", function()
    edit("promotions/three_for_two_candles.lua", "apply = function(cart)", "apply = function(cart) "
      .. "if cart.ledger:quantity() > 1000 then error('too many') end")
    save_orders(orders)
    local _, said = rules(("replay --with %s --orders %s/orders"):format(folder, home))
    assert.truthy(said:find("FAIL, order %d+: .*three_for_two_candles.lua:%d+: too many"), said)
  end)
end)

describe("fastr rules explain", function()
  it("tells of every rule why it applied or did not", function()
    save_orders(orders)
    local code, said = rules(("explain %s --orders %s/orders"):format(orders[1].number, home))
    assert.equal(0, code, said)
    for _, name in ipairs { "welcome", "three_for_two_candles", "ten_off_over_150" } do
      assert.truthy(said:find("\n  " .. name .. " +%l+"), name .. " in " .. said)
    end
  end)
end)

describe("fastr rules explain of a file", function()
  local FACTS = { currency = "GBP", now = "2026-11-27T12:00:00Z", zone = "GB", lines = {
    { sku = "A", quantity = 2, unit_price = 1450, categories = { "lighting/candles" } } } }

  local function explain(words)
    write(home .. "/facts.json", fastr.json.encode(FACTS))
    return rules("explain " .. home .. "/facts.json " .. words)
  end

  it("tells who supports a customer each rule, with the condition that failed, the money, the pack and when", function()
    local code, said = explain ""
    assert.equal(0, code, said)
    assert.truthy(said:find(": 29.00 GBP by rules %x+, decided with the facts of 2026%-11%-27T12:00:00Z"), said)
    assert.truthy(said:find("three_for_two_candles +not applied: at_least 3 of lighting/candles: has 2, needs 3"), said)
    assert.truthy(said:find("ten_off_over_150 +not applied: min_items_total: has 29.00, needs 150.00"), said)
  end)

  it("tells a customer what he saved and what a little more would give him, and nothing else", function()
    local _, said = explain "--for customer"
    said = said:gsub("^Add[^\n]*delivery[^\n]*\n", "")
    assert.equal("1 more of lighting/candles: Three for two on candles: the cheapest is free\n"
      .. "Add 121.00: 10 % off orders of 150.00 or more\nTotal 29.00 GBP\n", said)
    FACTS.lines[1].quantity = 3
    _, said = explain "--for customer"
    FACTS.lines[1].quantity = 2
    assert.truthy(said:find("You saved 14.50: Three for two on candles", 1, true), said)
  end)

  it("gives all of it as JSON", function()
    local said = fastr.json.decode(select(2, explain "--json"))
    assert.same({ "facts", "GBP", 2900, 3 }, { said.kind, said.currency, said.total, #said.rules })
    assert.equal("not applied: coupon: has none, needs entered", said.rules[1].text)
    assert.equal(1, said.thresholds[#said.thresholds - 1].missing_units)
  end)

  it("says what it can explain when it is given something else, and who reads", function()
    local code, said = rules "explain nothing-of-that-name"
    assert.equal(1, code)
    assert.truthy(said:find("is no order's number, no cart's id and no file", 1, true), said)
    assert.equal(2, (explain "--for children"))
  end)
end)

describe("fastr rules watch", function()
  local pid

  local function said() return read(home .. "/log") end

  local function eventually(what)
    host.eventually(what, function() return said():find(what) or error(said(), 0) end, 20)
  end

  after_each(function() if pid then run("kill " .. pid) end end)

  it("at each save says whether it is sound and what it would have changed, and survives nonsense", function()
    save_orders(orders)
    pid = must(("FASTR_VAR=%s FASTR_RULES_DIR=%s bin/fastr rules watch --dry --orders %s/orders"
      .. " > %s/log 2>&1 & "
      .. "echo $!"):format(home, folder, home, home))
    eventually("watching .*" .. #orders .. " placed orders")
    edit("definitions/promotions.lua", "value = 10", "value = 12")
    eventually("saved definitions/promotions.lua   ok   %d+ examples, [%d,]+ instructions an order")
    eventually("real orders: %d+ change, %-%d+%.%d+ GBP .* worst: %d+  %-")
    edit("definitions/promotions.lua", "value = 12", "value = ")
    eventually("definitions/promotions.lua:%d+:%d+: .*\n.*goes on")
    edit("definitions/promotions.lua", "value = ", "value = 12")
    write(folder .. "/promotions/third.lua", [[return rule { doc = "A pound off.", stage = "order",
      when = { at_least(1, sku "JAM") },
      apply = function(cart) cart:order_amount_off { amount = 100 } end,
      examples = { { "one pound", cart = { JAM = { 1, 500 } }, total = 400 } } }]])
    eventually("saved promotions/third.lua   ok")
  end)
end)
