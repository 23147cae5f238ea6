//! The lanes: how deliveries are claimed and settled.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    delivery::{Attempt, ClaimedLane, Delivery, LaneId},
    ids::{DeliveryId, WebhookId},
    time::Timestamp,
    webhook::Webhook,
};

/// What a worker says about the delivery at the head of a lane it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver answered with a 2xx.
    Delivered,
    /// Try again at this time; the lane waits for it and the claim ends.
    RetryAt(Timestamp),
    /// No attempt is left.
    Exhausted,
    /// It does not leave: the webhook is gone or switched off, or a handler cancelled it; then the try says why.
    Dropped,
    /// The receiver is gone for good (410): the webhook is switched off, `webhook.disabled` is told, and the delivery
    /// stays first in its lane in case the webhook is switched on again. The claim ends.
    Disabled,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The claim was no longer the worker's: nothing was recorded, it must let go.
    Lost,
    /// Recorded; more waits in the lane, which is still the worker's.
    More,
    /// Recorded, and the claim is over: nothing waits in the lane now, or it waits for a time.
    Done,
}

impl Settled {
    /// Whether it was recorded.
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::Lost)
    }
}

/// One result to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lane that is claimed.
    pub lane: LaneId,
    /// The claim's epoch.
    pub epoch: u64,
    /// The delivery that was tried.
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

/// A server beside the ledger that hands lanes out, and how it stands with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueServer {
    /// Lanes are claimed through it; otherwise from the ledger.
    pub up: bool,
    /// The time at which it began.
    pub since: Timestamp,
    /// Why it is down.
    pub reason: Option<String>,
}

/// The queue of lanes. Pushing is [`Ledger::write`](super::Ledger::write): a delivery exists from the commit of its
/// event on.
#[async_trait]
pub trait DeliveryQueue: Send + Sync + 'static {
    /// Takes up to `lanes` lanes whose head is due at `now` and that nobody holds, until `until`, each with up to
    /// `window` of its waiting deliveries that are next in order. Lanes of webhooks that are inactive, paused, held, or
    /// whose breaker is open are not offered. The lanes the worker holds already and those it asks for are its places:
    /// retries and doubtful receivers get at most half of them, one doubtful receiver at most a quarter, and no webhook
    /// more than its own limit ([`Places::share`](crate::delivery::Places::share)). Lanes with a head that was never
    /// tried come first, then by how long they are due.
    async fn claim_lanes(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>>;

    /// The next deliveries of a lane that a worker holds, up to `window`, from its head on; empty when nothing waits or
    /// the claim is lost. What it gives counts as claimed.
    async fn more_of_lane(
        &self,
        lane: &LaneId,
        epoch: u64,
        window: u32,
    ) -> StoreResult<Vec<Delivery>>;

    /// Records a result, durably, with what it does to the health of the webhook: nothing unless its try
    /// [says something about the receiver](crate::delivery::Attempt::is_receivers).
    async fn record_attempts(&self, settlement: Settlement) -> StoreResult<Settled>;

    /// Extends a claim; `false` when it is lost.
    async fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool>;

    /// Gives a lane back. What was not settled stays first in it.
    async fn release_lane(&self, lane: &LaneId, epoch: u64) -> StoreResult<()>;

    /// Offers no lane of a webhook before `until`: its rate is used up. Forgotten by a restart.
    async fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()>;

    /// The first time after `now` at which a claim may find more than one at `now` does by itself: a retry is due, a
    /// cool-down, a hold or a lease ends. `None` when no such time is known.
    async fn next_lane_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>>;

    /// Returns when another process stored deliveries or may have; never on a ledger that one process has to itself.
    async fn opened_elsewhere(&self) {
        std::future::pending::<()>().await;
    }

    /// The webhook as a worker needs it: settings, secrets and health as of the last commit; the time of its last
    /// success may be older.
    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>>;

    /// What is waiting.
    async fn queue_stats(&self) -> StoreResult<QueueStats>;

    /// The server that hands lanes out; `None` where the ledger does.
    fn queue_server(&self) -> Option<QueueServer> {
        None
    }
}

/// A lane that waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingLane {
    /// The lane that it belongs to.
    pub lane: LaneId,
    /// Its head was tried before.
    pub retry: bool,
    /// When its head may leave; `None`: at once.
    pub not_before: Option<Timestamp>,
}

/// What a ledger answers to the wish for one lane.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// It is the worker's.
    Claimed(ClaimedLane),
    /// Its head, or its webhook, waits until then.
    Later(Timestamp),
    /// It could leave, but the places for its sort, or for its webhook, are taken, or the webhook's rate is used up.
    Crowded,
    /// There is nothing to do about it now: nothing waits, somebody holds it, or its webhook is gone, switched off or
    /// paused.
    Nothing,
}

/// Told the lanes in which something waits since a commit of this process and nothing did before. It is called on the
/// way of that commit, so it must not wait.
pub type OpenedListener = Arc<dyn Fn(&[LaneId]) + Send + Sync>;

/// What a queue that is shared by several processes needs of the ledger under it: the rows stay the truth, the shared
/// queue only says who looks at which of them.
#[async_trait]
pub trait LaneLedger: DeliveryQueue {
    /// Lanes that a claim at `now` could take, whoever asks: due, held by nobody, of webhooks that are not held back.
    /// First tries come first, then by how long they are due; at most `limit`.
    async fn due(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<WaitingLane>>;

    /// Takes those of the named lanes that may be taken at `now`, by the rules and with the fences of
    /// [`claim`](DeliveryQueue::claim_lanes). `places` is how many lanes the worker still asks for, `lanes` are at
    /// most as many. One answer for each of `lanes`, in their order.
    async fn claim_these(
        &self,
        worker: &str,
        places: u32,
        lanes: &[LaneId],
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<Offer>>;

    /// Those of some lanes in which something waits and that nobody holds at `now`.
    async fn waiting(&self, lanes: &[LaneId], now: Timestamp) -> StoreResult<Vec<WaitingLane>>;

    /// Tells `listener` of lanes that are opened from now on, in the place of any earlier listener. What is told is a
    /// hint: [`due`](Self::due) finds every lane without it.
    fn on_opened(&self, listener: OpenedListener);
}
