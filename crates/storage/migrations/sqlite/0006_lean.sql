-- A stored message changes fewer pages.

-- What a chat's newest message says is read from its own row; the chats of a session are sorted when they are listed.
create table chats (
    session_id text not null references session(id) on delete cascade,
    id text not null,
    name text,
    unread_count bigint not null default 0 check (unread_count >= 0),
    timestamp bigint not null default 0,
    last_id text,
    archived smallint not null default 0 check (archived in (0, 1)),
    pinned smallint not null default 0 check (pinned in (0, 1)),
    muted bigint,
    primary key (session_id, id)
) without rowid;
insert into chats select session_id, id, name, unread_count, timestamp, last_id, archived, pinned, muted from chat;
drop table chat;
alter table chats rename to chat;

-- In a person's own chat the sender is the chat, and found by it.
drop index message_by_sender;
create index message_by_sender on message (session_id, sender, created_at, position) where sender <> chat;

-- Deliveries first, so that nothing refers to the events any longer when their table is made anew: a table that is dropped
-- takes along the rows that refer to its own.
create table deliveries (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    -- An event is there for as long as one of its deliveries is: see how events are pruned. Nothing else deletes one but
    -- its session, which takes the webhooks and so the deliveries along.
    event_id text not null,
    lane text not null,
    sequence bigint not null,
    state text not null check (state in ('pending','delivered','exhausted','dropped')),
    attempts bigint not null default 0,
    occurred_at bigint not null,
    first_tried_at bigint,
    replay_of text,
    -- 1 as soon as the event was put on its way to the webhook again.
    superseded smallint not null default 0 check (superseded in (0, 1))
) without rowid;
insert into deliveries (id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at, first_tried_at, replay_of,
    superseded) select id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at, first_tried_at, replay_of,
    superseded from delivery;
create table attempts (
    delivery_id text not null references deliveries(id) on delete cascade,
    attempt bigint not null check (attempt > 0),
    at bigint not null, duration_ms bigint not null,
    status bigint, error_kind text, error text, excerpt text,
    primary key (delivery_id, attempt)
) without rowid;
insert into attempts (delivery_id, attempt, at, duration_ms, status, error_kind, error, excerpt)
    select delivery_id, attempt, at, duration_ms, status, error_kind, error, excerpt from delivery_attempt;
drop table delivery_attempt;
drop table delivery;
alter table deliveries rename to delivery;
alter table attempts rename to delivery_attempt;
-- The waiting deliveries of a lane, in order: the only rows a claim reads.
create index delivery_waiting on delivery (lane, sequence) where state = 'pending';
create index delivery_log on delivery (webhook_id, occurred_at, id);
create index delivery_dead on delivery (occurred_at, id) where state in ('exhausted', 'dropped') and superseded = 0;
-- A delivery's id begins as its event's does, and so it is found. Not those of replays, and the oldest ones.
create index delivery_elsewhere on delivery (event_id) where substr(id, 5, 13) <> substr(event_id, 5, 13);

-- Events lie in the order of the log, which is the order in which they are stored.
create table events (
    position integer primary key,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    sequence bigint not null check (sequence > 0),
    kind text not null,
    occurred_at bigint not null,
    chat text,
    idempotency_key text not null,
    data text not null,
    unique (session_id, sequence)
);
insert into events (position, id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data)
    select position, id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data from event order by position;
drop table event;
alter table events rename to event;
-- The same change handed over twice is one: its event's key tells.
create index event_of_change on event (session_id, idempotency_key)
    where kind in ('message.edited','message.reaction','message.revoked','message.poll_vote');

-- The deliveries of an event: those whose id begins as the event's, then the others.
create view delivery_of as select event.id as event, delivery.id as id, delivery.state as state from event join delivery on
    (delivery.id >= 'dlv_' || substr(event.id, 5, 13) || '-' and delivery.id < 'dlv_' || substr(event.id, 5, 13) || '.'
        and delivery.event_id = event.id)
    or (delivery.event_id = event.id and substr(delivery.id, 5, 13) <> substr(delivery.event_id, 5, 13));
