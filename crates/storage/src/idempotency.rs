//! Keys of idempotent sends.

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WaMessageId,
    idempotency::{IdempotencyRecord, IdempotencyState, KEPT},
    message::Message,
    port::{IdempotencyStore, KeyOfSend, Lease, StoreResult},
};
use serde_json::Value;

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    lease,
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    GET = both("select * from idempotency where session_id = $1 and key = $2 and created_at >= $3");
    // A record that is too old is taken over, and one whose request ended before it had a message.
    TAKE = both("insert into idempotency (session_id, key, fingerprint, created_at, epoch, state, wa_id) values ($1, $2, \
         $3, $4, $5, 'open', $6) \
         on conflict (session_id, key) do update set fingerprint = excluded.fingerprint, \
         created_at = excluded.created_at, epoch = excluded.epoch, state = excluded.state, wa_id = excluded.wa_id, \
         answer = null \
         where idempotency.created_at < $7 or idempotency.wa_id is null");
    DONE = both("update idempotency set state = 'done', answer = $3 where session_id = $1 and key = $2");
    UNKNOWN = both("update idempotency set state = 'unknown' where session_id = $1 and key = $2 and state = 'open'");
    // An answer that was given stays.
    FREE = both("delete from idempotency where session_id = $1 and key = $2 and state <> 'done'");
    EXPIRE = both("delete from idempotency where (session_id, key) in \
         (select session_id, key from idempotency where created_at < $1 order by created_at limit $2)");
}

fn read(row: &Row) -> StoreResult<IdempotencyRecord> {
    const DOING: &str = "reading an idempotency key";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let state = match text("state")?.as_deref() {
        Some("open") => IdempotencyState::Open,
        Some("unknown") => IdempotencyState::Unknown,
        Some("done") => {
            let answer = text("answer")?.ok_or_else(bad)?;
            IdempotencyState::Done(serde_json::from_str(&answer).map_err(|_| bad())?)
        }
        _ => return Err(bad()),
    };
    Ok(IdempotencyRecord {
        fingerprint: text("fingerprint")?.ok_or_else(bad)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").doing(DOING)?),
        epoch: u64::try_from(row.try_get::<i64, _>("epoch").doing(DOING)?).map_err(|_| bad())?,
        message: text("wa_id")?.map(WaMessageId::from_wire),
        state,
    })
}

/// Takes the key of a message that is about to be stored; `false` when another message has it.
pub(crate) async fn take(unit: &mut Unit, message: &Message, key: &KeyOfSend) -> StoreResult<bool> {
    let taken = db::query(&TAKE)
        .bind(message.session.to_string())
        .bind(&key.key)
        .bind(&key.fingerprint)
        .bind(message.created_at.millis())
        .bind(i64::try_from(key.epoch).unwrap_or(i64::MAX))
        .bind(message.wa_id.as_str())
        .bind(message.created_at.minus(KEPT).millis())
        .execute(&mut unit.conn)
        .await;
    Ok(taken.doing("taking an idempotency key")?.rows_affected() == 1)
}

impl LedgerStore {
    /// Runs a statement about one key.
    async fn about_key(
        &self,
        doing: &'static str,
        sql: &'static db::Statement,
        lease: &Lease,
        key: &str,
        value: Option<String>,
    ) -> StoreResult<()> {
        let (lease, key) = (lease.clone(), key.to_owned());
        self.writer
            .run_for(lease.session, doing, move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    let mut query = db::query(sql).bind(lease.session.to_string()).bind(key);
                    if let Some(value) = value {
                        query = query.bind(value);
                    }
                    query.execute(&mut unit.conn).await.doing(doing).map(|_| ())
                })
            })
            .await
    }
}

#[async_trait]
impl IdempotencyStore for LedgerStore {
    async fn idempotency_record(
        &self,
        session: SessionId,
        key: &str,
        now: Timestamp,
    ) -> StoreResult<Option<IdempotencyRecord>> {
        let row = db::query(&GET)
            .bind(session.to_string())
            .bind(key)
            .bind(now.minus(KEPT).millis())
            .fetch_optional(&self.couriers)
            .await;
        row.doing("looking at an idempotency key")?.as_ref().map(read).transpose()
    }

    async fn finish_idempotency_key(
        &self,
        lease: &Lease,
        key: &str,
        answer: &Value,
    ) -> StoreResult<()> {
        let answer = Some(answer.to_string());
        self.about_key("storing an idempotent answer", &DONE, lease, key, answer).await
    }

    async fn idempotency_outcome_unknown(&self, lease: &Lease, key: &str) -> StoreResult<()> {
        self.about_key("storing an unknown outcome", &UNKNOWN, lease, key, None).await
    }

    async fn free_idempotency_key(&self, lease: &Lease, key: &str) -> StoreResult<()> {
        self.about_key("freeing an idempotency key", &FREE, lease, key, None).await
    }

    async fn expire_idempotency_keys(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        const DOING: &str = "deleting old idempotency keys";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&EXPIRE)
                        .bind(now.minus(KEPT).millis())
                        .bind(i64::from(limit))
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected())
                })
            })
            .await
    }
}
