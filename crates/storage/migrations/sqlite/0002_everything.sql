-- People, chats, files of messages, changes that wait for their message, templates, idempotent sends, pacing.

-- What WhatsApp does not let the account do, JSON.
alter table session add column restriction text;

alter table message add column media_path text;
alter table message add column media_mimetype text;
-- What goes out, encrypted, while its outcome is not known.
alter table message add column outgoing blob check (outgoing is null or status = 'pending');
create index message_unsettled on message (session_id, position) where outgoing is not null;
create index message_by_sender on message (session_id, sender, created_at, position);
create index message_by_author on message (session_id, author) where author is not null;

-- The same change handed over twice is one: its event's key tells.
create index event_of_change on event (session_id, idempotency_key)
    where kind in ('message.edited','message.reaction','message.revoked','message.poll_vote');

-- Which number is behind a privacy id. A number may have had several; the last learned counts.
create table identity (
    position integer primary key autoincrement,
    session_id text not null references session(id) on delete cascade,
    lid text not null, phone text not null,
    unique (session_id, lid)
);
create index identity_by_phone on identity (session_id, phone);

-- People by canonical id.
create table contact (
    session_id text not null references session(id) on delete cascade,
    id text not null,
    name text, push_name text,
    blocked smallint not null default 0 check (blocked in (0, 1)),
    primary key (session_id, id)
) without rowid;

-- `timestamp` is that of the newest message, epoch seconds; `muted` is a time, or -1 for good.
create table chat (
    session_id text not null references session(id) on delete cascade,
    id text not null,
    name text,
    unread_count bigint not null default 0 check (unread_count >= 0),
    timestamp bigint not null default 0,
    last_id text, last_from_me smallint, last_author text, last_body text, last_kind text,
    archived smallint not null default 0 check (archived in (0, 1)),
    pinned smallint not null default 0 check (pinned in (0, 1)),
    muted bigint,
    primary key (session_id, id),
    check ((last_id is null) = (last_from_me is null) and (last_id is null) = (last_kind is null))
) without rowid;
create index chat_by_time on chat (session_id, timestamp desc, id);

-- `description` is what the message says of the file with where WhatsApp keeps it, encrypted.
create table media (
    session_id text not null, wa_id text not null,
    description blob not null,
    state text not null check (state in ('pending','ready','failed')),
    due_at bigint, file text, size_bytes bigint, reason text,
    attempts bigint not null default 0,
    primary key (session_id, wa_id),
    foreign key (session_id, wa_id) references message(session_id, wa_id) on delete cascade,
    check ((state = 'pending') = (due_at is not null)),
    check ((state = 'ready') = (file is not null)),
    check ((state = 'failed') = (reason is not null))
) without rowid;
create index media_due on media (session_id, due_at) where state = 'pending';

-- What waits for a message that is not there: changes and acks with their events, JSON.
create table held_change (
    position integer primary key autoincrement,
    session_id text not null references session(id) on delete cascade,
    wa_id text not null,
    release_at bigint not null,
    event_key text,
    body text not null
);
create index held_by_message on held_change (session_id, wa_id, position);
create index held_by_session on held_change (session_id);
create index held_by_release on held_change (release_at);

create table template (
    position integer primary key autoincrement,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    name text not null, body text not null, header text, footer text,
    created_at bigint not null, updated_at bigint not null,
    unique (session_id, name)
);

create table idempotency (
    session_id text not null references session(id) on delete cascade,
    key text not null,
    fingerprint text not null,
    created_at bigint not null,
    wa_id text,
    state text not null check (state in ('open','done','unknown')),
    answer text,
    primary key (session_id, key),
    check ((state = 'done') = (answer is not null))
) without rowid;
create index idempotency_by_age on idempotency (created_at);

-- Counters of `domain::pacing`, JSON.
create table pacing (
    session_id text primary key references session(id) on delete cascade,
    state text not null
) without rowid;
