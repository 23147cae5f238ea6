//! Messages.

use async_trait::async_trait;
use domain::{
    MessageRowId, SessionId, Timestamp, WaMessageId,
    message::{Direction, Message, MessageStatus, MessageType},
    port::{MessagePage, MessageQuery, MessageStore, Page, StoreResult},
};
use serde_json::Value;
use sqlx::{
    QueryBuilder, Row as _, Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    error::{Doing as _, corrupt},
    open::SqliteStore,
    rows::Wide,
    writer::Unit,
};

const INSERT: &str = "insert into message (id, session_id, wa_id, chat, sender, recipient, chat_name, author, body, \
     kind, direction, timestamp, metadata, status, created_at) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
     on conflict (session_id, wa_id) do nothing";
static INSERT_ALL: Wide = Wide::new(INSERT, 15);
const GET: &str = "select * from message where session_id = $1 and wa_id = $2";
const ADVANCE: &str = "update message set status = $3, timestamp = $4, metadata = $5 where session_id = $1 and wa_id = $2";
const CURSOR: &str =
    "select position, created_at, timestamp from message where session_id = $1 and id = $2";

fn read(row: &SqliteRow) -> StoreResult<Message> {
    const DOING: &str = "reading a message";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let maybe = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    Ok(Message {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        wa_id: WaMessageId::from_wire(text("wa_id")?),
        chat: text("chat")?.parse().map_err(|_| bad())?,
        from: text("sender")?,
        to: text("recipient")?,
        chat_name: maybe("chat_name")?,
        author: maybe("author")?.map(|author| author.parse().map_err(|_| bad())).transpose()?,
        body: maybe("body")?,
        kind: MessageType::parse(&text("kind")?).ok_or_else(bad)?,
        direction: Direction::parse(&text("direction")?).ok_or_else(bad)?,
        timestamp: row.try_get("timestamp").doing(DOING)?,
        metadata: serde_json::from_str(&text("metadata")?).map_err(|_| bad())?,
        status: MessageStatus::parse(&text("status")?).ok_or_else(bad)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").doing(DOING)?),
    })
}

/// Stores a message unless its id is known in its session; `false` then. A session that does not exist is an error:
/// nothing may be sent whose row is not there.
pub(crate) async fn insert(unit: &mut Unit, message: &Message) -> StoreResult<bool> {
    let done = bound(sqlx::query(INSERT), message).execute(&mut unit.conn).await;
    Ok(done.doing("storing a message")?.rows_affected() == 1)
}

/// Stores many messages in few statements; `false`, and nothing is stored, when any of them is known already.
pub(crate) async fn insert_all(unit: &mut Unit, messages: &[&Message]) -> StoreResult<bool> {
    const DOING: &str = "storing messages";
    sqlx::query("savepoint messages").execute(&mut unit.conn).await.doing(DOING)?;
    let mut stored = 0;
    for (sql, run) in INSERT_ALL.runs(messages) {
        let query = run.iter().fold(sqlx::query(sql), |query, message| bound(query, message));
        stored += query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected();
    }
    let all = usize::try_from(stored).is_ok_and(|stored| stored == messages.len());
    if !all {
        sqlx::query("rollback to messages").execute(&mut unit.conn).await.doing(DOING)?;
    }
    sqlx::query("release messages").execute(&mut unit.conn).await.doing(DOING)?;
    Ok(all)
}

/// The columns of [`INSERT`].
fn bound<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    message: &'q Message,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(message.id.to_string())
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(message.chat.as_str())
        .bind(&message.from)
        .bind(&message.to)
        .bind(message.chat_name.as_deref())
        .bind(message.author.as_ref().map(domain::ChatId::as_str))
        .bind(message.body.as_deref())
        .bind(message.kind.as_str())
        .bind(message.direction.as_str())
        .bind(message.timestamp)
        .bind(message.metadata.to_string())
        .bind(message.status.as_str())
        .bind(message.created_at.millis())
}

/// Moves a message forward if its status allows it.
pub(crate) async fn advance(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    status: MessageStatus,
    timestamp: Option<i64>,
    metadata: &Value,
) -> StoreResult<bool> {
    const DOING: &str = "moving a message forward";
    let row = sqlx::query(GET)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .fetch_optional(&mut unit.conn)
        .await;
    let Some(row) = row.doing(DOING)? else { return Ok(false) };
    let message = read(&row)?;
    if !message.status.may_become(status) {
        return Ok(false);
    }
    let keep = message.timestamp.filter(|_| status != MessageStatus::Sent);
    sqlx::query(ADVANCE)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .bind(status.as_str())
        .bind(keep.or(timestamp).or(message.timestamp))
        .bind(merged(message.metadata, metadata).to_string())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    Ok(true)
}

fn merged(mut old: Value, new: &Value) -> Value {
    match (&mut old, new) {
        (Value::Object(old), Value::Object(new)) => old.extend(new.clone()),
        (Value::Null, new) => return new.clone(),
        _ => {}
    }
    old
}

#[async_trait]
impl MessageStore for SqliteStore {
    async fn get(&self, session: SessionId, wa_id: &WaMessageId) -> StoreResult<Option<Message>> {
        let row = sqlx::query(GET).bind(session.to_string()).bind(wa_id.as_str());
        row.fetch_optional(&self.readers)
            .await
            .doing("reading a message")?
            .as_ref()
            .map(read)
            .transpose()
    }

    async fn list(
        &self,
        session: SessionId,
        query: &MessageQuery,
        page: Page,
    ) -> StoreResult<Option<MessagePage>> {
        const DOING: &str = "listing messages";
        let cursor = match query.after {
            Some(after) => match cursor(self, session, after).await? {
                Some(cursor) => Some(cursor),
                None => return Ok(None),
            },
            None => None,
        };
        let mut select = QueryBuilder::new("select * from message");
        conditions(&mut select, session, query);
        if let Some(cursor) = &cursor {
            after(&mut select, query, cursor);
        }
        let order = if query.by_timestamp { "coalesce(timestamp, 0)" } else { "created_at" };
        select
            .push(" order by ")
            .push(order)
            .push(" desc, position desc limit ")
            .push_bind(i64::from(page.limit));
        // A cursor says where to go on by itself.
        let offset = if cursor.is_some() { 0 } else { page.offset };
        select.push(" offset ").push_bind(i64::from(offset));
        let rows = select.build().fetch_all(&self.readers).await.doing(DOING)?;

        let mut count = QueryBuilder::new(
            "select count(*) as total, count(case when timestamp is null then 1 end) as unknown from message",
        );
        conditions(&mut count, session, query);
        let counts = count.build().fetch_one(&self.readers).await.doing(DOING)?;
        let number = |name: &str| {
            counts.try_get::<i64, _>(name).doing(DOING).map(|n| u64::try_from(n).unwrap_or(0))
        };
        Ok(Some(MessagePage {
            messages: rows.iter().map(read).collect::<StoreResult<_>>()?,
            total: number("total")?,
            unknown_timestamp_total: number("unknown")?,
        }))
    }
}

/// Where a row stands in the list.
struct Cursor {
    position: i64,
    created_at: i64,
    timestamp: i64,
}

async fn cursor(
    store: &SqliteStore,
    session: SessionId,
    after: MessageRowId,
) -> StoreResult<Option<Cursor>> {
    const DOING: &str = "reading a cursor";
    let row = sqlx::query(CURSOR).bind(session.to_string()).bind(after.to_string());
    let Some(row) = row.fetch_optional(&store.readers).await.doing(DOING)? else { return Ok(None) };
    Ok(Some(Cursor {
        position: row.try_get("position").doing(DOING)?,
        created_at: row.try_get("created_at").doing(DOING)?,
        timestamp: row.try_get::<Option<i64>, _>("timestamp").doing(DOING)?.unwrap_or(0),
    }))
}

fn after(builder: &mut QueryBuilder<Sqlite>, query: &MessageQuery, cursor: &Cursor) {
    let (column, value) = if query.by_timestamp {
        ("coalesce(timestamp, 0)", cursor.timestamp)
    } else {
        ("created_at", cursor.created_at)
    };
    builder.push(" and (").push(column).push(", position) < (").push_bind(value).push(", ");
    builder.push_bind(cursor.position).push(")");
}

fn conditions(builder: &mut QueryBuilder<Sqlite>, session: SessionId, query: &MessageQuery) {
    builder.push(" where session_id = ").push_bind(session.to_string());
    if let Some(chat) = &query.chat {
        builder.push(" and chat = ").push_bind(chat.to_string());
    }
    if let Some(from) = &query.from {
        builder.push(" and sender = ").push_bind(from.clone());
    }
    if let Some(wa_id) = &query.wa_id {
        builder.push(" and wa_id = ").push_bind(wa_id.to_string());
    }
    // WhatsApp's time is in whole seconds; the bounds are compared in milliseconds.
    if let Some(since) = query.since {
        builder.push(" and timestamp * 1000 >= ").push_bind(since.millis());
    }
    if let Some(until) = query.until {
        builder.push(" and timestamp * 1000 < ").push_bind(until.millis());
    }
    if let Some(direction) = query.direction {
        builder.push(" and direction = ").push_bind(direction.as_str());
    }
    if let Some(kind) = query.kind {
        builder.push(" and kind = ").push_bind(kind.as_str());
    }
}
