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
