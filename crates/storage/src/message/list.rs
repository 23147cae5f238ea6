//! The search for messages.

use domain::{
    ChatId, MessageRowId, SessionId,
    port::{MessagePage, MessageQuery, Page, StoreResult},
};

use super::read;
use crate::{
    db::{self, StatementBuilder},
    error::Doing as _,
    open::LedgerStore,
    people,
};

db::statements! {
    HIDING = both("select exists (select 1 from removal where kind = 'chat' and session_id = $1)");
    CURSOR = both("select position, created_at, timestamp from message where session_id = $1 and id = $2");
    // Counted whenever a message comes or goes.
    COUNTED = both("select case when $2 = 'incoming' then incoming when $2 = 'outgoing' then outgoing else \
         incoming + outgoing end as total, \
         0 as unknown from session where id = $1");
}

/// Newest first; `None` when the cursor names no row.
pub(super) async fn list(
    store: &LedgerStore,
    session: SessionId,
    query: &MessageQuery,
    page: Page,
) -> StoreResult<Option<MessagePage>> {
    const DOING: &str = "listing messages";
    let cursor = match query.after {
        Some(after) => match cursor(store, session, after).await? {
            Some(cursor) => Some(cursor),
            None => return Ok(None),
        },
        None => None,
    };
    let query = &by_canonical_ids(store, session, query).await?;
    let hiding: bool = db::query_scalar(&HIDING)
        .bind(session.to_string())
        .fetch_one(&store.readers)
        .await
        .doing(DOING)?;
    let mut select = begin(" *", session, query, hiding);
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
    let rows = select.build().fetch_all(&store.readers).await.doing(DOING)?;

    let (total, unknown) = totals(store, session, query, hiding).await?;
    Ok(Some(MessagePage {
        messages: store.unreadable.rows("message", &["session_id", "wa_id"], &rows, read),
        total,
        unknown_timestamp_total: unknown,
    }))
}

/// How many messages fit, and of how many of them no time is known.
async fn totals(
    store: &LedgerStore,
    session: SessionId,
    query: &MessageQuery,
    hiding: bool,
) -> StoreResult<(u64, u64)> {
    const DOING: &str = "counting messages";
    // Without the times, which are asked for rarely, only an index is counted.
    let timed = query.by_timestamp || query.since.is_some() || query.until.is_some();
    let narrow = query.chat.is_some() || query.from.is_some() || query.wa_id.is_some();
    let counts = if timed || narrow || query.kind.is_some() || hiding {
        let totals = if timed {
            " count(*) as total, count(case when timestamp is null then 1 end) as unknown"
        } else {
            " count(*) as total, 0 as unknown"
        };
        Some(begin(totals, session, query, hiding).build().fetch_one(&store.readers).await)
    } else {
        let direction = query.direction.map(domain::message::Direction::as_str);
        let counted = db::query(&COUNTED).bind(session.to_string()).bind(direction);
        counted.fetch_optional(&store.readers).await.transpose()
    };
    let Some(counts) = counts.transpose().doing(DOING)? else { return Ok((0, 0)) };
    let number = |name: &str| {
        counts.try_get::<i64, _>(name).doing(DOING).map(|n| u64::try_from(n).unwrap_or(0))
    };
    Ok((number("total")?, number("unknown")?))
}

/// Rows are filed under canonical ids: a search by a privacy id whose number is known finds them too.
async fn by_canonical_ids(
    store: &LedgerStore,
    session: SessionId,
    query: &MessageQuery,
) -> StoreResult<MessageQuery> {
    let mut query = query.clone();
    if let Some(chat) = &mut query.chat {
        *chat = people::filed_under(&store.readers, session, chat).await?;
    }
    if let Some(from) = &mut query.from
        && let Ok(id) = from.parse::<ChatId>()
        && id.is_lid()
    {
        *from = people::canonical(&store.readers, session, &id).await?.to_string();
    }
    Ok(query)
}

/// Where a row stands in the list.
struct PageCursor {
    position: i64,
    created_at: i64,
    timestamp: i64,
}

async fn cursor(
    store: &LedgerStore,
    session: SessionId,
    after: MessageRowId,
) -> StoreResult<Option<PageCursor>> {
    const DOING: &str = "reading a cursor";
    let row = db::query(&CURSOR).bind(session.to_string()).bind(after.to_string());
    let Some(row) = row.fetch_optional(&store.readers).await.doing(DOING)? else { return Ok(None) };
    Ok(Some(PageCursor {
        position: row.try_get("position").doing(DOING)?,
        created_at: row.try_get("created_at").doing(DOING)?,
        timestamp: row.try_get::<Option<i64>, _>("timestamp").doing(DOING)?.unwrap_or(0),
    }))
}

fn after(builder: &mut StatementBuilder<'_>, query: &MessageQuery, cursor: &PageCursor) {
    let (column, value) = if query.by_timestamp {
        ("coalesce(timestamp, 0)", cursor.timestamp)
    } else {
        ("created_at", cursor.created_at)
    };
    builder.push(" and (").push(column).push(", position) < (").push_bind(value).push(", ");
    builder.push_bind(cursor.position).push(")");
}

/// A search for columns of the rows that fit; `hiding` leaves out what goes with its chat.
fn begin<'q>(
    columns: &'static str,
    session: SessionId,
    query: &MessageQuery,
    hiding: bool,
) -> StatementBuilder<'q> {
    let mut builder = StatementBuilder::new("select");
    builder.push(columns).push(" from ");
    source(&mut builder, session, query);
    conditions(&mut builder, session, query);
    if hiding {
        builder.push(
            " and not exists (select 1 from removal where removal.kind = 'chat' \
             and removal.session_id = message.session_id and removal.target = message.chat \
             and message.position <= removal.through and message.status <> 'pending')",
        );
    }
    builder
}

/// What somebody wrote is found by two indexes: in their own chat by the chat's, elsewhere by the sender's, which has
/// only these rows.
fn source(builder: &mut StatementBuilder<'_>, session: SessionId, query: &MessageQuery) {
    // A chat or an id narrows it down more.
    let from = query.from.as_ref().filter(|_| query.chat.is_none() && query.wa_id.is_none());
    let Some(from) = from else {
        builder.push("message");
        return;
    };
    for (text, own_chat) in [
        ("(select * from message where session_id = ", false),
        (" union all select * from message where session_id = ", true),
    ] {
        builder.push(text).push_bind(session.to_string());
        builder.push(" and sender = ").push_bind(from.clone());
        if own_chat {
            builder.push(" and chat = ").push_bind(from.clone());
        } else {
            builder.push(" and sender <> chat");
        }
    }
    builder.push(") as message");
}

fn conditions(builder: &mut StatementBuilder<'_>, session: SessionId, query: &MessageQuery) {
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

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;
    use crate::open::StoreOptions;

    /// The steps of SQLite's plan for a page of a search.
    async fn plan(store: &LedgerStore, query: &MessageQuery) -> Vec<String> {
        let session = SessionId::from_uuid(uuid::Uuid::nil());
        let mut select = StatementBuilder::new("explain query plan select * from ");
        source(&mut select, session, query);
        conditions(&mut select, session, query);
        after(&mut select, query, &PageCursor { position: 7, created_at: 7, timestamp: 7 });
        select.push(" order by created_at desc, position desc limit ").push_bind(50_i64);
        let rows = select.build().fetch_all(&store.readers).await.unwrap();
        rows.iter().map(|row| row.try_get("detail").unwrap()).collect()
    }

    #[tokio::test]
    async fn a_search_by_sender_reads_what_they_wrote_and_sorts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let store = LedgerStore::open(StoreOptions::for_testing(path)).await.unwrap();
        let query = MessageQuery {
            from: Some("491@c.us".into()),
            since: Some(Timestamp::from_millis(7)),
            ..MessageQuery::default()
        };
        let steps = plan(&store, &query).await.join("\n");
        let own = "message_by_chat (session_id=? AND chat=?";
        for index in ["message_by_sender (session_id=? AND sender=?", own] {
            assert!(steps.contains(index), "{steps}");
        }
        assert!(!steps.contains("SCAN") && !steps.contains("TEMP B-TREE"), "{steps}");
        let in_chat = MessageQuery { chat: Some("491@c.us".parse().unwrap()), ..query };
        let steps = plan(&store, &in_chat).await.join("\n");
        assert!(steps.contains(own) && !steps.contains("SCAN"), "{steps}");
    }
}
