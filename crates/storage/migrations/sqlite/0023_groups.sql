-- Groups as WhatsApp described them, moved along by what happened since. `data` is JSON. `as_of` is when WhatsApp was
-- asked, `changed_at` when something was last heard of; a `stale` one is to be asked anew.
create table chat_group (
    session_id text not null references session(id) on delete cascade,
    id text not null,
    name text not null,
    parent text,
    data text not null,
    as_of bigint not null,
    changed_at bigint not null default 0,
    stale smallint not null default 0 check (stale in (0, 1)),
    primary key (session_id, id)
) without rowid;
