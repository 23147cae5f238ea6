-- Under which spelling WhatsApp knows a number that may have two, and when it said so.
create table phone_form (
    session_id text collate "C" not null references session(id) on delete cascade,
    asked text collate "C" not null, found text collate "C" not null,
    at bigint not null,
    primary key (session_id, asked)
);
create index phone_form_by_age on phone_form (session_id, at);
