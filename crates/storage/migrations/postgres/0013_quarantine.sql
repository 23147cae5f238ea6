-- As in SQLite's sixteenth migration: what can never be stored where it belongs, with all its bytes, encrypted.
create table quarantine (
    session_id text collate "C" not null references session(id) on delete cascade,
    kind text collate "C" not null,
    key text collate "C" not null,
    name text not null,
    content bytea not null,
    reason text not null,
    at bigint not null,
    primary key (session_id, kind, key)
);
