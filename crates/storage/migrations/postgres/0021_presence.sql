-- What an account wants of presences: whether it shows as online, and whose presence it watches.
create table own_presence (
    session_id text collate "C" primary key references session(id) on delete cascade,
    available bigint not null check (available in (0, 1))
);
create table presence_watch (
    session_id text collate "C" not null references session(id) on delete cascade,
    chat text collate "C" not null,
    at bigint not null,
    primary key (session_id, chat)
);
create index presence_watch_by_age on presence_watch (session_id, at);
-- Few people are blocked.
create index contact_blocked on contact (session_id) where blocked = 1;
