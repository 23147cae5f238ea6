-- The event log has one order over all sessions; `counter` holds the last position given and how far it is pruned.
alter table event add column position bigint not null default 0;
update event set position = rowid;
create unique index event_by_position on event (position);
insert into counter (name, value) select 'event_position', coalesce(max(position), 0) from event;

-- Up to this sequence events of the session may be gone. When it was last heard of.
alter table session add column pruned_sequence bigint not null default 0;
alter table session add column engine_event_at bigint;
alter table session add column stored_at bigint;

-- How long the log was at a time: tells what is old without a clock in the ledger.
create table event_mark (at bigint primary key, position bigint not null);

alter table delivery add column replay_of text;
-- 1 as soon as the event was put on its way to the webhook again.
alter table delivery add column superseded smallint not null default 0 check (superseded in (0, 1));
drop index delivery_by_webhook;
create index delivery_log on delivery (webhook_id, occurred_at, id);
create index delivery_dead on delivery (occurred_at, id) where state in ('exhausted', 'dropped') and superseded = 0;

create table audit (
    position integer primary key autoincrement,
    id text not null unique,
    action text not null, severity text not null check (severity in ('info','warn','error')),
    api_key_id text, api_key_name text, session_id text, session_name text,
    ip text, user_agent text, method text, path text, status_code bigint,
    metadata text, error_message text,
    created_at bigint not null
);
create index audit_by_time on audit (created_at);
