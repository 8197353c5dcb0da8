-- db: a service's PostgreSQL, for stores. Statements return rows or raise, so that no store passes a lost connection on
-- by hand. Raised is a problem where the house is at fault (unavailable, busy, timeout, commit_unknown), else an error
-- with the SQLSTATE in `.code` ("23505"), the constraint's name in `.constraint` and a text in `.message`.
--
--   local db = require("platform.db").open("cart")
--   local rows = db:read("select version from carts where id = $1", id)
--   local cart = db:transaction(function(tx)
--     tx:query("update carts set version = version + 1 where id = $1", id)
--     return tx:query("select * from carts where id = $1", id)[1]
--   end)

local problem = require "lib.problem"
local pg = fastr.pg

local M = {}

local ATTEMPTS = 4                     -- the first, and three more after a conflict
local LOOK_UPS, LOOK_UP_MS = 3, 100    -- after an unknown COMMIT: how often, and how long between

-- What running the whole transaction again cures: nothing of it was committed.
local AGAIN = { ["40001"] = true, ["40P01"] = true, stale_plan = true, unavailable = true }
local HOUSE = { unavailable = true, busy = true, timeout = true, commit_unknown = true, stale_plan = true }

-- ---- errors ---------------------------------------------------------------------------------------------------------

local Failure = {}
Failure.__index = Failure
function Failure:__tostring() return self.message .. " (SQLSTATE " .. self.code .. ")" end

-- While a server is away every statement fails alike: each kind of failure is told once a second.
local TELL_MS = 1000
local told = {} -- code -> when, in ms

local function tell(message, code)
  local now = fastr.time.unix_ms()
  if now >= (told[code] or 0) and now < (told[code] or 0) + TELL_MS then return end
  told[code] = now
  fastr.log.warn("database: " .. message, { code = code })
end

-- What is raised for an error triple of fastr.pg.
local function failure(message, code, constraint)
  if HOUSE[code] then
    tell(message, code)
    return problem.of_error(code == "stale_plan" and "unavailable" or code)
  end
  return setmetatable({ message = message, code = code, constraint = constraint }, Failure)
end

local function check(rows, message, code, constraint)
  if rows then return rows end
  error(failure(message, code, constraint), 0)
end

-- The violated constraint's name if `err` (raised here) says that a unique key is taken, else nil.
function M.duplicate(err)
  return getmetatable(err) == Failure and err.code == "23505" and (err.constraint or "") or nil
end

-- ---- transactions --------------------------------------------------------------------------------------------------

-- What the function of a transaction is given. `service` says whose it is; `failed` keeps the code of the statement
-- that spoilt it; `after_commit`, a table of functions that must not raise, is run once the transaction is committed.
local Tx = {}
Tx.__index = Tx

-- tx:query(sql, ...) (waits) -> rows; raises.
function Tx:query(sql, ...)
  local rows, message, code, constraint = self.raw:query(sql, ...)
  if rows then return rows end
  self.failed = code
  error(failure(message, code, constraint), 0)
end

-- tx:script(sql) (waits): several statements at once, without parameters; raises.
function Tx:script(sql)
  local done, message, code, constraint = self.raw:script(sql)
  if done then return true end
  self.failed = code
  error(failure(message, code, constraint), 0)
end

local function pack(ok, ...) return ok, { n = select("#", ...), ... } end

-- Between attempts: 5 to 40 ms, longer each time, so that those who collided do not meet again.
local function pause(attempt)
  fastr.time.sleep(5 * attempt + math.floor(fastr.crypto.random(1):byte() / 255 * 20))
end

-- One attempt. Returns "done" or "refused" with what fn returned, "failed" with what it raised and whether another
-- attempt may cure it, "unknown" with why.
local function attempt(db, fn, options)
  local raw, message, code = db.handle:begin { isolation = options.isolation }
  if not raw then return "failed", failure(message, code), false end
  local tx = setmetatable({ raw = raw, service = db.service, after_commit = {} }, Tx)
  local ok, results = pack(xpcall(fn, fastr.traceback, tx))
  local refused = ok and results[1] == nil and results[2] ~= nil
  if not ok or refused then
    pcall(raw.rollback, raw) -- closed already if the deadline has passed
    if refused then return "refused", results end
    return "failed", results[1], AGAIN[tx.failed] or false
  end
  local lsn, constraint
  lsn, message, code, constraint = raw:commit()
  if lsn then
    for _, run in pairs(tx.after_commit) do run() end
    return "done", results
  end
  -- The task's own deadline ends the wait for COMMIT as well, and leaves the outcome as open.
  if code == "commit_unknown" or code == "timeout" then return "unknown", message end
  return "failed", failure(message, code, constraint), AGAIN[code] or false
end

-- A COMMIT without an answer is looked up, never guessed: by the caller's function, which reads the primary on another
-- connection and returns what the transaction would have, or nil while it cannot see it.
local function look_up(db, options, message)
  fastr.log.warn("database: commit unknown: " .. message)
  local view = { read = function(_, ...) return db:latest(...) end }
  for i = 1, options.look_up and LOOK_UPS or 0 do
    local ok, results = pack(pcall(options.look_up, view))
    if ok and results[1] ~= nil then return unpack(results, 1, results.n) end
    if i < LOOK_UPS then pcall(fastr.time.sleep, LOOK_UP_MS) end
  end
  error(problem.of_error("commit_unknown"), 0)
end

-- ---- a service's database ------------------------------------------------------------------------------------------

local Db = {}
Db.__index = Db

-- db:read(sql, ...) (waits) -> rows. A short read, from a replica that has what this session wrote; raises.
function Db:read(sql, ...) return check(self.handle:read(sql, ...)) end

-- db:latest(sql, ...) (waits) -> rows. A short read from the primary, where it must see every commit; raises.
function Db:latest(sql, ...) return check(self.handle:latest(sql, ...)) end

-- db:slow(sql, ...) (waits) -> rows. A read that may take seconds (search, reports), on its own connection; raises.
function Db:slow(sql, ...) return check(self.handle:slow(sql, ...)) end

-- db:write(sql, ...) (waits) -> rows. One statement, committed; raises. A unique conflict is an error with .code.
function Db:write(sql, ...) return check(self.handle:write(sql, ...)) end

-- db:listen(channel) -> listener of fastr.pg.listen.
function Db:listen(channel) return pg.listen(self.handle, channel) end

-- db:transaction(fn, {isolation =, look_up =}) (waits). Runs fn(tx) and commits; returns what fn returned.
-- `nil, problem` from fn rolls back and is returned; a raise rolls back and is raised again. After a serialization
-- failure, a deadlock or a lost connection fn runs again, up to three times: it must have no effect but through tx.
-- look_up(view) decides an unknown COMMIT: it looks with view:read (the primary) for what fn wrote, and returns what fn
-- would have returned, or nil. Without it, or when it does not find it: problem commit_unknown.
function Db:transaction(fn, options)
  if fastr.task.in_transaction() then
    error("db:transaction: a transaction is open already; pass its tx on", 2)
  end
  options = options or {}
  for i = 1, ATTEMPTS do
    local outcome, results, again = attempt(self, fn, options)
    if outcome == "done" or outcome == "refused" then return unpack(results, 1, results.n) end
    if outcome == "unknown" then return look_up(self, options, results) end
    if not again or i == ATTEMPTS then error(results, 0) end
    pause(i)
  end
end

local opened = {}

-- db.open(service) -> the database as that service's role sees it; the same one each time.
function M.open(service)
  local db = opened[service]
  if not db then
    db = setmetatable({ handle = pg.open { role = service }, service = service }, Db)
    opened[service] = db
  end
  return db
end

return M
