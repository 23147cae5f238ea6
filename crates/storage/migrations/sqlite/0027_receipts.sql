-- What the devices of recipients said of messages of ours, WhatsApp's time in epoch seconds.
create table receipt (
    session_id text not null,
    wa_id text not null,
    recipient text not null,
    delivered_at bigint, read_at bigint, played_at bigint,
    primary key (session_id, wa_id, recipient),
    foreign key (session_id, wa_id) references message(session_id, wa_id) on delete cascade
) without rowid;

-- Numbers of messages, counted as they come; what is deleted later was counted all the same. Hours and days are those of
-- UTC since 1970.
create table message_hour (
    session_id text not null references session(id) on delete cascade,
    hour bigint not null,
    kind text not null,
    incoming bigint not null default 0,
    outgoing bigint not null default 0,
    primary key (session_id, hour, kind)
) without rowid;
create table chat_day (
    session_id text not null references session(id) on delete cascade,
    day bigint not null,
    chat text not null,
    messages bigint not null,
    primary key (session_id, day, chat)
) without rowid;
insert into message_hour (session_id, hour, kind, incoming, outgoing)
    select session_id, created_at / 3600000, kind, sum(direction = 'incoming'), sum(direction = 'outgoing') from message
    where created_at >= (select coalesce(max(created_at), 0) from message) - 2764800000 group by 1, 2, 3;
insert into chat_day (session_id, day, chat, messages)
    select session_id, created_at / 86400000, chat, count(*) from message
    where created_at >= (select coalesce(max(created_at), 0) from message) - 2764800000 group by 1, 2, 3;
create trigger message_in_hour after insert on message begin
    insert into message_hour (session_id, hour, kind, incoming, outgoing)
        values (new.session_id, new.created_at / 3600000, new.kind, new.direction = 'incoming', new.direction = 'outgoing')
        on conflict (session_id, hour, kind) do update set
            incoming = incoming + excluded.incoming, outgoing = outgoing + excluded.outgoing;
    insert into chat_day (session_id, day, chat, messages)
        values (new.session_id, new.created_at / 86400000, new.chat, 1)
        on conflict (session_id, day, chat) do update set messages = messages + 1;
end;
