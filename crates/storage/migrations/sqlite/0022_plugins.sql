-- Plugins: code of the users, what it remembers, its providers and the calls they sent.

-- Grows with every change of any plugin or instance, also when one goes.
create table plugin_revision (
    one smallint primary key check (one = 1),
    value bigint not null
);
insert into plugin_revision (one, value) values (1, 0);

-- `config` is encrypted, JSON; `sessions` and `hooks` are JSON.
create table plugin (
    id text primary key,
    manifest text not null,
    enabled smallint not null check (enabled in (0, 1)),
    config blob not null,
    sessions text,
    hooks text not null,
    error text,
    installed_at bigint not null,
    updated_at bigint not null,
    enabled_at bigint,
    revision bigint not null
);

create table plugin_package (
    plugin text primary key references plugin(id) on delete cascade,
    bytes blob not null
);

-- What single sessions have instead, encrypted, JSON.
create table plugin_session_config (
    session_id text not null references session(id) on delete cascade,
    plugin text not null references plugin(id) on delete cascade,
    config blob not null,
    primary key (session_id, plugin)
) without rowid;
create index plugin_session_config_by_plugin on plugin_session_config (plugin);

-- What the values and keys of a plugin take; `session_id` is empty for its own, so that it can be a part of a key.
create table plugin_usage (
    session_id text not null,
    plugin text not null references plugin(id) on delete cascade,
    owner text references session(id) on delete cascade,
    bytes bigint not null check (bytes >= 0),
    primary key (session_id, plugin),
    check (session_id = coalesce(owner, ''))
);
create index plugin_usage_by_plugin on plugin_usage (plugin, bytes);
create index plugin_usage_by_owner on plugin_usage (owner) where owner is not null;

create table plugin_value (
    session_id text not null,
    plugin text not null,
    key text not null,
    bytes bigint not null,
    value text not null,
    primary key (session_id, plugin, key),
    foreign key (session_id, plugin) references plugin_usage(session_id, plugin) on delete cascade
);

-- Providers. `secret`, `verify_token` and `config` are encrypted.
create table plugin_instance (
    plugin text not null references plugin(id) on delete cascade,
    id text not null,
    session_id text references session(id) on delete cascade,
    secret blob not null,
    verify_token blob,
    config blob,
    enabled smallint not null check (enabled in (0, 1)),
    created_at bigint not null,
    updated_at bigint not null,
    primary key (plugin, id)
) without rowid;
create index plugin_instance_by_session on plugin_instance (session_id) where session_id is not null;

-- Calls of providers. `delivery_key` and `line` are hashes of the delivery id and the order key, whose lengths are not ours
-- to limit; both are in `request`, encrypted, which goes when the call is done. A call is claimed until `claimed_until`.
create table plugin_ingress (
    position integer primary key autoincrement,
    id text not null unique,
    plugin text not null,
    instance text not null,
    route text not null,
    delivery_key text not null,
    digest text not null,
    line text not null,
    state text not null check (state in ('waiting','done','dead')),
    attempts bigint not null,
    due_at bigint not null,
    claimed_until bigint check (claimed_until is null or state = 'waiting'),
    epoch bigint not null default 0,
    error text,
    received_at bigint not null,
    ended_at bigint,
    request blob,
    foreign key (plugin, instance) references plugin_instance(plugin, id) on delete cascade,
    check ((state = 'done') = (request is null)),
    check ((state = 'waiting') = (ended_at is null))
);
create unique index plugin_ingress_once on plugin_ingress (plugin, instance, route, delivery_key, digest);
create index plugin_ingress_waiting on plugin_ingress (plugin, instance, line, position) where state = 'waiting';
create index plugin_ingress_dead on plugin_ingress (plugin, instance, position) where state = 'dead';
create index plugin_ingress_by_end on plugin_ingress (state, ended_at) where ended_at is not null;

-- Chats and providers' conversations.
create table plugin_mapping (
    session_id text not null references session(id) on delete cascade,
    plugin text not null,
    instance text not null,
    chat text not null check (length(chat) <= 512),
    conversation text not null check (length(conversation) <= 512),
    handover text not null check (handover in ('bot','human','closed')),
    tied_at bigint not null,
    updated_at bigint not null,
    primary key (session_id, plugin, instance, chat),
    foreign key (plugin, instance) references plugin_instance(plugin, id) on delete cascade
) without rowid;
create index plugin_mapping_by_conversation on plugin_mapping (plugin, instance, conversation, tied_at);
