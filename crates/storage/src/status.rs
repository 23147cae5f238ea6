//! Statuses: messages of one chat that go after a day, and to whom the account's own went.

use async_trait::async_trait;
use domain::{
    ChatId, SessionId, Timestamp, WaMessageId,
    message::Message,
    port::{Page, StatusStore, StoreResult},
};

use crate::{
    db,
    error::{Doing as _, corrupt},
    message,
    open::LedgerStore,
    people,
    writer::Unit,
};

db::statements! {
    // A status of the account has no author; its sender is the account.
    LIST = both("select * from message where session_id = $1 and chat = 'status@broadcast' \
         and coalesce(timestamp * 1000, created_at) > $2 and status <> 'failed' \
         and kind in ('text','image','video','audio','voice') \
         and ($3 is null or coalesce(author, sender) = $3) \
         order by coalesce(timestamp * 1000, created_at) desc, position desc limit $4 offset $5");
    KEEP = both("insert into status_audience (session_id, wa_id, people) values ($1, $2, $3) \
         on conflict (session_id, wa_id) do nothing");
    AUDIENCE = both("select people from status_audience where session_id = $1 and wa_id = $2");
    OLD_IN = both("select session_id from message where chat = 'status@broadcast' and created_at < $1 \
         and status <> 'pending' limit 1");
    EXPIRE = both("delete from message where position in (select position from message \
         where chat = 'status@broadcast' and session_id = $1 and created_at < $2 and status <> 'pending' limit $3)");
}

/// Remembers to whom a status goes, in the transaction that stores its row.
pub(crate) async fn keep_audience(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    audience: &[ChatId],
) -> StoreResult<()> {
    const DOING: &str = "storing to whom a status goes";
    let people = serde_json::to_string(audience).map_err(|_| corrupt(DOING))?;
    let done = db::query(&KEEP)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .bind(people)
        .execute(&mut unit.conn)
        .await;
    done.doing(DOING).map(|_| ())
}

#[async_trait]
impl StatusStore for LedgerStore {
    async fn statuses(
        &self,
        session: SessionId,
        after: Timestamp,
        author: Option<&ChatId>,
        page: Page,
    ) -> StoreResult<Vec<Message>> {
        let author = match author {
            Some(author) => Some(people::filed_under(&self.readers, session, author).await?),
            None => None,
        };
        let rows = db::query(&LIST)
            .bind(session.to_string())
            .bind(after.millis())
            .bind(author.as_ref().map(ChatId::as_str))
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing("listing statuses")?;
        Ok(self.unreadable.rows("message", &["session_id", "wa_id"], &rows, message::read))
    }

    async fn status_audience(
        &self,
        session: SessionId,
        id: &WaMessageId,
    ) -> StoreResult<Option<Vec<ChatId>>> {
        const DOING: &str = "reading to whom a status went";
        let people: Option<String> = db::query_scalar(&AUDIENCE)
            .bind(session.to_string())
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .doing(DOING)?;
        people.map(|text| serde_json::from_str(&text).map_err(|_| corrupt(DOING))).transpose()
    }

    async fn expire_statuses(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        const DOING: &str = "deleting old statuses";
        let session: Option<String> = db::query_scalar(&OLD_IN)
            .bind(before.millis())
            .fetch_optional(&self.readers)
            .await
            .doing(DOING)?;
        let Some(session) = session else { return Ok(0) };
        let id = session.parse().map_err(|_| corrupt(DOING))?;
        self.writer
            .run_for(id, DOING, move |unit| {
                Box::pin(async move {
                    let query = db::query(&EXPIRE).bind(session).bind(before.millis());
                    let done = query.bind(i64::from(limit)).execute(&mut unit.conn).await;
                    Ok(done.doing(DOING)?.rows_affected())
                })
            })
            .await
    }
}
