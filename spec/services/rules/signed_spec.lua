-- Signed packs: on a host that demands them only what was signed with a key it trusts becomes live; whatever else is
-- asked changes nothing. A host of its own, and no server.
local host = require "spec.support.host"
local shell = require "spec.support.shell"

local PROGRAM = [[return { routes = { { method = "GET", path = "/pack", handle = function()
  return 200, { pack = fastr.rules.pack() } end } } }]]

local h

local function live() return fastr.json.decode(h:get("/pack").body).pack end

local function done(arguments)
  local code, said = h:fastr(arguments)
  assert.equal(0, code, said)
  return said
end

local function refused(arguments, why)
  local before = live()
  local code, said = h:fastr(arguments)
  assert.equal(1, code, said)
  assert.is_truthy(said:find(why, 1, true), said)
  for _ = 1, 4 do assert.equal(before, live()) end
end

-- Other rules on disk; their hash, once they are stored.
local function edit(text) h:write("scripts/rules/definitions/note.lua", "return { " .. text .. " }\n") end

local function publish()
  return done("rules publish --message 'a note'"):match("activate (sha256:%x+)")
end

local function sealed(hash) return h.dir .. "/var/packs/" .. hash:sub(8) .. ".sig" end

local function text_of(path) return assert(fastr.files.read(path)) end

local function trust(line)
  h:write("key.pub", line .. "\n")
  return done("rules key trust " .. h.dir .. "/key.pub")
end

describe("a host with rules.signed", function()
  local ada

  lazy_setup(function()
    h = host.start { program = PROGRAM }
    h.env = h.env .. " FASTR_RULES_SIGNED=true 'FASTR_RULES_POINTS=price.cart;notify.select'"
    h:add_tools()
  end)
  lazy_teardown(function() h:stop() end)

  it("makes its key once, prints the public half, and keeps the other to itself", function()
    ada = done("rules key new ada"):match("ed25519 [%w_-]+ ada")
    assert.is_truthy(ada)
    assert.is_truthy(select(2, h:fastr("rules key new ada")):find("already", 1, true))
    assert.equal("600", shell.must("stat -c %a " .. h.dir .. "/var/secrets/rules_key"))
    assert.is_nil(done("rules key list"):find("ada", 1, true))
  end)

  it("trusts nothing that is no key", function()
    local code, said = h:fastr("rules key trust " .. h.dir .. "/conf.lua")
    assert.equal(1, code)
    assert.is_truthy(said:find("a public key is one line", 1, true), said)
  end)

  it("does not begin with rules that nobody whom it trusts has signed, and says where they lie", function()
    h:quit()
    local code, said = h:fastr("serve")
    assert.equal(1, code)
    assert.is_truthy(said:find("is not signed: there is no /[^ ]+/var/packs/%x+%.sig"), said)
    publish()
    code, said = h:fastr("serve")
    assert.equal(1, code)
    assert.is_truthy(said:find("which this host does not trust", 1, true), said)
    assert.is_truthy(trust(ada):find("ada", 1, true))
    h:begin()
  end)

  it("takes what is signed with a key that it trusts, and nothing that is not signed", function()
    edit "1"
    refused("reload rules", "is not signed")
    local hash = publish()
    done("reload rules")
    assert.equal(hash, live())
  end)

  it("trusts no line of its list that is not wholly a key", function()
    local path = h.dir .. "/var/secrets/rules_trusted"
    local good = text_of(path)
    edit "trusted in part"
    publish()
    for _, bad in ipairs { ada:match("^(ed25519 %S+)") .. "\n", ada .. " and more\n", ada, "# " .. ada .. "\n",
      ada:sub(1, -8) .. "\n", ("x"):rep(511) .. ada .. "\n", "\27\0garbage\n" } do
      h:write("var/secrets/rules_trusted", bad)
      refused("reload rules", "which this host does not trust")
    end
    h:write("var/secrets/rules_trusted", good)
    done("reload rules")
  end)

  it("signs on the way what is activated there, and what is switched off", function()
    local before = live()
    edit "on the way"
    done("rules activate --reason 'on the way'")
    assert.are_not.equal(before, live())
    assert.is_truthy(text_of(sealed(live())):find('"message":"on the way"', 1, true))
    done("rules off ten_off_over_150 --reason 'too dear'")
    assert.is_truthy(text_of(sealed(live())):find("off ten_off_over_150: too dear", 1, true))
    done("rules on ten_off_over_150")
  end)

  it("refuses a statement that was changed, one about another pack, and what is no statement", function()
    local other = text_of(sealed(live()))
    edit "2"
    local hash = publish()
    local text = text_of(sealed(hash))
    h:write("sig", text)
    for why, changed in pairs { ["is not of this statement"] = text:gsub("a note", "a nota"),
      ["about another pack"] = other, ["is not one line"] = text .. "more\n",
      ["no statement of a signed pack"] = "", ["no 64 bytes"] = text:gsub("signature %S%S", "signature ") } do
      shell.write(sealed(hash), changed)
      refused("reload rules", why)
    end
    shell.write(sealed(hash), text)
    done("rules activate " .. hash)
    assert.equal(hash, live())
  end)

  it("refuses a pack made for other decision points, or another version of the arithmetic", function()
    edit "3"
    local hash = publish()
    local text = text_of(sealed(hash))
    local private = text_of(h.dir .. "/var/secrets/rules_key"):match("\n(.*)$")
    local key, statement = text:match("key (%x+)\nsignature %S+\n([^\n]*)\n$")
    for why, change in pairs { ["version 2 of the arithmetic"] = { '"abi":1', '"abi":2' },
      ["notify.select is not among them"] = { "notify.select", "notify.choose" } } do
      local changed = statement:gsub(change[1], change[2], 1)
      shell.write(sealed(hash), ("fastr signed pack 1\nkey %s\nsignature %s\n%s\n"):format(key,
        fastr.crypto.base64url(fastr.crypto.sign(private, changed)), changed))
      refused("reload rules", why)
    end
    local code, said = shell.run(("%s FASTR_RULES_POINTS=price.moon FASTR_RULES_SIGNED=false FASTR_VAR=%s/other"
      .. " FASTR_LISTEN=127.0.0.1:%d %s/fastr serve"):format(h.env, h.dir, host.free_port(),
      os.getenv("FASTR_BUILD") or "build"))
    assert.equal(1, code)
    assert.is_truthy(said:find("init.lua:1: the pack does not decide 'price.moon'", 1, true), said)
  end)

  it("asks nobody again about what was live: a rollback and a worker that comes back need no key", function()
    local before = live()
    done("rules key forget ada")
    done("rules rollback")
    local now = live()
    assert.are_not.equal(before, now)
    local pid = h:pids()[1]
    host.kill(pid, "KILL")
    host.eventually("another worker", function() return h:pids()[1] ~= pid and h:ready() end)
    for _ = 1, 8 do assert.equal(now, live()) end
    assert.is_truthy(h:ask("activate rules " .. before:sub(8) .. " spec").error:find("does not trust", 1, true))
    assert.equal(now, live())
    trust(ada)
    done("rules activate " .. before)
  end)
end)
