-- What a return gives back beside its lines' own: the shipping, if the rules say so with the last of the goods; and less
-- where money had been refunded by amount before, so that the payment has not enough left. amount = lines + shipping - short.
alter table returns add column shipping bigint not null default 0 check (shipping >= 0);
alter table returns add column short bigint not null default 0 check (short >= 0);
