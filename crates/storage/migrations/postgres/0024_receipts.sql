-- Receipts of recipients, and numbers of messages by hour and chat. As SQLite's twenty-seventh migration.
create table receipt (
    session_id text collate "C" not null,
    wa_id text collate "C" not null,
    recipient text collate "C" not null,
    delivered_at bigint, read_at bigint, played_at bigint,
    primary key (session_id, wa_id, recipient),
    foreign key (session_id, wa_id) references message(session_id, wa_id) on delete cascade
);

create table message_hour (
    session_id text collate "C" not null references session(id) on delete cascade,
    hour bigint not null,
    kind text collate "C" not null,
    incoming bigint not null default 0,
    outgoing bigint not null default 0,
    primary key (session_id, hour, kind)
);
create table chat_day (
    session_id text collate "C" not null references session(id) on delete cascade,
    day bigint not null,
    chat text collate "C" not null,
    messages bigint not null,
    primary key (session_id, day, chat)
);
insert into message_hour (session_id, hour, kind, incoming, outgoing)
    select session_id, created_at / 3600000, kind, count(*) filter (where direction = 'incoming'),
        count(*) filter (where direction = 'outgoing') from message
    where created_at >= (select coalesce(max(created_at), 0) from message) - 2764800000 group by 1, 2, 3;
insert into chat_day (session_id, day, chat, messages)
    select session_id, created_at / 86400000, chat, count(*) from message
    where created_at >= (select coalesce(max(created_at), 0) from message) - 2764800000 group by 1, 2, 3;

-- Whoever stores messages has locked their session's row.
create function messages_in_hours() returns trigger language plpgsql as $$
begin
    insert into message_hour (session_id, hour, kind, incoming, outgoing)
        select session_id, created_at / 3600000, kind, count(*) filter (where direction = 'incoming'),
            count(*) filter (where direction = 'outgoing') from changed group by 1, 2, 3
        on conflict (session_id, hour, kind) do update set
            incoming = message_hour.incoming + excluded.incoming, outgoing = message_hour.outgoing + excluded.outgoing;
    insert into chat_day (session_id, day, chat, messages)
        select session_id, created_at / 86400000, chat, count(*) from changed group by 1, 2, 3
        on conflict (session_id, day, chat) do update set messages = chat_day.messages + excluded.messages;
    return null;
end $$;
create trigger message_in_hour after insert on message referencing new table as changed for each statement
    execute function messages_in_hours();
