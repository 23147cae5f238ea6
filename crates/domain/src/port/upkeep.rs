//! What a ledger needs from time to time.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::time::Timestamp;

/// Work that one of the processes that share a ledger does for all.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Takes the turn at a piece of work that is done once per `every`: `true` for one caller, and for nobody again before
    /// that time is over.
    async fn take_turn(
        &self,
        work: &'static str,
        now: Timestamp,
        every: Duration,
    ) -> StoreResult<bool>;
}
