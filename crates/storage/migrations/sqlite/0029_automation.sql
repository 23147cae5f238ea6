-- Automation rules, and when each answered last in a chat. `cooldown` is in milliseconds.
create table automation_rule (
    position integer primary key autoincrement,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    name text not null,
    enabled smallint not null check (enabled in (0, 1)),
    conditions text,
    reply_text text not null,
    cooldown bigint not null,
    created_at bigint not null, updated_at bigint not null
);
create index automation_rule_by_session on automation_rule (session_id);
create table automation_answer (
    rule text not null references automation_rule(id) on delete cascade,
    chat text not null,
    at bigint not null,
    primary key (rule, chat)
) without rowid;
