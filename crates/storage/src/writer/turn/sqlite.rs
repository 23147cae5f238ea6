//! One writer has the file to itself, and whoever asks it waits in its queue.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{SessionId, Timestamp, WebhookId, port::StoreResult};
use futures::future::BoxFuture;
use tokio::task::AbortHandle;

use super::{Outside, Turn, Unit, statement};
use crate::{
    db::{self, Readers},
    error::Doing as _,
};

db::statements! {
    // One order over all sessions.
    NEXT_POSITION = sqlite("insert into counter (name, value) values ('event_position', $1) \
         on conflict (name) do update set value = counter.value + $1 returning value");
}

/// Of the only writer of a SQLite file.
pub(crate) struct SoleTurn;

#[async_trait]
impl Turn for SoleTurn {
    /// Its statements run on the calling thread: one of its own, and no hop between two statements.
    fn start(&self, task: BoxFuture<'static, ()>) -> std::io::Result<Option<AbortHandle>> {
        let thread = std::thread::Builder::new().name("ledger".into());
        thread.spawn(move || futures::executor::block_on(task)).map(|_| None)
    }

    async fn begin(&self, unit: &mut Unit, _sessions: &BTreeSet<SessionId>) -> StoreResult<()> {
        // IMMEDIATE: the write lock is taken now, never half-way.
        statement(unit, "begin immediate").await
    }

    async fn commit(&self, unit: &mut Unit, _outside: &Outside) -> StoreResult<()> {
        statement(unit, "commit").await
    }

    async fn give_up(&self, unit: &mut Unit) {
        // Harmless when the transaction is gone already.
        let _ = statement(unit, "rollback").await;
        unit.conn.make_room();
    }

    async fn lock_due(&self, _unit: &mut Unit, _now: Timestamp, _most: u64) -> StoreResult<()> {
        Ok(())
    }

    async fn plan_with_values(&self, _unit: &mut Unit) -> StoreResult<()> {
        Ok(())
    }

    async fn positions(&self, unit: &mut Unit, count: i64) -> StoreResult<Option<i64>> {
        let end = db::query_scalar(&NEXT_POSITION).bind(count).fetch_one(&mut unit.conn).await;
        let end: i64 = end.doing("recording an event")?;
        Ok(Some(end - count + 1))
    }

    /// Commits come one after another: what is not there yet comes behind everything.
    async fn horizon(&self, _readers: &Readers) -> StoreResult<i64> {
        Ok(i64::MAX)
    }

    async fn touch(&self, _unit: &mut Unit, _session: SessionId) -> StoreResult<()> {
        Ok(())
    }

    async fn touch_of(&self, _unit: &mut Unit, _webhook: WebhookId) -> StoreResult<()> {
        Ok(())
    }

    async fn lock_webhooks(&self, _unit: &mut Unit, _webhooks: &[String]) -> StoreResult<()> {
        Ok(())
    }

    async fn lock_api_keys(&self, _unit: &mut Unit) -> StoreResult<()> {
        Ok(())
    }
}
