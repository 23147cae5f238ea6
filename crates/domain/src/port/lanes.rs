//! The lanes: how deliveries are claimed and settled.

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    delivery::{Attempt, ClaimedLane, LaneId},
    ids::DeliveryId,
    time::Timestamp,
};

/// What a worker says about the delivery at the head of a lane it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx.
    Delivered,
    /// Try again at this time; the lane waits for it and the claim ends.
    RetryAt(Timestamp),
    /// No attempt is left.
    Exhausted,
    /// The webhook is gone or switched off; no attempt was made.
    Dropped,
}

/// One result to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lane.
    pub lane: LaneId,
    /// The claim's epoch.
    pub epoch: u64,
    /// The delivery.
    pub delivery: DeliveryId,
    /// What became of it.
    pub verdict: Verdict,
    /// The try, if there was one.
    pub attempt: Option<Attempt>,
}

/// What is waiting, for health and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Deliveries not settled.
    pub pending: u64,
    /// Deliveries whose attempts are used up.
    pub exhausted: u64,
    /// When the oldest waiting delivery's event happened.
    pub oldest_pending: Option<Timestamp>,
}

/// The queue of lanes. Pushing is [`Ledger::write`](super::Ledger::write): a delivery exists from the commit of its
/// event on.
#[async_trait]
pub trait DeliveryQueue: Send + Sync + 'static {
    /// Takes up to `lanes` lanes whose head is due at `now` and that nobody holds, until `until`, each with up to
    /// `window` of its waiting deliveries that are next in order. Lanes of inactive webhooks are not offered. Lanes
    /// with a head that was never tried come first, then by how long they are due.
    async fn claim(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>>;

    /// Records a result, durably. `false` when the claim is no longer the worker's (its lease ran out and somebody
    /// else took the lane, or the lane is gone): nothing was recorded then and the worker must let go.
    async fn settle(&self, settlement: Settlement) -> StoreResult<bool>;

    /// Extends a claim; `false` when it is lost.
    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool>;

    /// Gives a lane back. What was not settled stays first in it.
    async fn release(&self, lane: &LaneId, epoch: u64) -> StoreResult<()>;

    /// When the next lane becomes due that nobody holds, or when the next lease ends; `None` when nothing waits.
    async fn next_due(&self) -> StoreResult<Option<Timestamp>>;

    /// What is waiting.
    async fn stats(&self) -> StoreResult<QueueStats>;
}
