//! Batches. What an item says is encrypted, and deleted as soon as the item is settled: the message's row has it then.

pub(crate) mod change;
pub(crate) mod confirm;
pub(crate) mod create;
pub(crate) mod read;

use async_trait::async_trait;
use domain::{
    ChatId, EventId, SessionId, Timestamp,
    batch::{Batch, BatchId, BatchItem, BatchState, ItemContent},
    port::{BatchStore, BulkFacts, Created, NewBatch, OpenItem, Page, RecipientScope, StoreResult},
};

use crate::{db, error::Doing as _, open::LedgerStore, removal};

pub(crate) use change::change;
pub(crate) use confirm::confirm;

db::statements! {
    // Items first, so many at once; a batch without any is little.
    FORGET_ITEMS = both("delete from batch_item where (batch, place) in (select batch_item.batch, batch_item.place \
         from batch join batch_item on batch_item.batch = batch.position where batch.completed_at < $1 and not \
         exists \
         (select 1 from batch_item as other where other.batch = batch.position and other.state = 'open') limit $2)");
    FORGET = both("delete from batch where completed_at < $1 and not exists \
         (select 1 from batch_item where batch = position)");
}

/// When a change is made, and the id of the event that it may cause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventStamp {
    pub(crate) id: EventId,
    pub(crate) at: Timestamp,
}

/// What an item says is sealed with this: it opens only in its own row.
fn content_aad<'a>(session: &'a str, batch: &'a str, index: &'a str) -> [&'a str; 5] {
    ["batch_item", session, batch, index, "content"]
}

#[async_trait]
impl BatchStore for LedgerStore {
    async fn create_batch(&self, new: NewBatch, most: u32) -> StoreResult<Created> {
        self.writer
            .run_for(new.session, "storing a batch", move |unit| {
                Box::pin(create::create(unit, new, most))
            })
            .await
    }

    async fn batch(&self, session: SessionId, id: &BatchId) -> StoreResult<Option<Batch>> {
        read::get(self, session, id).await
    }

    async fn batches(
        &self,
        session: SessionId,
        state: Option<BatchState>,
        page: Page,
    ) -> StoreResult<Vec<Batch>> {
        read::list(self, session, state, page).await
    }

    async fn batch_items(
        &self,
        session: SessionId,
        id: &BatchId,
        touched: bool,
        page: Page,
    ) -> StoreResult<Vec<BatchItem>> {
        read::items(self, session, id, touched, page).await
    }

    async fn bulk_sessions(&self) -> StoreResult<Vec<SessionId>> {
        read::sessions(self).await
    }

    async fn unfinished_batches(&self, session: SessionId) -> StoreResult<Vec<Batch>> {
        read::unfinished(self, session).await
    }

    async fn batch_time_zones(
        &self,
        session: SessionId,
        id: &BatchId,
    ) -> StoreResult<Vec<Option<String>>> {
        read::zones(self, session, id).await
    }

    async fn next_batch_item(
        &self,
        session: SessionId,
        id: &BatchId,
        zones: &[Option<String>],
        whom: RecipientScope,
    ) -> StoreResult<Option<(BatchItem, ItemContent)>> {
        read::next_item(self, session, id, zones, whom).await
    }

    async fn open_batch_items(&self, session: SessionId) -> StoreResult<Vec<OpenItem>> {
        read::open_items(self, session).await
    }

    async fn bulk_facts(&self, session: SessionId, chats: &[ChatId]) -> StoreResult<BulkFacts> {
        read::facts(self, session, chats).await
    }

    async fn forget_batches(&self, before: Timestamp) -> StoreResult<u64> {
        const DOING: &str = "forgetting old batches";
        let before = before.millis();
        let mut forgotten = 0;
        loop {
            let (items, batches) = self
                .writer
                .run(DOING, move |unit| {
                    Box::pin(async move {
                        let portion = i64::from(removal::PORTION);
                        let items = db::query(&FORGET_ITEMS).bind(before).bind(portion);
                        let items = items.execute(&mut unit.conn).await.doing(DOING)?;
                        let done = db::query(&FORGET).bind(before).execute(&mut unit.conn).await;
                        Ok((items.rows_affected(), done.doing(DOING)?.rows_affected()))
                    })
                })
                .await?;
            forgotten += batches;
            // In portions, so that other writers are not kept waiting.
            if items < u64::from(removal::PORTION) {
                return Ok(forgotten);
            }
        }
    }
}
