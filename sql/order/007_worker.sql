-- Whose lease an order's is: the life of a process (fastr.host.life). When that is known to have ended, it counts no more.

alter table orders add column lease_worker text;
