-- fastr rules replay and impact in several processes, over files of the retailer's invoices; with no server.
local host = require "spec.support.host"
local invoices = require "spec.support.invoices"
local shell = require "spec.support.shell"

local run, must, write = shell.run, shell.must, shell.write

local home, folder, pack, orders

local function command(words)
  return ("FASTR_VAR=%s FASTR_RULES_DIR=%s bin/fastr rules %s --orders %s/orders"):format(home, folder, words, home)
end

local function promise(expected, words)
  local code, said = run(command(words))
  assert.equal(expected, code, said)
  return said
end

local function save(list, times)
  local lines = {}
  for i, order in ipairs(list) do lines[i] = fastr.json.encode(order) end
  write(home .. "/orders", (table.concat(lines, "\n") .. "\n"):rep(times or 1))
end

-- An order as the shop keeps it: facts and decision as texts, and the proof of both.
local function kept(order)
  local facts = fastr.json.canonical(order.facts)
  local decision = assert(pack:decide_text("price.cart", facts))
  return { number = order.number, placed_at = order.placed_at, currency = "GBP", total = order.total, due = order.due,
    pack = order.pack, abi = order.abi, facts = facts, decision = decision,
    proof = fastr.crypto.sha256(facts .. "\n" .. decision) }
end

setup(function()
  pack = assert(fastr.rules.open("scripts/rules"))
  orders = {}
  for i, order in ipairs(invoices.orders(pack, 60)) do orders[i] = kept(order) end
  assert(pack:store())
end)

before_each(function()
  home = must("mktemp -d")
  folder = home .. "/rules"
  must(("mkdir %s/packs && cp -r scripts/rules %s"):format(home, folder))
  must(("cp %s/packs/%s %s/packs/"):format(fastr.setting("var", "var"), pack:hash():sub(8), home))
end)

after_each(function() must("rm -rf " .. home) end)

local function edit()
  local path = folder .. "/definitions/promotions.lua"
  write(path, (assert(fastr.files.read(path)):gsub("value = 10", "value = 12")))
end

describe("fastr rules replay", function()
  it("says the same in one process and in many, and each order is looked at once", function()
    save(orders)
    edit()
    for _, words in ipairs { "replay --json", "replay --json --with " .. folder } do
      local alone = fastr.json.decode(promise(0, words .. " --jobs 1"))
      assert.equal(#orders, alone.orders)
      for _, jobs in ipairs { 2, 7, 64 } do
        local many = fastr.json.decode(promise(0, words .. " --jobs " .. jobs))
        alone.ms, many.ms = nil, nil
        assert.same(alone, many)
      end
    end
  end)

  it("takes those since a time", function()
    save(orders)
    local proof = fastr.json.decode(promise(0, "replay --json --since " .. orders[31].placed_at))
    local expected = 0
    for _, order in ipairs(orders) do
      if order.placed_at >= orders[31].placed_at then expected = expected + 1 end
    end
    assert.equal(expected, proof.orders)
    assert.truthy(promise(2, "replay --since yesterday"):find("--since: a time as", 1, true))
  end)

  it("names every order that is not as it was, the earliest first, with what differs", function()
    local function forge(i, field, from, to)
      local text, count = orders[i][field]:gsub(from, to, 1)
      assert.equal(1, count)
      local forged = {}
      for name, value in pairs(orders[i]) do forged[name] = value end
      forged[field] = text
      return forged
    end
    local list = {}
    for i, order in ipairs(orders) do list[i] = order end
    list[40] = forge(40, "facts", '"quantity":%d+', '"quantity":777')
    list[9] = forge(9, "facts", '"categories":%["(.)', '"categories":["_')
    list[20] = forge(20, "decision", '"tax_included_total":%d', '"tax_included_total":99')
    list[21].abi = 99
    save(list)
    for _, jobs in ipairs { 1, 4 } do
      local said = promise(1, "replay --jobs " .. jobs)
      local places = {}
      for i, text in ipairs { "order " .. orders[9].number .. " .-: its facts or its decision are not those",
        "order " .. orders[20].number .. " .-: tax_included_total: %d+, now %d+",
        "order " .. orders[21].number .. " .-: it was priced with version 99 of the arithmetic; this fastr has 1 to 1",
        "order " .. orders[40].number .. " .-: " } do
        places[i] = assert(said:find(text), said)
        assert.is_true(i == 1 or places[i] > places[i - 1], said)
      end
      assert.truthy(said:find("4 of 60 orders are not as they were", 1, true))
    end
    list[21].abi = 1
  end)

  it("says which line of a file is no order", function()
    save(orders)
    write(home .. "/orders", assert(fastr.files.read(home .. "/orders")) .. '{"number":"1"}\n')
    assert.truthy(promise(1, "replay --jobs 3"):find("/orders, the line at byte %d+: an order has placed_at"))
  end)

  it("ends with 1 and says so when one of its processes is killed", function()
    save(orders, 200)
    local pid
    local function worker()
      return must(("ps -eo pid=,comm=,args= | awk '$2 == \"exe\" && /--part 2.3 / && index($0, \"%s\") { print $1 }'")
        :format(home))
    end
    must(("{ %s; echo exit code $?; } >%s/log 2>&1 &"):format(command "replay --jobs 3", home))
    host.eventually("the process begins", function()
      pid = tonumber(worker())
      return pid
    end)
    host.kill(pid, "KILL")
    local log
    host.eventually("the replay ends", function()
      log = assert(fastr.files.read(home .. "/log"))
      return log:find("exit code", 1, true)
    end, 60)
    assert.truthy(log:find("exit code 1\n", 1, true), log)
    assert.truthy(log:find("process 3 of 3 ended with status 137", 1, true), log)
  end)
end)

describe("recorded orders", function()
  local call = require "platform.call"
  local recorded = require "services.rules.recorded"
  local real = call.call

  after_each(function() call.call = real end)

  it("are a sample where the shop has many", function()
    local asked
    call.call = function(_, op, body) -- luacheck: ignore
      if op == "recorded_count" then return { count = 12345 } end
      asked = asked or body
      return { items = {} }
    end
    local list, note = recorded.sample()
    assert.same({}, list)
    assert.equal("one in 13 of them", note)
    assert.same({ 0, 13 }, { asked.part, asked.parts })
  end)
end)

describe("fastr rules impact", function()
  it("lists the orders of a version with what others would have charged", function()
    save(orders)
    edit()
    local version = pack:hash():sub(8, 20)
    local said = promise(0, ("impact %s --against %s"):format(version, folder))
    assert.truthy(said:find("^60 orders were priced by %x+; by %x+:\n60 real orders: %d+ change, %-"), said)
    local list = fastr.json.decode(promise(0, ("impact %s --against %s --json --jobs 2"):format(version, folder)))
    assert.equal(60, #list.every)
    local delta = 0
    for i, order in ipairs(list.every) do
      assert.equal(orders[i].number, order.number)
      assert.equal(orders[i].total, order.before)
      delta = delta + order.delta
    end
    assert.equal(list.deltas.GBP, delta)
    local rows = {}
    for row in promise(0, ("impact %s --against %s --csv"):format(version, folder)):gmatch("[^\n]+") do
      rows[#rows + 1] = row
    end
    assert.equal("number,placed_at,currency,before,after,delta,sku,quantity,reason", rows[1])
    assert.equal(61, #rows)
  end)

  it("tells of the rule that one version lacks, not of two that have nothing to do with each other", function()
    local compare, words = require "services.rules.compare", require "services.rules.words"
    local old = { total = 900, lines = {}, trace = { { rule = "ten_off", outcome = "applied", amount = 100 } } }
    local new = { total = 890, lines = {}, trace = {
      { rule = "mugs", outcome = "applied", amount = 10 }, old.trace[1] } }
    local function reason(before, after) return words.parting(compare.decisions(before, after).trace, "GBP") end
    assert.equal("mugs: takes no part; now applied -0.10", reason(old, new))
    assert.equal("mugs: applied -0.10; now takes no part", reason(new, old))
  end)

  it("finds none for a version that priced none, and refuses what is no hash", function()
    save(orders)
    assert.truthy(promise(0, "impact abcdef --against " .. folder):find("^no placed order was priced by abcdef"))
    assert.truthy(promise(2, "impact yesterday --against " .. folder):find("'yesterday' is no hash", 1, true))
  end)
end)

it("fastr rules explain tells a customer of what he ordered, and nothing of what more would have given", function()
  save(orders)
  for i = 1, 10 do
    local said = promise(0, ("explain %s --for customer"):format(orders[i].number))
    assert.truthy(said:find("Total ", 1, true), said)
    assert.is_nil(said:find("Add ", 1, true) or said:find(" more of ", 1, true), said)
  end
end)
