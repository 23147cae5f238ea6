-- Browsers that showed a key, and links that let one in once. As in SQLite's thirty-third migration.
create table login (
    hash bytea primary key,
    kind text collate "C" not null check (kind in ('cookie','link')),
    api_key text collate "C" not null references api_key(id) on delete cascade,
    created_at bigint not null,
    expires_at bigint not null,
    last_used_at bigint
);
create index login_by_key on login (api_key, created_at);
create index login_by_expiry on login (expires_at);
