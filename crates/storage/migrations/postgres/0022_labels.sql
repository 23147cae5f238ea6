-- Labels of accounts, and the chats that have them. A chat may be told of before its label.
create table label (
    session_id text collate "C" not null references session(id) on delete cascade,
    id text collate "C" not null check (length(id) <= 32),
    name text collate "C" not null,
    colour smallint not null,
    primary key (session_id, id)
);

create table label_chat (
    session_id text collate "C" not null references session(id) on delete cascade,
    chat text collate "C" not null,
    label text collate "C" not null check (length(label) <= 32),
    primary key (session_id, chat, label)
);
create index label_chat_by_label on label_chat (session_id, label, chat);
