-- store: every SQL statement of user.

local outbox = require "platform.outbox"

local M = {}

local db = require("platform.db").open("user")

local USER = "id, email, name, version, created_at"
local ENTRY = "id, address, is_default, version"

local function now()
  return fastr.time.now()
end

local function tell(tx, kind, user)
  outbox.add(tx, { topic = "user", key = user.id, type = kind, sequence = user.version,
    data = { user = user.id, email = user.email, name = user.name, version = user.version } })
end

-- ---- profiles -----------------------------------------------------------------------------------------------------

function M.user(id)
  return db:read("select " .. USER .. " from users where id = $1", id)[1]
end

-- The same from the primary, for who cannot say yet what he has written.
function M.latest_user(id)
  return db:latest("select " .. USER .. " from users where id = $1", id)[1]
end

-- The customer's group, or nil; nil too for who has no profile. `fresh` asks the primary.
function M.group(id, fresh)
  local sql = "select customer_group from users where id = $1"
  local row = (fresh and db:latest(sql, id) or db:read(sql, id))[1]
  return row and row.customer_group
end

-- false if there is no such user.
function M.set_group(tx, id, group)
  return tx:query("update users set customer_group = $2, updated_at = $3 where id = $1 returning 1 as done", id, group,
    now())[1] ~= nil
end

-- The user made by this call, with its event; nil if there was one already.
function M.add_user(id, email, name)
  return db:transaction(function(tx)
    local user = tx:query("insert into users (id, email, name, created_at, updated_at) values ($1, $2, $3, $4, $4)"
      .. " on conflict (id) do nothing returning " .. USER, id, email, name, now())[1]
    if user then tell(tx, "user.registered.v1", user) end
    return user or false
  end) or nil
end

function M.user_for_update(tx, id)
  return tx:query("select " .. USER .. " from users where id = $1 for update", id)[1]
end

-- The changed user, with its event.
function M.change_user(tx, id, name)
  local user = tx:query("update users set name = $2, version = version + 1, updated_at = $3 where id = $1 returning "
    .. USER, id, name, now())[1]
  tell(tx, "user.changed.v1", user)
  return user
end

-- ---- addresses ----------------------------------------------------------------------------------------------------

function M.addresses(owner)
  return db:read("select " .. ENTRY .. " from addresses where owner = $1 order by created_at, id", owner)
end

function M.count_addresses(tx, owner)
  return tx:query("select count(*)::integer as n from addresses where owner = $1", owner)[1].n
end

function M.add_address(tx, owner, address, is_default)
  return tx:query("insert into addresses (id, owner, address, is_default, created_at) values ($1, $2, $3, $4, $5)"
    .. " returning " .. ENTRY, fastr.crypto.uuid7(), owner, fastr.pg.json(address), is_default, now())[1]
end

function M.address_for_update(tx, owner, id)
  return tx:query("select " .. ENTRY .. " from addresses where owner = $1 and id = $2 for update", owner, id)[1]
end

function M.change_address(tx, id, address, is_default)
  return tx:query("update addresses set address = $2, is_default = $3, version = version + 1 where id = $1 returning "
    .. ENTRY, id, fastr.pg.json(address), is_default)[1]
end

function M.clear_default(tx, owner)
  tx:query("update addresses set is_default = false, version = version + 1 where owner = $1 and is_default", owner)
end

function M.delete_address(tx, owner, id)
  tx:query("delete from addresses where owner = $1 and id = $2", owner, id)
end

return M
