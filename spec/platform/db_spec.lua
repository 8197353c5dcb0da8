-- platform.db against the running primary. Works in tables of its own in schema cart, made and dropped as cart_owner.

local database = require "platform.db"
local problem = require "lib.problem"

local db = database.open("cart")
local owner = fastr.pg.open { role = "cart_owner", writes = 1 }
local PRIMARY = assert(os.getenv("PG_PRIMARY"), "PG_PRIMARY is not set: run bin/test, or source var/shop.env")

local function ddl(sql) return assert(owner:write(sql)) end

local function n_of(id)
  local rows = db:latest("select n from db_spec where id = $1", id)
  return rows[1] and rows[1].n
end

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

setup(function()
  ddl("drop table if exists db_spec, db_spec_child, db_spec_last")
  ddl("create table db_spec (id int primary key, n int not null)")
end)

teardown(function() ddl("drop table db_spec") end)

before_each(function()
  db:write("delete from db_spec")
  db:write("insert into db_spec values (1, 0)")
end)

describe("a statement", function()
  it("returns rows, or raises what went wrong with code and constraint", function()
    assert.equal(1, #db:read("select 1"))
    local err = raised(db.write, db, "insert into db_spec values (1, 1)")
    assert.equal("23505", err.code)
    assert.equal("db_spec_pkey", err.constraint)
    assert.equal("db_spec_pkey", database.duplicate(err))
    assert.truthy(tostring(err):find("23505", 1, true))
    assert.is_nil(database.duplicate(raised(db.read, db, "select nope")))
    assert.is_nil(database.duplicate("text"))
  end)

  it("raises a problem where the house is at fault", function()
    local err = raised(db.latest, db, "select pg_sleep(10)")
    assert.is_true(problem.is(err))
    assert.equal(504, err.status)
  end)
end)

describe("a transaction", function()
  it("commits and returns what its function returned", function()
    local a, b, c = db:transaction(function(tx)
      tx:query("update db_spec set n = 5 where id = 1")
      return "a", nil, "c"
    end)
    assert.equal("a", a)
    assert.is_nil(b)
    assert.equal("c", c)
    assert.equal(5, n_of(1))
    assert.equal(5, db:read("select n from db_spec where id = 1")[1].n)
  end)

  it("rolls back on nil and a problem, and returns both", function()
    local result, wrong = db:transaction(function(tx)
      tx:query("update db_spec set n = 5 where id = 1")
      return nil, problem.new("conflict")
    end)
    assert.is_nil(result)
    assert.equal("conflict", wrong.code)
    assert.equal(0, n_of(1))
  end)

  it("rolls back on a raise, and raises it again with its place", function()
    local err = raised(db.transaction, db, function(tx)
      tx:query("update db_spec set n = 5 where id = 1")
      error("oh")
    end)
    assert.truthy(err:find("db_spec.lua:%d+: oh"))
    assert.equal(0, n_of(1))
    assert.is_false(fastr.task.in_transaction())
  end)

  it("refuses to nest", function()
    assert.error_matches(function()
      db:transaction(function() db:transaction(function() return true end) end)
    end, "open already")
  end)

  it("runs again when others were in its way", function()
    local runs = 0
    db:transaction(function(tx)
      runs = runs + 1
      local n = tx:query("select n from db_spec where id = 1")[1].n
      if runs < 3 then -- somebody who is faster
        assert(os.execute(string.format("psql '%s' -X -q -c 'update cart.db_spec set n = n + 10 where id = 1'",
          PRIMARY)))
      end
      tx:query("update db_spec set n = $1 where id = 1", n + 1)
      return true
    end, { isolation = "repeatable read" })
    assert.equal(3, runs)
    assert.equal(21, n_of(1))
  end)

  it("gives up after three more attempts", function()
    local runs = 0
    local err = raised(db.transaction, db, function(tx)
      runs = runs + 1
      tx:query("do $$ begin raise exception 'again' using errcode = '40001'; end $$")
    end)
    assert.equal(4, runs)
    assert.equal("40001", err.code)
  end)

  it("runs again when its connection is lost before COMMIT", function()
    local runs = 0
    db:transaction(function(tx)
      runs = runs + 1
      if runs == 1 then tx:query("select pg_terminate_backend(pg_backend_pid())") end
      tx:query("update db_spec set n = n + 1 where id = 1")
      return true
    end)
    assert.equal(2, runs)
    assert.equal(1, n_of(1))
  end)

  it("raises what is found wrong at COMMIT", function()
    ddl("create table db_spec_child (id int references db_spec (id) deferrable initially deferred)")
    finally(function() ddl("drop table db_spec_child") end)
    local err = raised(db.transaction, db, function(tx)
      tx:query("insert into db_spec_child values (99)")
      return true
    end)
    assert.equal("23503", err.code)
    assert.equal("db_spec_child_id_fkey", err.constraint)
    assert.is_false(fastr.task.in_transaction())
  end)
end)

describe("an unknown COMMIT", function()
  -- A trigger that ends the session while it commits, so that the answer is lost.
  setup(function()
    ddl([[create or replace function db_spec_end() returns trigger language plpgsql as
      $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$]])
    ddl("create table db_spec_last (id int)")
    ddl("create constraint trigger db_spec_end after insert on db_spec_last deferrable initially deferred"
      .. " for each row execute function db_spec_end()")
  end)

  teardown(function()
    ddl("drop table db_spec_last")
    ddl("drop function db_spec_end")
  end)

  local function lost(tx)
    tx:query("update db_spec set n = 7 where id = 1")
    tx:query("insert into db_spec_last values (1)")
    return "done"
  end

  it("is answered by the look-up that finds the work, maybe a moment later", function()
    local asked = 0
    local result = db:transaction(lost, { look_up = function(view)
      asked = asked + 1
      assert.equal(1, #view:read("select 1 from db_spec where id = 1"))
      return asked == 2 and "found" or nil
    end })
    assert.equal("found", result)
    assert.equal(2, asked)
  end)

  it("is the problem commit_unknown otherwise, and is not tried again", function()
    local runs = 0
    local function counted(tx)
      runs = runs + 1
      return lost(tx)
    end
    local function look_up(view) return view:read("select n from db_spec where id = 1 and n = 7")[1] end
    local err = raised(db.transaction, db, counted, { look_up = look_up })
    assert.equal("commit_unknown", err.code)
    assert.equal(503, err.status)
    assert.equal(1, runs)
    assert.equal("commit_unknown", raised(db.transaction, db, lost).code)
  end)
end)
