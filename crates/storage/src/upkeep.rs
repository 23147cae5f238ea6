//! Work that one of the processes that share a ledger does for all.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ChatId, MediaId, SessionId, Timestamp,
    port::{Erased, StoreResult, Upkeep},
};

use crate::{db, error::Doing as _, media_removal, message, open::LedgerStore, removal};

db::statements! {
    // Until when nobody has a turn again. A time that no clock that is right can have set does not count.
    TURN = both("insert into counter (name, value) values ($1, $3) on conflict (name) do update \
         set value = excluded.value where counter.value <= $2 or counter.value > $3 returning value");
}

#[async_trait]
impl Upkeep for LedgerStore {
    async fn take_upkeep_turn(
        &self,
        work: &'static str,
        now: Timestamp,
        every: Duration,
    ) -> StoreResult<bool> {
        const DOING: &str = "taking a turn";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let taken = db::query_scalar::<i64>(&TURN)
                        .bind(format!("turn_{work}"))
                        .bind(now.millis())
                        .bind(now.plus(every).millis())
                        .fetch_optional(&mut unit.conn)
                        .await;
                    Ok(taken.doing(DOING)?.is_some())
                })
            })
            .await
    }

    async fn sweep_removed(&self, limit: u32) -> StoreResult<Option<u64>> {
        removal::sweep(self, limit).await
    }

    async fn prune_messages(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        message::prune(self, before, limit).await
    }

    async fn erase_person(&self, session: SessionId, person: &ChatId) -> StoreResult<Erased> {
        message::erase(self, session, person).await
    }

    async fn files_to_remove(
        &self,
        now: Timestamp,
        from: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<MediaId>> {
        media_removal::due(self, now, from, limit).await
    }

    async fn files_removed(&self, files: &[MediaId], again: Option<Timestamp>) -> StoreResult<()> {
        media_removal::settle(self, files, again).await
    }

    async fn note_lost_files(&self, files: &[MediaId]) -> StoreResult<u64> {
        media_removal::note(self, files).await
    }
}
