-- platform.migrate against the running primary: in schema cart, with files of the spec's own in a temporary folder.

local migrate = require "platform.migrate"

local owner = fastr.pg.open { role = "cart_owner", writes = 1 }
local root, said

local function run() return migrate.service("cart", function(line) said[#said + 1] = line end, root) end

-- Replaces what is below the folder.
local function files(texts)
  assert(os.execute("rm -rf '" .. root .. "' && mkdir -p '" .. root .. "/platform' '" .. root .. "/cart'"))
  for path, text in pairs(texts) do
    local file = assert(io.open(root .. "/" .. path, "w"))
    file:write(text)
    file:close()
  end
end

local function fails()
  local ok, err = pcall(run)
  assert.is_false(ok)
  assert.is_false(fastr.task.in_transaction())
  return tostring(err)
end

local function has(text, part) assert.truthy(text:find(part, 1, true), text .. "\nhas no\n" .. part) end

local function forget()
  assert(owner:write("drop table if exists migrate_spec"))
  if owner:latest("select to_regclass('schema_migrations') as name")[1].name then
    assert(owner:write("delete from schema_migrations where name like '%migrate\\_spec%'"))
  end
end

setup(function()
  root = os.tmpname()
  os.remove(root)
end)

teardown(function()
  forget()
  os.execute("rm -rf '" .. root .. "'")
end)

before_each(function()
  said = {}
  forget()
end)

describe("migrate", function()
  it("applies what is new, once, platform first, in the order of the names", function()
    files { ["platform/902_migrate_spec.sql"] = "create table migrate_spec (id int);\ninsert into migrate_spec"
      .. " values (1);",
      ["cart/901_migrate_spec.sql"] = "insert into migrate_spec values (2)",
      ["cart/903_migrate_spec.sql"] = "-- \195\169\nupdate migrate_spec set id = id * 10; /* two */ select 1;" }
    assert.equal(3, run())
    assert.same({ "cart: applied platform/902_migrate_spec.sql", "cart: applied cart/901_migrate_spec.sql",
      "cart: applied cart/903_migrate_spec.sql" }, said)
    assert.equal(30, owner:latest("select sum(id) as n from migrate_spec")[1].n)
    assert.equal(0, run())
  end)

  it("refuses by name a file that was changed after it was applied", function()
    files { ["cart/901_migrate_spec.sql"] = "create table migrate_spec (id int)" }
    run()
    files { ["cart/901_migrate_spec.sql"] = "create table migrate_spec (id bigint)" }
    local err = fails()
    has(err, "cart/901_migrate_spec.sql")
    has(err, "has been changed")
  end)

  it("leaves nothing of a file that fails, and says file and line", function()
    files { ["cart/901_migrate_spec.sql"] = "create table migrate_spec (id int);\n-- \195\169\nselec;" }
    has(fails(), "cart/901_migrate_spec.sql: line 3: ")
    assert.is_nil(owner:latest("select to_regclass('migrate_spec')::text as name")[1].name)
  end)

  it("refuses a file whose name gives it no place", function()
    files { ["cart/first.sql"] = "select 1" }
    has(fails(), "cart/first.sql: the name of a migration is")
  end)

  it("applies a file once when two run at the same time", function()
    files { ["cart/901_migrate_spec.sql"] = "create table migrate_spec (id int); select pg_sleep(0.2)" }
    local results = assert(fastr.all { run, run })
    assert.equal(1, results[1][1] + results[2][1])
  end)
end)
