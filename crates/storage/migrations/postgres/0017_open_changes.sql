-- Edits, reactions and other changes that are on their way, encrypted, until their outcome is stored.
create table open_change (
    session_id text collate "C" not null references session(id) on delete cascade,
    wa_id text collate "C" not null,
    created_at bigint not null,
    outgoing bytea not null,
    primary key (session_id, wa_id)
);
