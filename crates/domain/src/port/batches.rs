//! Batches in the ledger. Their changes go through [`Ledger::write`](super::Ledger::write) as
//! [`Write::Batch`](super::Write::Batch), so that a change and its event are one commit.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::{
    address::ChatId,
    batch::{Batch, BatchId, BatchItem, BatchOptions, BatchState, ItemContent, NewItem},
    ids::{EventId, SessionId},
    pacing::PacingState,
    time::Timestamp,
};

/// A batch to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    /// The session it belongs to.
    pub session: SessionId,
    /// The id of the batch.
    pub id: BatchId,
    /// How it is sent.
    pub options: BatchOptions,
    /// Its items, in order of their indexes.
    pub items: Vec<NewItem>,
    /// The time of the change.
    pub at: Timestamp,
    /// The id of the event, for a batch that is over at once.
    pub event: EventId,
}

/// What became of a batch to store.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is stored. It is over already when no item can be sent, or when one cannot and it stops at errors.
    Stored(Box<Batch>),
    /// The session has a batch of that name.
    Taken,
    /// The session has too many that are not over.
    TooMany,
}

/// To whom the next message may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientScope {
    /// Whoever comes next.
    Anyone,
    /// Chats with any message, sent or received.
    HasHistory,
    /// Chats that have written to this account.
    HasWrittenToUs,
}

/// An item whose outcome is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenItem {
    /// The batch it belongs to.
    pub batch: BatchId,
    /// How that is sent.
    pub options: BatchOptions,
    /// The item; `at` is when it was handed over.
    pub item: BatchItem,
    /// Under which lease of the session it was handed over: one before the present one can send nothing any more.
    pub epoch: u64,
}

/// What a forecast needs to know of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkFacts {
    /// Its pacing counters.
    pub pacing: PacingState,
    /// Whether there was never a message in these chats, in the order they were asked for.
    pub cold: Vec<bool>,
    /// Its next bulk message not before this time.
    pub pace: Option<Timestamp>,
}

/// Batches.
#[async_trait]
pub trait BatchStore: Send + Sync + 'static {
    /// Stores a batch with its items as one unit, unless the session has `most` that are not over (0 = no limit).
    async fn create_batch(&self, new: NewBatch, most: u32) -> StoreResult<Created>;
    /// One batch.
    async fn batch(&self, session: SessionId, id: &BatchId) -> StoreResult<Option<Batch>>;
    /// Newest first.
    async fn batches(
        &self,
        session: SessionId,
        state: Option<BatchState>,
        page: Page,
    ) -> StoreResult<Vec<Batch>>;
    /// Items in their order; `touched` leaves out those to which nothing happened yet.
    async fn batch_items(
        &self,
        session: SessionId,
        id: &BatchId,
        touched: bool,
        page: Page,
    ) -> StoreResult<Vec<BatchItem>>;
    /// Sessions with batches that are not over, or with open items.
    async fn bulk_sessions(&self) -> StoreResult<Vec<SessionId>>;
    /// The batches of a session that are not over, oldest first.
    async fn unfinished_batches(&self, session: SessionId) -> StoreResult<Vec<Batch>>;
    /// The zones of a batch's pending items.
    async fn batch_time_zones(
        &self,
        session: SessionId,
        id: &BatchId,
    ) -> StoreResult<Vec<Option<String>>>;
    /// The first pending item in one of these zones, with what it says.
    async fn next_batch_item(
        &self,
        session: SessionId,
        id: &BatchId,
        zones: &[Option<String>],
        whom: RecipientScope,
    ) -> StoreResult<Option<(BatchItem, ItemContent)>>;
    /// All open items of a session, oldest first.
    async fn open_batch_items(&self, session: SessionId) -> StoreResult<Vec<OpenItem>>;
    /// What a forecast needs.
    async fn bulk_facts(&self, session: SessionId, chats: &[ChatId]) -> StoreResult<BulkFacts>;
    /// Deletes batches that were over before this time; how many.
    async fn forget_batches(&self, before: Timestamp) -> StoreResult<u64>;
}
