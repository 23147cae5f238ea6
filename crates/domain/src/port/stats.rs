//! Numbers of messages, counted by the ledger.

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    ids::SessionId,
    log::MessageCounts,
    stats::{ChatCount, MessageNumbers, StatsBucket},
    time::Timestamp,
};

/// Numbers of messages. They are read from counters: a request costs as many rows as there are hours, types and
/// chats, however many messages there were.
#[async_trait]
pub trait StatsStore: Send + Sync + 'static {
    /// From an hour on, of one session or of all.
    async fn message_numbers(
        &self,
        session: Option<SessionId>,
        since: Timestamp,
        bucket: StatsBucket,
    ) -> StoreResult<MessageNumbers>;
    /// The chats with the most messages from a day on, most first.
    async fn busiest_chats(
        &self,
        session: Option<SessionId>,
        since: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<ChatCount>>;
    /// Messages that a session has.
    async fn counts_of_session(&self, session: SessionId) -> StoreResult<MessageCounts>;
    /// Messages of the account since an hour, from this API or another device, of some sessions in one read; in any
    /// order, and without those that have none.
    async fn sent_since(
        &self,
        sessions: &[SessionId],
        since: Timestamp,
    ) -> StoreResult<Vec<(SessionId, u64)>>;
    /// Forgets numbers that are older; how many rows.
    async fn prune_stats(&self, before: Timestamp) -> StoreResult<u64>;
}
