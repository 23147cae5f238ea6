-- Under which spelling WhatsApp knows a number that may have two, and when it said so.
create table phone_form (
    session_id text not null references session(id) on delete cascade,
    asked text not null, found text not null,
    at integer not null,
    primary key (session_id, asked)
) without rowid;
create index phone_form_by_age on phone_form (session_id, at);
