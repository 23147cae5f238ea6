-- What an account wants of presences: whether it shows as online, and whose presence it watches.
create table own_presence (
    session_id text primary key references session(id) on delete cascade,
    available smallint not null check (available in (0, 1))
) without rowid;
create table presence_watch (
    session_id text not null references session(id) on delete cascade,
    chat text not null,
    at integer not null,
    primary key (session_id, chat)
) without rowid;
create index presence_watch_by_age on presence_watch (session_id, at);
-- Few people are blocked.
create index contact_blocked on contact (session_id) where blocked = 1;
