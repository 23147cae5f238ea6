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

-- The two tables that every delivery writes, each as one tree by its key: ids begin with the time, so rows that are
-- written together lie together. `first_tried_at` is when the first attempt began: the horizon counts from here.
create table old_delivery as select * from delivery;
create table old_attempt as select * from delivery_attempt;
drop table delivery_attempt;
drop table delivery;
create table delivery (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    event_id text not null references event(id) on delete cascade,
    lane text not null,
    sequence bigint not null,
    state text not null check (state in ('pending','delivered','exhausted','dropped')),
    attempts bigint not null default 0,
    occurred_at bigint not null,
    first_tried_at bigint
) without rowid;
-- The waiting deliveries of a lane, in order: the only rows a claim reads.
create index delivery_waiting on delivery (lane, sequence) where state = 'pending';
create index delivery_by_webhook on delivery (webhook_id);
create index delivery_by_event on delivery (event_id);
create table delivery_attempt (
    delivery_id text not null references delivery(id) on delete cascade,
    attempt bigint not null check (attempt > 0),
    at bigint not null, duration_ms bigint not null,
    status bigint, error_kind text, error text, excerpt text,
    primary key (delivery_id, attempt)
) without rowid;
insert into delivery (id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at)
    select id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at from old_delivery;
insert into delivery_attempt select * from old_attempt;
drop table old_attempt;
drop table old_delivery;

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
