-- store: every SQL statement of the notification service. Statements return rows or raise. Waiting times are counted by
-- the database's clock, which all instances share.

local M = {}

local SHOWN = [[id, number, subject as "order", event, template, language, shown_as, status, tries, reason, created_at,
  sent_at]]

-- ---- writing what is to be sent -----------------------------------------------------------------------------------

-- Queues a mail; once per id.
function M.add(tx, mail)
  tx:query([[insert into mails (id, subject, event, template, language, address, shown_as, message, status)
    values ($1, $2, $3, $4, $5, $6, $7, $8, 'queued') on conflict (id) do nothing]],
    mail.id, mail.order, mail.event, mail.template, mail.language, mail.address, mail.shown_as, mail.message)
end

-- ---- sending ------------------------------------------------------------------------------------------------------

function M.is_due(db)
  return db:latest([[select exists(select from mails where status = 'queued' and next_try_at <= clock_timestamp())
    as due]])[1].due
end

-- Takes up to `limit` mails that are due, for `ms`: nobody else tries them meanwhile. Of each order only the first that
-- is not sent yet. Returns {id, address, message, tries}.
function M.take(db, limit, ms)
  return db:write([[update mails set next_try_at = clock_timestamp() + $2 * interval '1 ms', tries = tries + 1
    where id in (
      select a.id from mails a where a.status = 'queued' and a.next_try_at <= clock_timestamp()
        and not exists (select from mails b where b.subject = a.subject and b.status = 'queued' and b.number < a.number)
      order by a.next_try_at limit $1 for update skip locked)
    returning id, address, message, tries]], limit, ms)
end

-- The server has it. Repeating this changes nothing.
function M.sent(db, id, at)
  db:write([[update mails set status = 'sent', sent_at = $2, address = null, message = null, reason = ''
    where id = $1 and status <> 'sent']], id, at)
end

-- It failed: tried again after `ms`, or given up once it has waited for `give_up` (an interval).
function M.put_off(db, id, reason, ms, give_up)
  db:write([[update mails set reason = $2, next_try_at = clock_timestamp() + $3 * interval '1 ms',
      status = case when queued_at < clock_timestamp() - $4::interval then 'refused' else status end
    where id = $1 and status = 'queued']], id, reason, ms, give_up)
end

function M.refuse(db, id, reason)
  db:write("update mails set status = 'refused', reason = $2 where id = $1 and status = 'queued'", id, reason)
end

-- How many wait, how old the first is (seconds), how many were refused and still can be tried again.
function M.count(db)
  return db:latest([[select count(*) filter (where status = 'queued') as queued,
      coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where status = 'queued')), 0)::float8
        as oldest,
      count(*) filter (where status = 'refused' and message is not null) as refused
    from mails where status = 'queued' or status = 'refused' and message is not null]])[1]
end

-- What was refused longer ago than `age` (an interval) is not tried any more; its address and text go.
function M.forget(db, age)
  db:write([[update mails set address = null, message = null
    where status = 'refused' and message is not null and created_at < clock_timestamp() - $1::interval]], age)
end

-- ---- for staff ----------------------------------------------------------------------------------------------------

-- A page, newest first; `order`, `status` and `before` (a number) may be nil.
function M.list(db, order, status, before, limit)
  return db:read("select " .. SHOWN .. [[ from mails where ($1::uuid is null or subject = $1)
      and ($2::text is null or status = $2) and ($3::bigint is null or number < $3)
    order by number desc limit $4]], order, status, before, limit)
end

-- One mail, locked; nil if there is none. `kept`: its text is still there.
function M.lock(tx, id)
  return tx:query("select " .. SHOWN .. ", message is not null as kept from mails where id = $1 for update", id)[1]
end

function M.queue_again(tx, id)
  return tx:query([[update mails set status = 'queued', tries = 0, next_try_at = clock_timestamp(),
      queued_at = clock_timestamp()
    where id = $1 returning ]] .. SHOWN, id)[1]
end

return M
