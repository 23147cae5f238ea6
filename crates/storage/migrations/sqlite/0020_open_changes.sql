-- Edits, reactions and other changes that are on their way, encrypted, until their outcome is stored.
create table open_change (
    session_id text not null references session(id) on delete cascade,
    wa_id text not null,
    created_at bigint not null,
    outgoing blob not null,
    primary key (session_id, wa_id)
) without rowid;
