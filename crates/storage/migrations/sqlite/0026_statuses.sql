-- Statuses are messages of one chat, for a day. `people` is JSON: to whom a status of the account went.
create table status_audience (
    session_id text not null,
    wa_id text not null,
    people text not null,
    primary key (session_id, wa_id),
    foreign key (session_id, wa_id) references message(session_id, wa_id) on delete cascade
) without rowid;
create index status_by_age on message (created_at) where chat = 'status@broadcast';
