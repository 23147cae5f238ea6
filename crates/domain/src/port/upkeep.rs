//! What a ledger needs from time to time.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    address::ChatId,
    ids::{MediaId, SessionId},
    time::Timestamp,
};

/// What was stored about a person and is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Messages of their chat, and those they wrote elsewhere.
    pub messages: u64,
    /// Their chat, under any of their ids.
    pub chats: u64,
    /// What they are called.
    pub contacts: u64,
    /// Their privacy ids.
    pub identities: u64,
    /// Changes and acks that waited for a message of theirs.
    pub held: u64,
}

/// Work that keeps a ledger from growing for ever. Each call does a portion, so that others are not kept waiting.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Takes the turn at a piece of work that is done once per `every`: `true` for one caller, and for nobody again
    /// before that time is over.
    async fn take_upkeep_turn(
        &self,
        work: &'static str,
        now: Timestamp,
        every: Duration,
    ) -> StoreResult<bool>;
    /// Deletes up to `limit` rows of what was deleted and is hidden; how many. `None` when nothing is left of it.
    async fn sweep_removed(&self, limit: u32) -> StoreResult<Option<u64>>;
    /// Deletes up to `limit` messages that were stored before a time, of one session; how many. Sends whose outcome
    /// is not known stay.
    async fn prune_messages(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
    /// Deletes what is stored about a person, in portions. Sends whose outcome is not known stay.
    async fn erase_person(&self, session: SessionId, person: &ChatId) -> StoreResult<Erased>;
    /// Up to `limit` files that nothing refers to since a while. One that was let go since the call before may go from
    /// `from` on.
    async fn files_to_remove(
        &self,
        now: Timestamp,
        from: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<MediaId>>;
    /// These files are gone, or are looked at again at a time.
    async fn files_removed(&self, files: &[MediaId], again: Option<Timestamp>) -> StoreResult<()>;
    /// Notes those of these files that nothing refers to, to be removed; how many.
    async fn note_lost_files(&self, files: &[MediaId]) -> StoreResult<u64>;
}
