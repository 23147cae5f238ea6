//! Statuses, as far as they are kept: they are messages of one chat.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::{
    address::ChatId,
    ids::{SessionId, WaMessageId},
    message::Message,
    time::Timestamp,
};

/// Statuses of this account and of others.
#[async_trait]
pub trait StatusStore: Send + Sync + 'static {
    /// What was posted after a time and not taken back, newest first; of everybody, or of one person by any of their
    /// ids. Posts of this account have its own id as their author.
    async fn statuses(
        &self,
        session: SessionId,
        after: Timestamp,
        author: Option<&ChatId>,
        page: Page,
    ) -> StoreResult<Vec<Message>>;

    /// To whom a status of this account went; `None` when there is none of this id.
    async fn status_audience(
        &self,
        session: SessionId,
        id: &WaMessageId,
    ) -> StoreResult<Option<Vec<ChatId>>>;

    /// Deletes up to `limit` statuses that were stored before a time, with their files; how many. Sends whose outcome
    /// is not known stay.
    async fn expire_statuses(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
}
