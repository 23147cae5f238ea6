-- Batches: one request, many recipients. `options` is JSON; an item's content is encrypted and goes when it is settled.

create table batch (
    position integer primary key autoincrement,
    session_id text not null references session(id) on delete cascade,
    id text not null,
    state text not null check (state in ('pending','processing','completed','failed','cancelled')),
    options text not null,
    hold_reason text, hold_until bigint,
    total bigint not null, sent bigint not null default 0,
    failed bigint not null default 0, cancelled bigint not null default 0,
    told_at bigint,
    created_at bigint not null, started_at bigint, completed_at bigint,
    unique (session_id, id),
    check (sent >= 0 and failed >= 0 and cancelled >= 0 and sent + failed + cancelled <= total),
    check ((completed_at is null) = (state in ('pending','processing'))),
    check (hold_reason is null or state in ('pending','processing'))
);
create index batch_unfinished on batch (state, session_id) where state in ('pending','processing');
create index batch_by_end on batch (completed_at) where completed_at is not null;

create table batch_item (
    batch integer not null references batch(position) on delete cascade,
    place bigint not null,
    chat text not null, wa_id text not null, zone text,
    state text not null check (state in ('pending','open','sent','failed','cancelled')),
    at bigint, error_code text, error_message text,
    content blob,
    primary key (batch, place),
    check ((state = 'failed') = (error_code is not null)),
    check ((state in ('pending','open')) = (content is not null))
) without rowid;
create index batch_item_pending on batch_item (batch, place) where state = 'pending';
create index batch_item_open on batch_item (state, batch) where state = 'open';

-- The next bulk message of a session not before this time.
create table batch_pace (
    session_id text primary key references session(id) on delete cascade,
    next_at bigint not null
) without rowid;
