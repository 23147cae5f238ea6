//! Which columns of which tables go along.

use crate::db::{self, Statement};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Text,
    Number,
}

use ColumnKind::{Number, Text};

/// A table on its way.
pub(super) struct TransferTable {
    name: &'static str,
    /// What its pages are sorted by.
    pub(super) key: &'static [&'static str],
    pub(super) columns: &'static [(&'static str, ColumnKind)],
    /// The rows behind a key, up to a number of them.
    pub(super) page: &'static Statement,
    /// One row, with the columns in their order.
    pub(super) insert: &'static Statement,
    /// What a session has of it goes.
    pub(super) empty: Option<&'static Statement>,
}

impl TransferTable {
    /// What a column of the key holds.
    pub(super) fn kind_of(&self, column: &str) -> ColumnKind {
        let found = self.columns.iter().find(|(name, _)| *name == column);
        found.map_or(Number, |(_, kind)| *kind)
    }
}

/// A table by its name.
pub(super) fn of(name: &str) -> Option<&'static TransferTable> {
    ALL.iter().find(|table| table.name == name)
}

db::statements! {
    SESSION_PAGE = both("select id, name, phone, lid, push_name, config, created_at, updated_at from \
         session where id > \
         $1 and deleted = 0 order by id limit $2");
    SESSION_INSERT = both("insert into session (id, name, phone, lid, push_name, config, created_at, \
         updated_at, status, \
         wanted) values ($1, $2, $3, $4, $5, $6, $7, $8, 'created', 0) on conflict (id) do update set \
         name = excluded.name, config = excluded.config, updated_at = excluded.updated_at where \
         session.deleted = 0");
    // What was on its way there does not go out here.
    MESSAGE_PAGE = both("select position, id, session_id, wa_id, chat, sender, recipient, chat_name, \
         author, body, kind, \
         direction, timestamp, metadata, status, created_at from message where position > $1 order by \
         position limit $2");
    MESSAGE_INSERT = both("insert into message (id, session_id, wa_id, chat, sender, recipient, \
         chat_name, author, body, \
         kind, direction, timestamp, metadata, status, created_at) values ($1, $2, $3, $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, $13, case when $14 = 'pending' then 'failed' else $14 end, $15)");
    MESSAGE_EMPTY = both("delete from message where session_id = $1");
    RECEIPT_PAGE = both("select session_id, wa_id, recipient, delivered_at, read_at, played_at from receipt where \
         (session_id, wa_id, recipient) > ($1, $2, $3) order by session_id, wa_id, recipient limit $4");
    RECEIPT_INSERT = both("insert into receipt (session_id, wa_id, recipient, delivered_at, read_at, \
         played_at) values ($1, \
         $2, $3, $4, $5, $6)");
    RECEIPT_EMPTY = both("delete from receipt where session_id = $1");
    // Its secret and its headers stay where they are, so nothing is delivered before they are set here.
    WEBHOOK_PAGE = both("select position, id, session_id, url, events, filters, retry_count, lane_order, policy, \
         created_at, updated_at from webhook where position > $1 and deleted = 0 order by position limit \
         $2");
    WEBHOOK_INSERT = both("insert into webhook (id, session_id, url, events, filters, retry_count, \
         lane_order, policy, \
         created_at, updated_at, active) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)");
    WEBHOOK_EMPTY = both("delete from webhook where session_id = $1");
    TEMPLATE_PAGE = both("select position, id, session_id, name, body, header, footer, created_at, updated_at from \
         template where position > $1 order by position limit $2");
    TEMPLATE_INSERT = both("insert into template (id, session_id, name, body, header, footer, \
         created_at, updated_at) values \
         ($1, $2, $3, $4, $5, $6, $7, $8)");
    TEMPLATE_EMPTY = both("delete from template where session_id = $1");
    RULE_PAGE = both("select position, id, session_id, name, enabled, conditions, reply_text, cooldown, created_at, \
         updated_at from automation_rule where position > $1 order by position limit $2");
    RULE_INSERT = both("insert into automation_rule (id, session_id, name, enabled, conditions, \
         reply_text, cooldown, \
         created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    RULE_EMPTY = both("delete from automation_rule where session_id = $1");
    IDENTITY_PAGE = both("select position, session_id, lid, phone from identity where position > $1 \
         order by position \
         limit $2");
    IDENTITY_INSERT = both("insert into identity (session_id, lid, phone) values ($1, $2, $3)");
    IDENTITY_EMPTY = both("delete from identity where session_id = $1");
    FORM_PAGE = both("select session_id, asked, found, at from phone_form where (session_id, asked) > ($1, $2) order \
         by session_id, asked limit $3");
    FORM_INSERT = both("insert into phone_form (session_id, asked, found, at) values ($1, $2, $3, $4)");
    FORM_EMPTY = both("delete from phone_form where session_id = $1");
    CONTACT_PAGE = both("select session_id, id, name, push_name, blocked from contact where \
         (session_id, id) > ($1, $2) \
         order by session_id, id limit $3");
    CONTACT_INSERT = both("insert into contact (session_id, id, name, push_name, blocked) values ($1, \
         $2, $3, $4, $5)");
    CONTACT_EMPTY = both("delete from contact where session_id = $1");
    CHAT_PAGE = both("select session_id, id, name, unread_count, timestamp, last_id, archived, pinned, \
         muted from chat \
         where (session_id, id) > ($1, $2) order by session_id, id limit $3");
    CHAT_INSERT = both("insert into chat (session_id, id, name, unread_count, timestamp, last_id, archived, pinned, \
         muted) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    CHAT_EMPTY = both("delete from chat where session_id = $1");
}

static ALL: [TransferTable; 10] = [
    TransferTable {
        name: "session",
        key: &["id"],
        columns: &[
            ("id", Text),
            ("name", Text),
            ("phone", Text),
            ("lid", Text),
            ("push_name", Text),
            ("config", Text),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        page: &SESSION_PAGE,
        insert: &SESSION_INSERT,
        empty: None,
    },
    TransferTable {
        name: "message",
        key: &["position"],
        columns: &[
            ("id", Text),
            ("session_id", Text),
            ("wa_id", Text),
            ("chat", Text),
            ("sender", Text),
            ("recipient", Text),
            ("chat_name", Text),
            ("author", Text),
            ("body", Text),
            ("kind", Text),
            ("direction", Text),
            ("timestamp", Number),
            ("metadata", Text),
            ("status", Text),
            ("created_at", Number),
        ],
        page: &MESSAGE_PAGE,
        insert: &MESSAGE_INSERT,
        empty: Some(&MESSAGE_EMPTY),
    },
    TransferTable {
        name: "receipt",
        key: &["session_id", "wa_id", "recipient"],
        columns: &[
            ("session_id", Text),
            ("wa_id", Text),
            ("recipient", Text),
            ("delivered_at", Number),
            ("read_at", Number),
            ("played_at", Number),
        ],
        page: &RECEIPT_PAGE,
        insert: &RECEIPT_INSERT,
        empty: Some(&RECEIPT_EMPTY),
    },
    TransferTable {
        name: "webhook",
        key: &["position"],
        columns: &[
            ("id", Text),
            ("session_id", Text),
            ("url", Text),
            ("events", Text),
            ("filters", Text),
            ("retry_count", Number),
            ("lane_order", Text),
            ("policy", Text),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        page: &WEBHOOK_PAGE,
        insert: &WEBHOOK_INSERT,
        empty: Some(&WEBHOOK_EMPTY),
    },
    TransferTable {
        name: "template",
        key: &["position"],
        columns: &[
            ("id", Text),
            ("session_id", Text),
            ("name", Text),
            ("body", Text),
            ("header", Text),
            ("footer", Text),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        page: &TEMPLATE_PAGE,
        insert: &TEMPLATE_INSERT,
        empty: Some(&TEMPLATE_EMPTY),
    },
    TransferTable {
        name: "automation_rule",
        key: &["position"],
        columns: &[
            ("id", Text),
            ("session_id", Text),
            ("name", Text),
            ("enabled", Number),
            ("conditions", Text),
            ("reply_text", Text),
            ("cooldown", Number),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        page: &RULE_PAGE,
        insert: &RULE_INSERT,
        empty: Some(&RULE_EMPTY),
    },
    TransferTable {
        name: "identity",
        key: &["position"],
        columns: &[("session_id", Text), ("lid", Text), ("phone", Text)],
        page: &IDENTITY_PAGE,
        insert: &IDENTITY_INSERT,
        empty: Some(&IDENTITY_EMPTY),
    },
    TransferTable {
        name: "phone_form",
        key: &["session_id", "asked"],
        columns: &[("session_id", Text), ("asked", Text), ("found", Text), ("at", Number)],
        page: &FORM_PAGE,
        insert: &FORM_INSERT,
        empty: Some(&FORM_EMPTY),
    },
    TransferTable {
        name: "contact",
        key: &["session_id", "id"],
        columns: &[
            ("session_id", Text),
            ("id", Text),
            ("name", Text),
            ("push_name", Text),
            ("blocked", Number),
        ],
        page: &CONTACT_PAGE,
        insert: &CONTACT_INSERT,
        empty: Some(&CONTACT_EMPTY),
    },
    TransferTable {
        name: "chat",
        key: &["session_id", "id"],
        columns: &[
            ("session_id", Text),
            ("id", Text),
            ("name", Text),
            ("unread_count", Number),
            ("timestamp", Number),
            ("last_id", Text),
            ("archived", Number),
            ("pinned", Number),
            ("muted", Number),
        ],
        page: &CHAT_PAGE,
        insert: &CHAT_INSERT,
        empty: Some(&CHAT_EMPTY),
    },
];
