-- Under which lease of its session an item was handed over, and a key taken: an earlier one is over for certain.
alter table batch_item add column epoch bigint not null default 0;
alter table idempotency add column epoch bigint not null default 0;
-- What a process that does not run the session asks of the one that does.
alter table session add column wish text check (wish in ('stop', 'logout', 'force_kill'));
