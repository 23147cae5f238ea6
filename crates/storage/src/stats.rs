//! Numbers of messages: counters that the database keeps itself as messages come.

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    log::MessageCounts,
    port::{StatsStore, StoreResult},
    stats::{ChatCount, DAY_MS, HOUR_MS, MessageFlow, MessageNumbers, StatsBucket},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    session::list_of,
    writer::Unit,
};

db::statements! {
    // Session by session, from an hour on: both are ranges of the key.
    BY_TIME = both("select hour / $3 as bucket, cast(sum(message_hour.incoming) as bigint) as incoming, \
         cast(sum(message_hour.outgoing) as bigint) as outgoing from session join message_hour \
         on message_hour.session_id = session.id where session.deleted = 0 \
         and session.id = coalesce($1, session.id) and hour >= $2 group by hour / $3 order by 1");
    BY_TYPE = both("select kind, cast(sum(message_hour.incoming + message_hour.outgoing) as bigint) as messages \
         from session join message_hour on message_hour.session_id = session.id where session.deleted = 0 \
         and session.id = coalesce($1, session.id) and hour >= $2 group by kind order by kind");
    BY_SESSION = both("select session.id as session_id, cast(sum(message_hour.incoming) as bigint) as incoming, \
         cast(sum(message_hour.outgoing) as bigint) as outgoing from session join message_hour \
         on message_hour.session_id = session.id where session.deleted = 0 \
         and session.id = coalesce($1, session.id) and hour >= $2 group by session.id order by session.id");
    BUSIEST = both("select session.id as session_id, chat, cast(sum(messages) as bigint) as messages \
         from session join chat_day on chat_day.session_id = session.id where session.deleted = 0 \
         and session.id = coalesce($1, session.id) and day >= $2 \
         group by session.id, chat order by 3 desc, session.id, chat limit $3");
    SENT_SINCE = DialectPair {
        sqlite: "select session_id, cast(sum(outgoing) as bigint) as outgoing from json_each($1) as one \
             cross join message_hour on session_id = one.value and hour >= $2 group by session_id",
        postgres: "select session_id, cast(sum(outgoing) as bigint) as outgoing from message_hour \
             where session_id in (select json_array_elements_text($1::json)) and hour >= $2 group by session_id",
    };
    OF_SESSION = both("select incoming, outgoing, failed from session where id = $1");
    PRUNE_HOURS = both("delete from message_hour where hour < $1");
    PRUNE_DAYS = both("delete from chat_day where day < $1");
    // A person's chat has another id from now on.
    JOIN_CHAT = both("insert into chat_day (session_id, day, chat, messages) \
         select session_id, day, $3, messages from chat_day where session_id = $1 and chat = $2 \
         on conflict (session_id, day, chat) do update set messages = chat_day.messages + excluded.messages");
    FORGET_HOURS = both("delete from message_hour where session_id = $1");
    FORGET_DAYS = both("delete from chat_day where session_id = $1");
    ERASE_CHAT = both("delete from chat_day where session_id = $1 and chat = $2");
}

const DOING: &str = "counting messages";

fn count(row: &Row, name: &str) -> StoreResult<u64> {
    row.try_get::<i64, _>(name).doing(DOING).map(|number| u64::try_from(number).unwrap_or(0))
}

fn flow(row: &Row) -> StoreResult<MessageFlow> {
    Ok(MessageFlow { received: count(row, "incoming")?, sent: count(row, "outgoing")? })
}

fn session(row: &Row) -> StoreResult<SessionId> {
    let text: String = row.try_get("session_id").doing(DOING)?;
    text.parse().map_err(|_| corrupt(DOING))
}

#[async_trait]
impl StatsStore for LedgerStore {
    async fn message_numbers(
        &self,
        of: Option<SessionId>,
        since: Timestamp,
        bucket: StatsBucket,
    ) -> StoreResult<MessageNumbers> {
        let asked = |sql| {
            let of = of.map(|id| id.to_string());
            db::query(sql).bind(of).bind(since.millis().div_euclid(HOUR_MS))
        };
        let mut numbers = MessageNumbers::default();
        let by_time = asked(&BY_TIME).bind(bucket.hours()).fetch_all(&self.readers).await;
        for row in by_time.doing(DOING)? {
            let hours = row.try_get::<i64, _>("bucket").doing(DOING)? * bucket.hours();
            numbers.by_time.push((Timestamp::from_millis(hours * HOUR_MS), flow(&row)?));
        }
        for row in asked(&BY_TYPE).fetch_all(&self.readers).await.doing(DOING)? {
            let kind = row.try_get("kind").doing(DOING)?;
            numbers.by_type.push((kind, count(&row, "messages")?));
        }
        for row in asked(&BY_SESSION).fetch_all(&self.readers).await.doing(DOING)? {
            numbers.by_session.push((session(&row)?, flow(&row)?));
        }
        Ok(numbers)
    }

    async fn busiest_chats(
        &self,
        of: Option<SessionId>,
        since: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<ChatCount>> {
        let rows = db::query(&BUSIEST)
            .bind(of.map(|id| id.to_string()))
            .bind(since.millis().div_euclid(DAY_MS))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let read = |row: &Row| {
            let chat: String = row.try_get("chat").doing(DOING)?;
            let chat = chat.parse().map_err(|_| corrupt(DOING))?;
            Ok(ChatCount { session: session(row)?, chat, messages: count(row, "messages")? })
        };
        rows.iter().map(read).collect()
    }

    async fn counts_of_session(&self, id: SessionId) -> StoreResult<MessageCounts> {
        let row = db::query(&OF_SESSION).bind(id.to_string()).fetch_optional(&self.readers).await;
        let Some(row) = row.doing(DOING)? else { return Ok(MessageCounts::default()) };
        Ok(MessageCounts {
            incoming: count(&row, "incoming")?,
            outgoing: count(&row, "outgoing")?,
            failed: count(&row, "failed")?,
        })
    }

    async fn sent_since(
        &self,
        sessions: &[SessionId],
        since: Timestamp,
    ) -> StoreResult<Vec<(SessionId, u64)>> {
        let rows = db::query(&SENT_SINCE)
            .bind(list_of(sessions))
            .bind(since.millis().div_euclid(HOUR_MS))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let sent = |row: &Row| Ok((session(row)?, count(row, "outgoing")?));
        let counts: StoreResult<Vec<_>> = rows.iter().map(sent).collect();
        // Hours without a message of the account have none to tell of.
        Ok(counts?.into_iter().filter(|(_, sent)| *sent > 0).collect())
    }

    async fn prune_stats(&self, before: Timestamp) -> StoreResult<u64> {
        const DOING: &str = "forgetting old numbers";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let mut gone = 0;
                    for (sql, length) in [(&PRUNE_HOURS, HOUR_MS), (&PRUNE_DAYS, DAY_MS)] {
                        let query = db::query(sql).bind(before.millis().div_euclid(length));
                        let done = query.execute(&mut unit.conn).await.doing(DOING)?;
                        gone += done.rows_affected();
                    }
                    Ok(gone)
                })
            })
            .await
    }
}

/// The numbers of a chat that has another id from now on.
pub(crate) async fn chat_moved(
    unit: &mut Unit,
    session: &str,
    old: &str,
    new: &str,
) -> StoreResult<()> {
    let join = db::query(&JOIN_CHAT).bind(session).bind(old).bind(new);
    join.execute(&mut unit.conn).await.doing(DOING)?;
    erase_chat(unit, session, old).await
}

/// Forgets the numbers of a chat.
pub(crate) async fn erase_chat(unit: &mut Unit, session: &str, chat: &str) -> StoreResult<()> {
    let query = db::query(&ERASE_CHAT).bind(session).bind(chat);
    query.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Forgets the numbers of a session, whose messages are stored anew.
pub(crate) async fn forget_session(unit: &mut Unit, session: &str) -> StoreResult<()> {
    for sql in [&FORGET_HOURS, &FORGET_DAYS] {
        db::query(sql).bind(session).execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(())
}
