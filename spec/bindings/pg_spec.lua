-- fastr.pg against the running servers: the settings name them to fastr, PG_PRIMARY and PG_REPLICAS (of var/shop.env)
-- give the specs a superuser, for what an operator or a failure would do. Works in a table of its own in schema cart.

local pg = fastr.pg
local db = pg.open { role = "cart" }

local PRIMARY = assert(os.getenv("PG_PRIMARY"), "PG_PRIMARY is not set: run bin/test, or source var/shop.env")
local REPLICAS = {}
for uri in assert(os.getenv("PG_REPLICAS"), "PG_REPLICAS is not set"):gmatch("[^,]+") do
  REPLICAS[#REPLICAS + 1] = uri
end

-- Runs sql as superuser; blocks, for moments only.
local function admin(sql, uri)
  local pipe = io.popen(string.format("psql '%s' -X -q -A -t -v ON_ERROR_STOP=1 -c \"%s\" 2>&1", uri or PRIMARY, sql))
  local text = pipe:read("*a")
  assert(pipe:close(), text)
  return (text:gsub("%s+$", ""))
end

local function on_replicas(sql)
  for _, uri in ipairs(REPLICAS) do admin(sql, uri) end
end

local function eventually(what, fn, ms)
  local deadline = fastr.time.unix_ms() + (ms or 5000)
  repeat
    local result = fn()
    if result then return result end
    fastr.time.sleep(10)
  until fastr.time.unix_ms() > deadline
  error("still not so after " .. (ms or 5000) .. " ms: " .. what, 2)
end

local function fresh_session() fastr.task.set("lsn", nil) end

local function row(id) return assert(db:latest("select * from pg_spec where id = $1", id))[1] end

local function insert(id, text) return assert(db:write("insert into pg_spec (id, text) values ($1, $2)", id, text)) end

local function results_of(functions)
  local packed, list = assert(fastr.all(functions)), {}
  for i, result in ipairs(packed) do list[i] = result end
  return list
end

-- Transactions of the spec's own task; one that a failed spec leaves open is ended after it.
local open_tx
local function begin(options)
  open_tx = assert(db:begin(options))
  return open_tx
end

local function replicas_serve()
  eventually("a replica serves", function()
    fresh_session()
    local rows = db:read("select pg_is_in_recovery() as standby")
    return rows and rows[1].standby
  end)
end

after_each(function() if open_tx then pcall(open_tx.rollback, open_tx) end end)

setup(function()
  admin("set client_min_messages = warning; set role cart_owner; drop table if exists cart.pg_spec;"
    .. " create table cart.pg_spec (id int primary key, text text, data jsonb, at timestamptz, numbers int[])")
  eventually("the replicas serve", function()
    fresh_session()
    local rows = db:read("select pg_is_in_recovery() as standby, to_regclass('pg_spec') is not null as there")
    return rows and rows[1].standby and rows[1].there
  end)
end)

teardown(function()
  on_replicas("select pg_wal_replay_resume() where pg_is_wal_replay_paused()")
  admin("drop table cart.pg_spec")
end)

before_each(function()
  fresh_session()
  assert(db:write("delete from pg_spec"))
end)

describe("values", function()
  local function value(expression, ...)
    return assert(db:latest("select " .. expression .. " as v", ...))[1].v
  end

  it("are native where Lua can hold them, else PostgreSQL's text", function()
    assert.equal(42, value("42::int2"))
    assert.equal(9007199254740991, value("9007199254740991::int8"))
    assert.equal("9007199254740993", value("9007199254740993::int8"))
    assert.equal(2.5, value("2.5::float8"))
    assert.equal("1.10", value("1.10::numeric"))
    assert.equal(true, value("true"))
    assert.equal(false, value("false"))
    assert.is_nil(value("null::text"))
    assert.same({ a = { 1, 2 } }, value("'{\"a\": [1, 2]}'::jsonb"))
    assert.equal("12345678901234567890", value("'12345678901234567890'::jsonb"))
    assert.equal("{1,2}", value("'{1,2}'::int[]"))
  end)

  it("gives times as RFC 3339 in UTC with milliseconds, never rounded up", function()
    assert.equal("2026-01-02T01:04:05.678Z", value("'2026-01-02 03:04:05.6789+02'::timestamptz"))
    assert.equal("2026-01-02T01:04:05.000Z", value("'2026-01-02 03:04:05+02'::timestamptz"))
    assert.equal("2026-01-02T01:04:05.500Z", value("'2026-01-02 03:04:05.5+02'::timestamptz"))
    assert.equal("infinity", value("'infinity'::timestamptz"))
    assert.equal("0044-03-15 12:00:00+00 BC", value("'0044-03-15 12:00+00 BC'::timestamptz"))
  end)

  it("come back as they were sent", function()
    local text = "O'Reilly \"quoted\" \\ back, \195\169 {a,b}"
    assert(db:write("insert into pg_spec values ($1, $2, $3, $4, $5)", 1, text, pg.json({ list = { 1, "x" } }),
      "2026-11-23T10:00:00.123Z", pg.array { 3, 1, 2 }))
    local found = row(1)
    assert.equal(text, found.text)
    assert.same({ list = { 1, "x" } }, found.data)
    assert.equal("2026-11-23T10:00:00.123Z", found.at)
    assert.equal("{3,1,2}", found.numbers)
  end)

  it("quotes what an array holds", function()
    local list = { 'a"b', "c\\d", "e,f", "", "NULL", "{}" }
    for i, item in ipairs(list) do assert.equal(item, value("($1::text[])[" .. i .. "]", pg.array(list))) end
    assert.equal(0, value("cardinality($1::text[])", pg.array {}))
  end)

  it("takes nil as NULL, also at the end", function()
    assert.equal(true, value("$1::text is null and $2::int is null", nil, nil))
  end)

  it("keeps an integer an integer, so that its index is used", function()
    local plan = db:latest("explain (format json) select * from pg_class where oid = $1", 1259)
    assert.truthy(fastr.json.encode(plan[1]["QUERY PLAN"]):find("Index", 1, true))
  end)

  it("refuses a zero byte as PostgreSQL would, and raises for what is no value", function()
    local rows, message, code = db:latest("select $1::text as v", "a\0b")
    assert.is_nil(rows)
    assert.truthy(message:find("parameter 1"))
    assert.equal("22021", code)
    assert.has_error(function() db:latest("select $1::text as v", {}) end)
    assert.has_error(function() db:latest("select $1::text as v", print) end)
    assert.has_error(function() pg.json(print) end)
  end)
end)

describe("a read", function()
  it("counts its rows and leaves NULLs out", function()
    local rows = db:read("select n, null as nothing from generate_series(1, 3) n")
    assert.equal(3, #rows)
    assert.equal(3, rows.affected)
    assert.same({ n = 2 }, rows[2])
  end)

  it("is asked of a replica", function()
    replicas_serve()
    assert.equal(false, db:latest("select pg_is_in_recovery() as standby")[1].standby)
  end)

  it("cannot write, and cannot begin anything its neighbours would be in", function()
    local rows, _, code = db:latest("with gone as (delete from pg_spec returning id) select * from gone")
    assert.is_nil(rows)
    assert.equal("25006", code)
    for _, sql in ipairs { "begin", "set search_path = public", "insert into pg_spec values (1)",
      " -- select\nlisten x" } do
      assert.has_error(function() db:read(sql) end)
    end
    assert.truthy(db:read("-- a comment\n/* and */ (select 1)"))
  end)

  it("says what is wrong with it", function()
    local rows, message, code = db:read("select nope from pg_spec")
    assert.is_nil(rows)
    assert.equal("42703", code)
    assert.truthy(message:find("nope"))
  end)

  it("shares a connection with many others, each getting its own answer", function()
    local functions = {}
    for i = 1, 300 do
      functions[i] = function()
        if i % 7 == 0 then return select(3, db:read("select 1 / ($1::int - $1::int)", i)) end
        return db:read("select $1::int as v", i)[1].v
      end
    end
    for i, result in ipairs(results_of(functions)) do assert.equal(i % 7 == 0 and "22012" or i, result[1]) end
  end)

  it("ends within its limit on the server", function()
    local rows, _, code = db:read("select pg_sleep(10)")
    assert.is_nil(rows)
    assert.equal("timeout", code)
  end)

  it("is sent again, elsewhere, when its connection is lost", function()
    local ended = false
    local function slow_read() return db:read("select pg_sleep(0.4), 7 as v") end
    local function kill()
      fastr.time.sleep(100)
      on_replicas("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fastr/cart'")
      ended = true
    end
    local results = results_of { slow_read, slow_read, kill }
    assert.is_true(ended)
    assert.equal(7, results[1][1][1].v)
    assert.equal(7, results[2][1][1].v)
  end)

  it("does not mind that a migration changed what its statement means", function()
    assert(db:latest("select * from pg_spec"))
    admin("alter table cart.pg_spec add extra int default 5")
    insert(1, "a")
    assert.equal(5, row(1).extra)
    admin("alter table cart.pg_spec drop extra")
    assert.is_nil(row(1).extra)
  end)

  it("may be one of more statements than a connection remembers", function()
    for round = 1, 2 do
      for i = 1, 250 do assert.equal(i * round, db:latest("select " .. i .. " * $1::int as v", round)[1].v) end
    end
  end)

  it("may take longer on a connection of its own", function()
    replicas_serve()
    local rows = assert(db:slow("select pg_sleep(2.2), pg_is_in_recovery() as standby"))
    assert.equal(true, rows[1].standby)
  end)
end)

describe("a session", function()
  local function resume()
    on_replicas("select pg_wal_replay_resume()")
    replicas_serve()
  end

  after_each(resume)

  it("sees at once what it wrote", function()
    for i = 1, 50 do
      insert(i, "x")
      assert.equal(i, db:read("select count(*) as n from pg_spec")[1].n)
    end
  end)

  it("sees what it wrote, from the primary, while the replicas do not replay", function()
    on_replicas("select pg_wal_replay_pause()")
    insert(1, "mine")
    local began = fastr.time.unix_ms()
    assert.equal("mine", db:read("select text from pg_spec where id = 1")[1].text)
    assert.is_true(fastr.time.unix_ms() - began < 500)
    fresh_session()
    assert.equal(0, #db:read("select text from pg_spec where id = 1"))
  end)

  it("is not sent to a replica that is more than a second behind", function()
    on_replicas("select pg_wal_replay_pause()")
    insert(1, "new")
    eventually("the primary answers", function()
      fresh_session()
      return #db:read("select text from pg_spec where id = 1") == 1
    end, 4000)
  end)
end)

describe("a write", function()
  it("is committed, and says how many rows it changed", function()
    assert.equal(1, insert(1, "a").affected)
    local rows = db:write("update pg_spec set text = 'b' where id = 1 returning text")
    assert.equal("b", rows[1].text)
    assert.equal("b", row(1).text)
  end)

  it("names the constraint that it violates, without the values", function()
    insert(1, "secret")
    local rows, message, code, constraint = db:write("insert into pg_spec (id, text) values (1, 'secret')")
    assert.is_nil(rows)
    assert.equal("23505", code)
    assert.equal("pg_spec_pkey", constraint)
    assert.is_nil(message:find("secret", 1, true))
    assert.equal(1, #assert(db:write("select 1"))) -- and the connection is fit for the next
  end)
end)

describe("a transaction", function()
  it("is seen by others when it is committed, not before", function()
    local tx = begin()
    assert(tx:query("insert into pg_spec (id) values (1)"))
    assert.equal(1, #tx:query("select id from pg_spec"))
    assert.equal("0", admin("select count(*) from cart.pg_spec"))
    local lsn = tx:commit()
    assert.truthy(lsn:find("^%x+/%x+$"))
    assert.equal(lsn, fastr.task.get("lsn"))
    assert.truthy(row(1))
  end)

  it("of a branch of fastr.all is seen by its parent and its siblings, though replicas are behind", function()
    fresh_session()
    on_replicas("select pg_wal_replay_pause()")
    finally(function() on_replicas("select pg_wal_replay_resume()") end)
    local written = false
    local seen = results_of {
      function() insert(1, "first") written = true end,
      function()
        while not written do fastr.time.sleep(1) end
        return #assert(db:read("select id from pg_spec"))
      end,
    }
    assert.equal(1, seen[2][1])
    assert.truthy(fastr.task.get("lsn"))
    assert.equal(1, #assert(db:read("select id from pg_spec")))
  end)

  it("leaves nothing when it is rolled back", function()
    local tx = begin()
    assert(tx:query("insert into pg_spec (id) values (1)"))
    assert.is_true(tx:rollback())
    assert.is_nil(row(1))
  end)

  it("is closed by its end", function()
    local tx = begin()
    tx:rollback()
    assert.error_matches(function() tx:query("select 1") end, "transaction is closed")
    assert.error_matches(function() tx:commit() end, "transaction is closed")
    assert.equal("", assert(db:begin()):commit())
  end)

  it("takes only its own statements while it is open", function()
    local tx = begin()
    assert.error_matches(function() db:read("select 1") end, "transaction")
    assert.error_matches(function() db:begin() end, "transaction")
    assert.error_matches(function() fastr.time.sleep(1) end, "transaction")
    assert.is_true(fastr.task.in_transaction())
    tx:rollback()
    assert.is_false(fastr.task.in_transaction())
  end)

  it("cannot be committed after an error", function()
    local tx = begin()
    assert(tx:query("insert into pg_spec (id) values (1)"))
    assert.equal("23505", select(3, tx:query("insert into pg_spec (id) values (1)")))
    assert.equal("25P02", select(3, tx:query("select 1")))
    assert.equal("25P02", select(3, tx:commit()))
    assert.is_nil(row(1))
  end)

  it("is isolated as asked", function()
    local tx = begin { isolation = "serializable" }
    assert.equal("serializable", tx:query("show transaction_isolation")[1].transaction_isolation)
    tx:rollback()
    assert.has_error(function() db:begin { isolation = "none" } end)
  end)

  it("is rolled back when its task ends without a word, or fails", function()
    results_of { function()
      local tx = assert(db:begin())
      tx:query("insert into pg_spec (id) values (1)")
    end }
    pcall(results_of, { function()
      local tx = assert(db:begin())
      tx:query("insert into pg_spec (id) values (2)")
      error("gone")
    end })
    insert(1, "free") -- waits for no lock
    insert(2, "free")
  end)

  it("waits for a free connection, in turn", function()
    local functions = {}
    for i = 1, 12 do
      functions[i] = function()
        local tx = assert(db:begin())
        assert(tx:query("insert into pg_spec (id) select $1 from pg_sleep(0.05)", i))
        return tx:commit()
      end
    end
    for _, result in ipairs(results_of(functions)) do assert.is_string(result[1]) end
    assert.equal(12, db:read("select count(*) as n from pg_spec")[1].n)
  end)

  it("does not wait for ever", function()
    local functions, codes = {}, {}
    for i = 1, 5 do
      functions[i] = function()
        local tx, _, code = db:begin()
        if not tx then
          codes[#codes + 1] = code
          return
        end
        tx:query("select pg_sleep(2.6)")
        tx:rollback()
      end
    end
    results_of(functions)
    assert.same({ "timeout" }, codes)
  end)

  it("fails with 'unavailable' when its connection is lost, having committed nothing", function()
    local tx = begin()
    local pid = tx:query("select pg_backend_pid() as pid")[1].pid
    assert(tx:query("insert into pg_spec (id) values (1)"))
    admin("select pg_terminate_backend(" .. pid .. ")")
    assert.equal("unavailable", select(3, tx:query("select 1")))
    assert.equal("unavailable", select(3, tx:commit()))
    assert.is_nil(row(1))
    insert(1, "again")
  end)

  it("fails with the server's word for a deadlock", function()
    insert(1, "a")
    insert(2, "b")
    local function cross(first, second)
      return function()
        local tx = assert(db:begin())
        assert(tx:query("update pg_spec set text = 'x' where id = $1", first))
        tx:query("select pg_sleep(0.1)")
        local rows, _, code = tx:query("update pg_spec set text = 'x' where id = $1", second)
        if rows then return tx:commit() and "done" end
        tx:rollback()
        return code
      end
    end
    local results = results_of { cross(1, 2), cross(2, 1) }
    local codes = { results[1][1], results[2][1] }
    table.sort(codes)
    assert.same({ "40P01", "done" }, codes)
  end)

  it("runs a script of several statements, and says in which line one fails", function()
    local tx = begin()
    assert(tx:query("select 1"))
    assert(tx:script("insert into pg_spec (id) values (1);\ninsert into pg_spec (id) values (2);"))
    assert.equal(2, #tx:query("select id from pg_spec"))
    local done, message, code = tx:script("select 1;\nselec 2")
    assert.is_nil(done)
    assert.equal("42601", code)
    assert.truthy(message:find("line 2", 1, true))
    tx:rollback()
  end)
end)

describe("a COMMIT that no standby confirms", function()
  local function standbys(names)
    admin("alter system set synchronous_standby_names = '" .. names .. "'")
    admin("select pg_reload_conf()")
    eventually("the setting holds", function() return admin("show synchronous_standby_names") == names end)
  end

  local before
  before_each(function() before = admin("show synchronous_standby_names") end)
  after_each(function()
    admin("alter system reset synchronous_standby_names")
    admin("select pg_reload_conf()")
    eventually("the setting is back", function() return admin("show synchronous_standby_names") == before end)
    eventually("writes work again", function() return db:write("select 1") end)
  end)

  it("is unknown after its limit, is never cancelled, and leaves reads alone", function()
    standbys("ANY 1 (nobody)")
    local began = fastr.time.unix_ms()
    local tx = begin()
    assert(tx:query("insert into pg_spec (id) values (1)"))
    assert.equal("commit_unknown", select(3, tx:commit()))
    local took = fastr.time.unix_ms() - began
    assert.is_true(took >= 1900 and took < 4000, "took " .. took)
    assert.truthy(db:read("select 1"))
    assert.is_nil(row(1))
    standbys(before)
    eventually("the commit that was never cancelled is there", function() return row(1) end)
  end)

  it("holds at most the pool's connections, then writes fail at once", function()
    standbys("ANY 1 (nobody)")
    local functions = {}
    for i = 1, 4 do
      functions[i] = function() return select(3, db:write("insert into pg_spec (id) values ($1)", i)) end
    end
    for _, result in ipairs(results_of(functions)) do assert.equal("commit_unknown", result[1]) end
    local began = fastr.time.unix_ms()
    assert.equal("unavailable", select(3, db:begin()))
    assert.is_true(fastr.time.unix_ms() - began < 500)
    standbys(before)
    eventually("all four are there", function() return #db:latest("select id from pg_spec") == 4 end)
  end)

  it("is unknown when somebody cancels its wait, or ends its session", function()
    standbys("ANY 1 (nobody)")
    for i, act in ipairs { "pg_cancel_backend", "pg_terminate_backend" } do
      local results = results_of {
        function() return select(3, db:write("insert into pg_spec (id) values ($1)", i)) end,
        function()
          eventually("it waits", function()
            -- Ours alone, known by its lock: the shop's own writes wait too, and all say COMMIT.
            return admin("select " .. act .. "(a.pid) from pg_stat_activity a join pg_locks l using (pid) "
              .. "where a.wait_event = 'SyncRep' and l.relation = 'cart.pg_spec'::regclass limit 1") ~= ""
          end)
        end }
      assert.equal("commit_unknown", results[1][1])
      -- As it happens it is committed here, and on no standby yet; an ended session's row shows a moment later.
      eventually("the row is there", function() return row(i) end)
    end
  end)
end)

describe("a listener", function()
  it("says when it begins, hands over what comes, and begins again after a loss", function()
    local listener = pg.listen(db, "pg_spec")
    assert.equal("listening", select(3, listener:next(5000)))
    assert(db:write("select pg_notify('pg_spec', $1)", "hello"))
    assert.equal("hello", listener:next(5000))
    assert.equal("timeout", select(3, listener:next(20)))
    admin("select pg_terminate_backend(pid) from pg_stat_activity where query = 'LISTEN \\\"pg_spec\\\"'")
    assert.equal("listening", select(3, listener:next(5000)))
    assert(db:write("notify pg_spec, 'again'"))
    assert.equal("again", listener:next(5000))
    listener:close()
    assert.error_matches(function() listener:next(10) end, "closed")
  end)

  it("takes only a plain name", function()
    assert.has_error(function() pg.listen(db, 'a"; drop table x') end)
  end)
end)

describe("open", function()
  it("names what is missing or wrong", function()
    assert.error_matches(function() pg.open {} end, "role is missing")
    assert.error_matches(function() pg.open { role = "cart", writes = 0 } end, "writes must be 1 to")
  end)
end)
