-- What activations come to, one after the other; and what two packs differ in.
local bundle = require "services.rules.bundle"
local difference = require "services.rules.difference"
local fleet = require "services.rules.fleet"

-- "A B <" -> rows, newest first: live A, live B, rollback
local function rows(text)
  local list = {}
  for word in text:gmatch("%S+") do
    table.insert(list, 1, word == "<" and { mode = "rollback" } or { mode = "live", pack = word })
  end
  return list
end

describe("what a rollback goes back to", function()
  for text, pack in pairs { ["A B"] = "A", ["A B C"] = "B", ["A B C <"] = "A", ["A B < C"] = "A", ["A A B B"] = "A",
    ["A B C < <"] = false, ["A"] = false, [""] = false, ["A B < C D <"] = "A" } do
    it(("after %q is %s"):format(text, pack or "nothing"), function()
      assert.equal(pack, fleet.before(rows(text)) or false)
    end)
  end
end)

it("what is made live ends a trial; a trial after it is kept", function()
  local live, canary, stop = { mode = "live" }, { mode = "canary" }, { mode = "stop" }
  assert.same({ live = live }, fleet.wanted { canary, live })
  assert.same({ live = live, trial = canary }, fleet.wanted { live, canary })
  assert.same({ trial = stop }, fleet.wanted { canary, stop })
  local late, first = { mode = "stop", pack = "1" }, { mode = "canary", pack = "1" }
  local second = { mode = "canary", pack = "2" }
  assert.same({ trial = late }, fleet.wanted { first, late })
  assert.same({ trial = second }, fleet.wanted { first, second, late })
end)

describe("a difference", function()
  it("shows changed lines with some around them, and what was left out", function()
    local before = "a\nb\nc\nd\ne\nf\ng\nh\n"
    assert.equal("...\n  b\n  c\n- d\n+ D\n  e\n  f", difference.of_texts(before, (before:gsub("d", "D"))))
    assert.equal("", difference.of_texts(before, before))
    assert.equal("+ x\n+ y", difference.of_texts("", "x\ny\n"))
    assert.equal("- a\n  b\n+ c", difference.of_texts("a\nb", "b\nc"))
  end)

  it("of packs is by file: added, changed, removed", function()
    local function text(files)
      local out = { "fastr bundle 1\n" }
      for _, file in ipairs(files) do out[#out + 1] = ("%s %d\n%s\n"):format(file[1], #file[2], file[2]) end
      return table.concat(out)
    end
    local before = assert(bundle.files(text { { "a.lua", "1" }, { "b.lua", "2" } }))
    local after = assert(bundle.files(text { { "b.lua", "3" }, { "c.lua", "4\n" } }))
    local found = {}
    for _, each in ipairs(difference.of_files(before, after)) do found[#found + 1] = each.change .. " " .. each.file end
    assert.same({ "removed a.lua", "changed b.lua", "added c.lua" }, found)
  end)

  it("of a text that is no pack says what is wrong", function()
    assert.truthy(select(2, bundle.files("x")):find("does not begin", 1, true))
    assert.truthy(select(2, bundle.files("fastr bundle 1\na.lua 9\nx\n")):find("broken at byte 16", 1, true))
    assert.truthy(select(2, bundle.files("fastr bundle 1\nb 1\nx\na 1\nx\n")):find("out of order", 1, true))
  end)

  it("of a pack that no host would take says what is wrong with it", function()
    for name, wrong in pairs { ["../a.lua"] = "no name", ["/etc/a.lua"] = "no name", ["a//b.lua"] = "no name",
      ["./a"] = "no name", ["a/.."] = "no name", ["a\0b"] = "no name", ["a\27[2J"] = "no name" } do
      assert.truthy(select(2, bundle.files(("fastr bundle 1\n%s 1\nx\n"):format(name))):find(wrong, 1, true))
    end
    local function refused(text) return select(2, bundle.files("fastr bundle 1\n" .. text)) end
    assert.truthy(refused("a 01\nx\n"):find("begins with a zero", 1, true))
    assert.truthy(refused(("a 262145\n%s\n"):format(("x"):rep(262145))):find("more than 262144 bytes", 1, true))
    local many = {}
    for i = 1, 5000 do many[i] = ("f%05d 0\n\n"):format(i) end
    assert.truthy(refused(table.concat(many)):find("more than 4096 files", 1, true))
    assert.equal(2, #bundle.files("fastr bundle 1\na..b/c-d.lua 0\n\ne 1\nx\n"))
  end)

  it("of two packs made to take long keeps nobody waiting", function()
    local before, after, one, other = {}, {}, {}, {}
    for i = 1, 1990 do one[i], other[i] = "a" .. i % 7, "b" .. i % 5 end
    for i = 1, 60 do
      local name = ("f%02d.lua"):format(i)
      before[i], after[i] = { name = name, text = table.concat(one, "\n") },
        { name = name, text = table.concat(other, "\n") }
    end
    local began = os.clock()
    assert.equal(60, #difference.of_files(before, after))
    assert.is_true(os.clock() - began < 5)
  end)
end)
