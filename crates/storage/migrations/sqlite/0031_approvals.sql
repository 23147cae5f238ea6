-- Sends that wait for a person.

-- Messages in a day that a key may send without one; null: all.
alter table api_key add column approval_budget bigint check (approval_budget >= 0);

create table approval (
    position integer primary key autoincrement,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    chat text,
    api_key text not null,
    api_key_name text not null,
    request_key text,
    route text not null,
    request text not null,
    state text not null check (state in ('held','released','refused','sent','failed')),
    created_at bigint not null,
    decided_at bigint,
    decided_by text,
    answer_status bigint,
    answer text,
    check ((state = 'held') = (decided_at is null)),
    check ((decided_at is null) = (decided_by is null)),
    check ((state in ('sent','failed')) = (answer_status is not null))
);
create unique index approval_of_request on approval (session_id, api_key, request_key) where request_key is not null;
create index approval_by_session on approval (session_id, position);
create index approval_by_state on approval (state, position);
create index approval_by_key on approval (api_key, state, position);
create index approval_by_decision on approval (decided_at) where state in ('refused','sent','failed');

create table approval_budget (
    api_key text not null references api_key(id) on delete cascade,
    day bigint not null,
    taken bigint not null,
    primary key (api_key)
);
