-- What the owner of a webhook chose (JSON), and how its receiver does (JSON; '{}' while all is well). `held_until`
-- follows from the health: nothing leaves before it. A `retry_count` of -1 means that none was given.
alter table webhook add column policy text not null default '{}';
alter table webhook add column health text not null default '{}';
alter table webhook add column held_until bigint not null default 0;
create index webhook_doubtful on webhook (id) where health <> '{}';
-- The secret before this one, and until when it signs; the private key of the signature scheme v1a.
alter table webhook add column previous_secret blob;
alter table webhook add column previous_secret_until bigint;
alter table webhook add column signing_key blob;

-- When the first attempt began: the horizon counts from here.
alter table delivery add column first_tried_at bigint;

-- A lane row exists while something waits in the lane. Who holds it is known in memory alone: one process has the file,
-- and a claim must not outlive it. `due_at` is the time of the next try for a lane that waits (`tried` = 1), and a
-- ticket far below any time for one that does not: the smaller, the longer it waits.
create table lanes (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    due_at bigint not null,
    tried smallint not null default 0 check (tried in (0, 1))
) without rowid;
insert into lanes (id, webhook_id, due_at, tried) select id, webhook_id, due_at, tried from lane;
drop table lane;
alter table lanes rename to lane;
create index lane_by_webhook on lane (webhook_id, tried, due_at);
create index lane_by_due on lane (due_at) where tried = 1;
