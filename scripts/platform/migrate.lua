-- migrate: applies what is new in sql/platform and sql/SERVICE to each service's schema; `fastr migrate [SERVICE ...]`.
-- Each file is one transaction, run as the schema's owner under an advisory lock, so that two runs at once are one.
-- Applied files are remembered with their SHA-256 in schema_migrations; one that was changed afterwards is refused.

local M = {}

local LOCK_WAIT = "60s"  -- for another run of migrate
local LOCK_LIMIT = "5s"  -- for a table: better give up than queue the shop behind us

local CREATE_HISTORY = [[
create table if not exists schema_migrations (
  name text primary key, checksum text not null, applied_at timestamptz not null default now())]]

local function fail(what, message)
  error(setmetatable({ message = what .. ": " .. message }, { __tostring = function(self) return self.message end }), 0)
end

-- The folders of sql/ that are services: all but platform and files.
local function services()
  local names, message = fastr.files.list("sql")
  if not names then fail("sql", message) end
  local found = {}
  for _, name in ipairs(names) do
    if name ~= "platform" and not name:find(".", 1, true) then found[#found + 1] = name end
  end
  return found
end

-- Files NNN_name.sql of ROOT/FOLDER in their order; none if there is no such folder.
local function files_of(root, folder)
  local names, message, code = fastr.files.list(root .. "/" .. folder)
  if code == "not_found" then return {} end
  if not names then fail(folder, message) end
  local found = {}
  for _, name in ipairs(names) do
    local path = root .. "/" .. folder .. "/" .. name
    if not name:find("^%d%d%d_[%w_]+%.sql$") then
      fail(path, "the name of a migration is three digits, an underscore, a name and .sql")
    end
    local text, why = fastr.files.read(path)
    if not text then fail(path, why) end
    found[#found + 1] = { name = folder .. "/" .. name, path = path, text = text,
      checksum = fastr.crypto.sha256(text) }
  end
  return found
end

local function all_files(root, service)
  local files = files_of(root, "platform")
  for _, file in ipairs(files_of(root, service)) do files[#files + 1] = file end
  return files
end

-- One transaction under the schema's lock; raises with `what` in front.
local function locked(db, service, what, fn)
  local tx, message = db:begin()
  if not tx then fail(what, message) end
  local function query(sql, ...)
    local rows, why = tx:query(sql, ...)
    if not rows then fail(what, why) end
    return rows
  end
  local ok, result = pcall(function()
    query("select set_config('search_path', $1, true), set_config('lock_timeout', $2, true)", service, LOCK_WAIT)
    query("select pg_advisory_xact_lock(hashtext('migrate:' || $1))", service)
    query("select set_config('lock_timeout', $1, true)", LOCK_LIMIT)
    return fn(query, tx)
  end)
  if not ok then
    pcall(tx.rollback, tx)
    error(result, 0)
  end
  local done, why = tx:commit()
  if not done then fail(what, why) end
  return result
end

-- True if it was new. Raises if the applied file was another one.
local function apply(db, service, file)
  local what = service .. ": " .. file.path
  return locked(db, service, what, function(query, tx)
    local known = query("select checksum, applied_at from schema_migrations where name = $1", file.name)[1]
    if known and known.checksum == file.checksum then return false end
    if known then
      fail(what, "was applied at " .. known.applied_at .. " and has been changed since: restore it, and put what is new"
        .. " into a new file")
    end
    local done, message = tx:script(file.text)
    if not done then fail(what, message) end
    query("insert into schema_migrations (name, checksum) values ($1, $2)", file.name, file.checksum)
    return true
  end)
end

-- Brings one service's schema up to date with the files below `root`; `say` is told of each one applied. Returns how
-- many; raises what names file, line and cause.
function M.service(service, say, root)
  local files = all_files(root, service)
  local db = fastr.pg.open { role = service .. "_owner", writes = 1, write_ms = 0 }
  locked(db, service, service, function(query) query(CREATE_HISTORY) end)
  local count = 0
  for _, file in ipairs(files) do
    if apply(db, service, file) then
      say(service .. ": applied " .. file.name)
      count = count + 1
    end
  end
  return count
end

-- fastr migrate [SERVICE ...]: all services of sql/ if none is named. Prints what it did; false if something failed.
function M.main(arguments)
  local count = 0
  local ok, err = pcall(function()
    for _, service in ipairs(#arguments > 0 and arguments or services()) do
      count = count + M.service(service, print, "sql")
    end
  end)
  if not ok then
    io.stderr:write("fastr migrate: ", tostring(err), "\n")
    return false
  end
  print(count == 0 and "nothing new" or count .. " applied")
  return true
end

return M
