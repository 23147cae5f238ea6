-- A lane waits for its turn or for a time, each in a column of its own. `ticket` is its turn: the smaller, the longer it
-- waits for its first try; 0 for one that waits for `retry_at`, the time of its next try.
create table lanes (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    ticket bigint not null check (ticket >= 0),
    retry_at bigint,
    check ((ticket = 0) = (retry_at is not null))
) without rowid;
insert into lanes (id, webhook_id, ticket, retry_at)
    select id, webhook_id, case when tried = 0 then max(due_at, 1) else 0 end, case when tried = 1 then due_at end from lane;
drop table lane;
alter table lanes rename to lane;
create index lane_by_webhook on lane (webhook_id, ticket, retry_at);
create index lane_by_retry on lane (retry_at) where retry_at is not null;

-- In which order the replays of a lane leave; 0 for what is no replay. `sequence` is the event's for all of them.
alter table delivery add column replay_ticket bigint not null default 0;
update delivery set replay_ticket = sequence,
    sequence = coalesce((select event.sequence from event where event.id = delivery.event_id), sequence)
    where lane like '%/replay/%';
drop index delivery_waiting;
create index delivery_waiting on delivery (lane, replay_ticket, sequence, occurred_at) where state = 'pending';
