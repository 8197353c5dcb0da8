-- Who runs a saga: the life of a process (fastr.host.life). When that is known to have ended, its lease counts no more.
-- Null where the process could not be named, and in rows of before: there the lease alone decides.

alter table idempotency_keys add column worker text;
