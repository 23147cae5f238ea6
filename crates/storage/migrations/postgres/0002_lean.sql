-- A stored message changes less, as in SQLite's sixth migration.

-- What a chat's newest message says is read from its own row; the chats of a session are sorted when they are listed.
-- The check over these columns goes with them.
drop index chat_by_time;
alter table chat drop column last_from_me, drop column last_author, drop column last_body, drop column last_kind;

-- In a person's own chat the sender is the chat, and found by it.
drop index message_by_sender;
create index message_by_sender on message (session_id, sender, created_at, position) where sender <> chat;

-- A delivery's id begins as its event's does, and so it is found. Not those of replays, and the oldest ones. An event is
-- there for as long as one of its deliveries is.
alter table delivery drop constraint delivery_event_id_fkey;
drop index delivery_by_event;
create index delivery_elsewhere on delivery (event_id) where substr(id, 5, 13) <> substr(event_id, 5, 13);

-- The deliveries of an event: those whose id begins as the event's, then the others.
create view delivery_of as select event.id as event, delivery.id as id, delivery.state as state from event join delivery on
    (delivery.id >= 'dlv_' || substr(event.id, 5, 13) || '-' and delivery.id < 'dlv_' || substr(event.id, 5, 13) || '.'
        and delivery.event_id = event.id)
    or (delivery.event_id = event.id and substr(delivery.id, 5, 13) <> substr(delivery.event_id, 5, 13));
