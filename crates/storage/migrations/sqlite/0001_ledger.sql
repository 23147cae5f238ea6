-- Times are epoch milliseconds, ids and JSON are text, flags are 0 or 1.

create table meta (key text primary key, value blob not null);

-- Numbers that only grow, such as the epochs of lanes.
create table counter (name text primary key, value bigint not null);

create table session (
    id text primary key,
    name text not null unique,
    status text not null check (status in
        ('created','initializing','qr_ready','authenticating','ready','disconnected','action_required','failed')),
    wanted smallint not null check (wanted in (0, 1)),
    phone text, lid text, push_name text,
    connected_at bigint, last_active bigint, last_error text,
    config text not null,
    proxy blob,
    last_sequence bigint not null default 0 check (last_sequence >= 0),
    lease_owner text, lease_until bigint, lease_epoch bigint not null default 0,
    created_at bigint not null, updated_at bigint not null,
    check ((lease_owner is null) = (lease_until is null))
);

create table message (
    position integer primary key autoincrement,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    wa_id text not null,
    chat text not null, sender text not null, recipient text not null,
    chat_name text, author text, body text,
    kind text not null,
    direction text not null check (direction in ('incoming','outgoing')),
    timestamp bigint,
    metadata text not null,
    status text not null check (status in ('pending','sent','delivered','read','failed')),
    created_at bigint not null,
    unique (session_id, wa_id)
);
create index message_by_time on message (session_id, created_at, position);
create index message_by_chat on message (session_id, chat, created_at, position);

create table event (
    id text primary key,
    session_id text not null references session(id) on delete cascade,
    sequence bigint not null check (sequence > 0),
    kind text not null,
    occurred_at bigint not null,
    chat text,
    idempotency_key text not null,
    data text not null,
    unique (session_id, sequence)
);

create table webhook (
    position integer primary key autoincrement,
    id text not null unique,
    session_id text not null references session(id) on delete cascade,
    url text not null, events text not null, filters text,
    headers blob, secret blob,
    active smallint not null check (active in (0, 1)),
    retry_count smallint not null, lane_order text not null check (lane_order in ('chat','session','none')),
    last_triggered_at bigint, created_at bigint not null, updated_at bigint not null
);
create index webhook_by_session on webhook (session_id);

-- One row per lane with something waiting; the lease and its epoch fence the workers.
create table lane (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    due_at bigint not null,
    tried smallint not null default 0 check (tried in (0, 1)),
    owner text, lease_until bigint, epoch bigint not null default 0,
    check ((owner is null) = (lease_until is null))
);
create index lane_by_due on lane (tried, due_at);

create table delivery (
    id text primary key,
    webhook_id text not null references webhook(id) on delete cascade,
    event_id text not null references event(id) on delete cascade,
    lane text not null,
    sequence bigint not null,
    state text not null check (state in ('pending','delivered','exhausted','dropped')),
    attempts bigint not null default 0,
    occurred_at bigint not null
);
-- The waiting deliveries of a lane, in order: the only rows a claim reads.
create index delivery_waiting on delivery (lane, sequence) where state = 'pending';
create index delivery_by_webhook on delivery (webhook_id);
create index delivery_by_event on delivery (event_id);

create table delivery_attempt (
    delivery_id text not null references delivery(id) on delete cascade,
    attempt bigint not null check (attempt > 0),
    at bigint not null, duration_ms bigint not null,
    status bigint, error_kind text, error text, excerpt text,
    primary key (delivery_id, attempt)
);

create table api_key (
    position integer primary key autoincrement,
    id text not null unique,
    name text not null, prefix text not null, hash blob not null unique,
    role text not null check (role in ('viewer','operator','admin')),
    allowed_ips text not null, allowed_sessions text not null, allowed_chats text not null,
    active smallint not null check (active in (0, 1)),
    expires_at bigint, last_used_at bigint, usage_count bigint not null default 0, created_at bigint not null
);

create table device_key (
    session_id text not null references session(id) on delete cascade,
    namespace text not null, key text not null, value blob not null, expires_at bigint not null default 0,
    primary key (session_id, namespace, key)
) without rowid;
create index device_key_by_expiry on device_key (session_id, namespace, expires_at) where expires_at > 0;
