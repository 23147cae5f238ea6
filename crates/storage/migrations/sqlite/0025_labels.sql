-- Labels of accounts, and the chats that have them. A chat may be told of before its label.
create table label (
    session_id text not null references session(id) on delete cascade,
    id text not null check (length(id) <= 32),
    name text not null,
    colour smallint not null,
    primary key (session_id, id)
) without rowid;

create table label_chat (
    session_id text not null references session(id) on delete cascade,
    chat text not null,
    label text not null check (length(label) <= 32),
    primary key (session_id, chat, label)
) without rowid;
create index label_chat_by_label on label_chat (session_id, label, chat);
