-- What can never be stored where it belongs, with all its bytes, encrypted. The key is the hash of its own id, whose
-- length is not ours to limit.
create table quarantine (
    session_id text not null references session(id) on delete cascade,
    kind text not null,
    key text not null,
    name text not null,
    content blob not null,
    reason text not null,
    at bigint not null,
    primary key (session_id, kind, key)
);
