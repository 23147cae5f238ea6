//! Chats.

use std::collections::BTreeMap;

use domain::{
    ChatId, SessionId, Timestamp, WaMessageId,
    address::ChatKind,
    chat::{Chat, ChatMark, LastMessage, MutedUntil},
    message::{Direction, Message, MessageType},
    port::{Page, StoreResult},
};

use super::identity::canonical;
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    removal,
    writer::Unit,
};

db::statements! {
    // The newest message is the one with the latest time; of two in one second the later row. What it says is in its
    // own row.
    CAME = both("insert into chat (session_id, id, name, unread_count, timestamp, last_id) \
         values ($1, $2, $3, $4, $5, $6) on conflict (session_id, id) do update set \
         name = coalesce(chat.name, excluded.name), unread_count = chat.unread_count + excluded.unread_count, \
         timestamp = case when excluded.timestamp > chat.timestamp then excluded.timestamp else chat.timestamp end, \
         last_id = case when excluded.timestamp >= chat.timestamp then excluded.last_id else chat.last_id end");
    // A person's name in the address book says more than what a chat was called, and that more than what they call
    // themselves. The page is cut out before anything is looked up for its chats.
    LIST = both("select page.*, coalesce(contact.name, page.name, contact.push_name) as shown_name, \
         message.direction as last_direction, \
         message.author as last_author, message.body as last_body, message.kind as last_kind \
         from (select * from chat where session_id = $1 order by timestamp desc, id limit $2 offset $3) as page \
         left join contact on contact.session_id = page.session_id and contact.id = page.id \
         left join message on message.session_id = page.session_id and message.wa_id = page.last_id and \
         message.chat = page.id \
         order by page.timestamp desc, page.id");
    GET = both("select chat.*, coalesce(contact.name, chat.name, contact.push_name) as shown_name, \
         message.direction as last_direction, \
         message.author as last_author, message.body as last_body, message.kind as last_kind \
         from chat left join contact on contact.session_id = chat.session_id and contact.id = chat.id \
         left join message on message.session_id = chat.session_id and message.wa_id = chat.last_id and \
         message.chat = chat.id \
         where chat.session_id = $1 and chat.id = $2");
    NAME = both("insert into chat (session_id, id, name) values ($1, $2, $3) \
         on conflict (session_id, id) do update set name = excluded.name where chat.name is distinct from \
         excluded.name");
    ARCHIVE = both("insert into chat (session_id, id, archived) values ($1, $2, $3) \
         on conflict (session_id, id) do update set archived = excluded.archived where chat.archived <> \
         excluded.archived");
    PIN = both("insert into chat (session_id, id, pinned) values ($1, $2, $3) \
         on conflict (session_id, id) do update set pinned = excluded.pinned where chat.pinned <> excluded.pinned");
    MUTE = both("insert into chat (session_id, id, muted) values ($1, $2, $3) \
         on conflict (session_id, id) do update set muted = excluded.muted where chat.muted is distinct from \
         excluded.muted");
    READ = both("insert into chat (session_id, id) values ($1, $2) \
         on conflict (session_id, id) do update set unread_count = 0 where chat.unread_count > 0");
    UNREAD = both("insert into chat (session_id, id, unread_count) values ($1, $2, 1) \
         on conflict (session_id, id) do update set unread_count = 1 where chat.unread_count = 0");
    DELETE = both("delete from chat where session_id = $1 and id = $2");
    CLEAR = both("update chat set unread_count = 0, last_id = null where session_id = $1 and id = $2");
    MERGE = both("update chat set name = coalesce(chat.name, old.name), \
         unread_count = chat.unread_count + old.unread_count, timestamp = case when old.timestamp > chat.timestamp \
         then old.timestamp else chat.timestamp end, \
         archived = case when old.archived < chat.archived then old.archived else chat.archived end, pinned = case \
         when old.pinned > chat.pinned then old.pinned else chat.pinned end, \
         muted = coalesce(chat.muted, old.muted), last_id = case when old.last_id is not null \
         and (chat.last_id is null or old.timestamp > chat.timestamp) then old.last_id else chat.last_id end \
         from chat as old where chat.session_id = $1 and chat.id = $3 and old.session_id = $1 and old.id = $2");
    MOVE = both("update chat set id = $3 where session_id = $1 and id = $2 \
         and not exists (select 1 from chat as other where other.session_id = $1 and other.id = $3)");
}

/// How a chat is stored that is muted for good.
const FOREVER: i64 = -1;

pub(crate) fn read(row: &Row) -> StoreResult<Chat> {
    const DOING: &str = "reading a chat";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
    let chat_id =
        |text: Option<String>| text.map(|id| id.parse::<ChatId>().map_err(|_| bad())).transpose();
    let timestamp = number("timestamp")?.ok_or_else(bad)?;
    // The message itself may be gone.
    let last_message = match (text("last_id")?, text("last_kind")?) {
        (Some(id), Some(kind)) => Some(LastMessage {
            id: WaMessageId::from_wire(id),
            from_me: text("last_direction")?.as_deref() == Some(Direction::Outgoing.as_str()),
            author: chat_id(text("last_author")?)?,
            body: text("last_body")?,
            kind: MessageType::parse(&kind).ok_or_else(bad)?,
            timestamp,
        }),
        _ => None,
    };
    let unread = number("unread_count")?.ok_or_else(bad)?;
    Ok(Chat {
        id: chat_id(text("id")?)?.ok_or_else(bad)?,
        name: text("shown_name")?,
        unread_count: u32::try_from(unread).unwrap_or(u32::MAX),
        timestamp,
        last_message,
        archived: number("archived")? == Some(1),
        pinned: number("pinned")? == Some(1),
        muted: number("muted")?.map(|until| match until {
            FOREVER => MutedUntil::Forever,
            time => MutedUntil::Time(Timestamp::from_millis(time)),
        }),
    })
}

/// Chats, the one with the newest message first.
pub(super) async fn list(
    store: &LedgerStore,
    session: SessionId,
    page: Page,
) -> StoreResult<Vec<Chat>> {
    let rows = db::query(&LIST)
        .bind(session.to_string())
        .bind(i64::from(page.limit))
        .bind(i64::from(page.offset))
        .fetch_all(&store.readers)
        .await;
    rows.doing("listing chats")?.iter().map(read).collect()
}

/// One chat by canonical id.
pub(super) async fn get(
    store: &LedgerStore,
    session: SessionId,
    id: &ChatId,
) -> StoreResult<Option<Chat>> {
    let row = db::query(&GET)
        .bind(session.to_string())
        .bind(id.as_str())
        .fetch_optional(&store.readers)
        .await;
    row.doing("reading a chat")?.as_ref().map(read).transpose()
}

/// The chat of a stored message moves along; `counts` is false when the message was counted before. The status feed is
/// no chat.
pub(crate) async fn message_came(
    unit: &mut Unit,
    message: &Message,
    counts: bool,
) -> StoreResult<()> {
    if message.chat.kind() == ChatKind::Status {
        return Ok(());
    }
    let incoming = message.direction == Direction::Incoming;
    db::query(&CAME)
        .bind(message.session.to_string())
        .bind(message.chat.as_str())
        .bind(message.chat_name.as_deref())
        .bind(i64::from(counts && incoming))
        .bind(message.timestamp.unwrap_or_else(|| message.created_at.seconds()))
        .bind(message.wa_id.as_str())
        .execute(&mut unit.conn)
        .await
        .doing("storing a message's chat")
        .map(|_| ())
}

/// What some new messages are for their chat, one after another.
#[derive(Default)]
pub(crate) struct ChatArrivals<'a> {
    name: Option<&'a str>,
    unread: i64,
    newest: Option<(i64, &'a str)>,
}

impl<'a> ChatArrivals<'a> {
    /// Counts the next message in, which must be newer than those before.
    pub(crate) fn add(&mut self, message: &'a Message, counts: bool) {
        self.name = self.name.or(message.chat_name.as_deref());
        self.unread += i64::from(counts);
        let at = message.timestamp.unwrap_or_else(|| message.created_at.seconds());
        if self.newest.is_none_or(|(newest, _)| at >= newest) {
            self.newest = Some((at, message.wa_id.as_str()));
        }
    }
}

/// The same as [`message_came`] for each of many messages, by their chats.
pub(crate) async fn messages_came(
    unit: &mut Unit,
    chats: BTreeMap<(SessionId, &str), ChatArrivals<'_>>,
) -> StoreResult<()> {
    let chats: Vec<_> = chats.into_iter().collect();
    for (sql, run) in CAME.runs(unit.conn.dialect(), &chats) {
        let mut query = db::query(sql);
        for ((session, chat), came) in run {
            let (at, id) = came.newest.unzip();
            query = query
                .bind(session.to_string())
                .bind(*chat)
                .bind(came.name)
                .bind(came.unread)
                .bind(at.unwrap_or_default())
                .bind(id);
        }
        query.execute(&mut unit.conn).await.doing("storing a message's chat")?;
    }
    Ok(())
}

/// Names a chat; `false` when it has that name.
pub(crate) async fn name_chat(
    unit: &mut Unit,
    session: SessionId,
    chat: &ChatId,
    name: &str,
) -> StoreResult<bool> {
    let chat = canonical(&mut unit.conn, session, chat).await?;
    let done = db::query(&NAME)
        .bind(session.to_string())
        .bind(chat.as_str())
        .bind(name)
        .execute(&mut unit.conn)
        .await;
    Ok(done.doing("naming a chat")?.rows_affected() == 1)
}

/// Marks a chat; `false` when it was marked so.
pub(crate) async fn mark_chat(
    unit: &mut Unit,
    session: SessionId,
    chat: &ChatId,
    mark: ChatMark,
) -> StoreResult<bool> {
    const DOING: &str = "marking a chat";
    let chat = canonical(&mut unit.conn, session, chat).await?;
    let session = session.to_string();
    if let ChatMark::Deleted | ChatMark::Cleared = mark {
        removal::messages_of_chat(unit, &session, chat.as_str()).await?;
    }
    let query = |sql| db::query(sql).bind(session).bind(chat.as_str());
    let query = match mark {
        ChatMark::Archived(archived) => query(&ARCHIVE).bind(i64::from(archived)),
        ChatMark::Pinned(pinned) => query(&PIN).bind(i64::from(pinned)),
        ChatMark::Muted(until) => query(&MUTE).bind(until.map(|until| match until {
            MutedUntil::Forever => FOREVER,
            MutedUntil::Time(time) => time.millis(),
        })),
        ChatMark::Read(true) => query(&READ),
        ChatMark::Read(false) => query(&UNREAD),
        ChatMark::Deleted => query(&DELETE),
        ChatMark::Cleared => query(&CLEAR),
    };
    Ok(query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected() == 1)
}

/// One chat under two ids becomes one.
pub(super) async fn merge(unit: &mut Unit, session: &str, old: &str, new: &str) -> StoreResult<()> {
    removal::chat_moved(unit, session, old, new).await?;
    for sql in [&MERGE, &MOVE] {
        db::query(sql)
            .bind(session)
            .bind(old)
            .bind(new)
            .execute(&mut unit.conn)
            .await
            .doing("merging chats")?;
    }
    let gone = db::query(&DELETE).bind(session).bind(old).execute(&mut unit.conn).await;
    gone.doing("merging chats").map(|_| ())
}
