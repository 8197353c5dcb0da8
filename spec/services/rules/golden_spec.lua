-- Golden carts: fastr rules try --save, check, accept; with no server.
local golden = require "services.rules.golden"
local shell = require "spec.support.shell"

local run, must, write = shell.run, shell.must, shell.write

local home, folder

local function rules(words)
  return run(("FASTR_VAR=%s FASTR_RULES_DIR=%s FASTR_RULES_GOLDEN=%s/golden bin/fastr rules %s"):format(home, folder,
    home, words))
end

local function read(path) return assert(fastr.files.read(path)) end

local function promise(expected, words)
  local code, said = rules(words)
  assert.equal(expected, code, said)
  return said
end

local function give(percent)
  local path = folder .. "/definitions/promotions.lua"
  write(path, (read(path):gsub('type = "order_percent", value = %d+', 'type = "order_percent", value = ' .. percent)))
end

before_each(function()
  home = must("mktemp -d")
  folder = home .. "/rules"
  must(("mkdir %s/golden && cp -r scripts/rules %s && rm -r %s/spec"):format(home, folder, folder))
end)

after_each(function() must("rm -rf " .. home) end)

local LARGE = "try '22752*96' --at 2026-11-27 --save large"

describe("golden carts", function()
  it("of the shop's own rules hold", function()
    must(("rm -r %s/golden && cp -r spec/rules/golden %s/golden"):format(home, home))
    assert.truthy(promise(0, "check"):find("ok +golden carts +%d+ cost what they did"))
    assert.truthy(promise(0, "accept"):find("no golden cart differs", 1, true))
  end)

  it("keep what a cart costs, in a file that people can read", function()
    assert.truthy(promise(0, LARGE):find("kept as " .. home .. "/golden/large.json", 1, true))
    local text = read(home .. "/golden/large.json")
    assert.truthy(text:find('\n    "total": %d+,\n'))
    local cart = fastr.json.decode(text)
    assert.equal("22752", cart.facts.lines[1].sku)
    assert.equal("ten_off_over_150", cart.decision.trace[1].rule)
    assert.is_nil(cart.decision.pack)
  end)

  it("refuse rules that price them otherwise, in money and with the reason, until that is accepted", function()
    promise(0, LARGE)
    promise(0, "try 85123A --at 2026-11-27 --save small")
    give(12)
    local said = promise(1, "check")
    local shown = "large  %-(%d+%.%d%d)  22752 x 96  ten_off_over_150: applied %-%d+%.%d%d; now applied %-%d+%.%d%d"
    assert.truthy(said:find("FAIL  golden carts\n2 golden carts: 1 changes, -", 1, true), said)
    local less = said:match(shown)
    assert.truthy(less, said)
    assert.truthy(said:find("fastr rules accept", 1, true))
    said = promise(0, "accept")
    assert.truthy(said:find(("1 golden cart accepted, -%s GBP"):format(less), 1, true), said)
    promise(0, "check")
  end)

  it("are accepted by name", function()
    promise(0, LARGE)
    promise(0, LARGE .. "r")
    give(12)
    assert.truthy(promise(1, "accept larger larg"):find("no golden cart 'larg' in .*did you mean 'large'"))
    assert.truthy(promise(1, "check"):find("2 golden carts: 2 change", 1, true))
    assert.truthy(promise(0, "accept larger"):find("1 golden cart accepted", 1, true))
    assert.truthy(promise(1, "check"):find("2 golden carts: 1 change", 1, true))
    assert.truthy(promise(1, "accept nothing"):find("no golden cart 'nothing' in " .. home, 1, true))
  end)

  it("do not mind what only reads otherwise", function()
    promise(0, LARGE)
    local path = folder .. "/definitions/promotions.lua"
    write(path, (read(path):gsub('doc = "10 %% off', 'doc = "A tenth off')))
    promise(0, "check")
  end)

  it("say which file is none, and which name cannot be one", function()
    write(home .. "/golden/broken.json", '{"facts":{},')
    assert.truthy(promise(1, "check"):find(home .. "/golden/broken.json: line 1", 1, true))
    assert.truthy(promise(2, LARGE .. "/../x"):find("cannot be a golden cart's name", 1, true))
  end)

  it("are not held against a version for what its parent had changed, which was meant", function()
    local shop = assert(fastr.rules.open("scripts/rules"))
    local text = shop:files()["definitions/promotions.lua"]:gsub("value = 10", "value = 12")
    local parent = assert(shop:with("definitions/promotions.lua", text))
    local later = assert(parent:with("definitions/promotions.lua", (text:gsub("value = 5", "value = 6"))))
    local changed = assert(golden.compare(later)).changed
    assert.truthy(assert(golden.compare(parent)).changed > 0)
    assert.equal(0, assert(golden.compare(parent, parent)).changed)
    local since = assert(golden.compare(later, parent)).changed
    assert.truthy(since > 0 and since < changed, since .. " of " .. changed)
  end)
end)
