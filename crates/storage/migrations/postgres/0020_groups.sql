-- Groups as WhatsApp described them, moved along by what happened since. `data` is JSON. `as_of` is when WhatsApp was
-- asked, `changed_at` when something was last heard of; a `stale` one is to be asked anew. As in SQLite's
-- twenty-third migration.
create table chat_group (
    session_id text collate "C" not null references session(id) on delete cascade,
    id text collate "C" not null,
    name text collate "C" not null,
    parent text collate "C",
    data text collate "C" not null,
    as_of bigint not null,
    changed_at bigint not null default 0,
    stale bigint not null default 0 check (stale in (0, 1)),
    primary key (session_id, id)
);
