-- A lane waits for its turn or for a time, each in a column of its own, and replays have theirs. As in SQLite's
-- twenty-first migration.
alter table lane add column ticket bigint, add column retry_at bigint;
update lane set ticket = case when tried = 0 then greatest(due_at, 1) else 0 end,
    retry_at = case when tried = 1 then due_at end;
alter table lane alter column ticket set not null, drop column due_at, drop column tried,
    add check (ticket >= 0), add check ((ticket = 0) = (retry_at is not null));
create index lane_by_webhook on lane (webhook_id, ticket, retry_at);
create index lane_by_retry on lane (retry_at) where retry_at is not null;

alter table delivery add column replay_ticket bigint not null default 0;
update delivery set replay_ticket = sequence,
    sequence = coalesce((select event.sequence from event where event.id = delivery.event_id), sequence)
    where lane like '%/replay/%';
drop index delivery_waiting;
create index delivery_waiting on delivery (lane, replay_ticket, sequence, occurred_at) where state = 'pending';
