-- Writers of different sessions do not wait for each other: whoever writes for a session locks its row.

-- Lanes get their tickets, events their positions, without a row that all writers would have to change.
create sequence lane_ticket minvalue 0 start 0;
select setval('lane_ticket', coalesce((select value from counter where name = 'lane_ticket'), 0));
create sequence event_position minvalue 0 start 0;
select setval('event_position', coalesce((select value from counter where name = 'event_position'), 0));
delete from counter where name in ('lane_ticket', 'event_position', 'webhook_version');

-- Grows with every change of the session's webhooks that decides which events they get: what a process remembers of them
-- counts for as long as this is the number it knows.
alter table session add column webhook_version bigint not null default 0;

-- Positions are drawn before their commit, so a later one may be seen before an earlier one. Whoever draws some first says
-- so, with a lock that others can see until the transaction is over: no position of it is at or below the lock's number.
create function event_bound() returns bigint language plpgsql volatile as $$
declare
    bound bigint;
begin
    select last_value into bound from event_position;
    perform pg_advisory_xact_lock_shared(
        hashtext('waypost events ' || current_schema()), (bound & 2147483647)::integer);
    return bound;
end $$;

-- Up to here nothing new comes: every position is in the log or will never be. The sequence is read before the locks: a
-- position up to it was drawn by a transaction whose lock is seen, or which is over.
create function event_horizon() returns bigint language plpgsql volatile as $$
declare
    last bigint;
    behind bigint;
begin
    select last_value into last from event_position;
    -- A lock has the lowest bits of its number; one that came since is ahead of us, half a round at most.
    select max(lag) into behind from (
        select (last - objid::bigint) & 2147483647 as lag from pg_locks
        where locktype = 'advisory' and objsubid = 2
            and database = (select oid from pg_database where datname = current_database())
            and classid::bigint = hashtext('waypost events ' || current_schema())::bigint & 4294967295
    ) as held where lag < 1073741824;
    return last - coalesce(behind, 0);
end $$;
