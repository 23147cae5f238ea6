-- Browsers that showed a key, and links that let one in once. `hash` is of a random text that the browser alone has.
create table login (
    hash blob primary key,
    kind text not null check (kind in ('cookie','link')),
    api_key text not null references api_key(id) on delete cascade,
    created_at bigint not null,
    expires_at bigint not null,
    last_used_at bigint
) without rowid;
create index login_by_key on login (api_key, created_at);
create index login_by_expiry on login (expires_at);
