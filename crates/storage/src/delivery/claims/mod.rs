//! How lanes are held: in memory where one process has the database to itself ([`MemoryClaims`]), in the lanes' rows
//! where several share it ([`RowClaims`]). Either remembers what the workers of this process were given
//! ([`HeldLanes`]).

pub(crate) mod due;
mod held;
pub(crate) mod memory;
mod pending;
pub(crate) mod row_locks;
pub(crate) mod rows;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use domain::{
    DeliveryId, Timestamp, WebhookId,
    delivery::{Candidate, LaneHolder, LaneId, Share},
    port::{Settled, StoreResult},
};

use crate::writer::{Unit, Writer};

pub(crate) use held::{ClaimedDelivery, HeldLanes};
pub(crate) use memory::MemoryClaims;
pub(crate) use pending::{Entry, Pushed};
pub(crate) use rows::RowClaims;

/// Who takes lanes.
pub(crate) struct Taker<'a> {
    pub(crate) owner: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) until: Timestamp,
}

/// What a worker asks for.
pub(crate) struct Asked<'a> {
    pub(crate) taker: Taker<'a>,
    pub(crate) lanes: u32,
    pub(crate) window: u32,
}

/// Which part of a worker's slots a lane counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneClass {
    /// Its head waited for a retry.
    pub(crate) tried: bool,
    /// It is a retry, or its receiver is degraded.
    pub(crate) degraded: bool,
}

/// A lane that was named, and may be taken.
pub(crate) struct Chosen<'a> {
    pub(crate) lane: &'a str,
    pub(crate) webhook: WebhookId,
    pub(crate) class: LaneClass,
}

/// A lane that was taken and not read yet.
pub(crate) struct UnreadClaim {
    pub(crate) lane: String,
    pub(crate) webhook: WebhookId,
    pub(crate) epoch: u64,
}

/// What is on its way to receivers.
#[derive(Default)]
pub(crate) struct InFlight {
    /// Lanes the worker holds.
    pub(crate) own: u32,
    /// Degraded ones among them.
    pub(crate) degraded: u32,
    /// Lanes that are held in this process, by webhook.
    pub(crate) by_webhook: HashMap<WebhookId, u32>,
    /// Those that other processes hold.
    pub(crate) elsewhere: HashMap<WebhookId, u32>,
    /// Webhooks that are held back.
    pub(crate) held: HashSet<WebhookId>,
}

/// What a claim becomes once the attempt at its head is committed.
pub(crate) struct Step {
    pub(crate) lane: String,
    pub(crate) epoch: u64,
    pub(crate) delivery: DeliveryId,
    pub(crate) settled: Settled,
    /// The delivery stays the head.
    pub(crate) stays: bool,
}

/// Lanes that are due, as a claim sees them.
#[async_trait]
pub(crate) trait DueLanes: Send {
    /// Takes up to `most` of a webhook's lanes that nobody holds, the longest due first.
    async fn take(
        &mut self,
        webhook: WebhookId,
        class: LaneClass,
        most: u32,
    ) -> StoreResult<Vec<UnreadClaim>>;
}

/// Who holds which lane.
#[async_trait]
pub(crate) trait LaneClaims: Send + Sync {
    /// What workers of this process hold and were given.
    fn held(&self) -> &HeldLanes;

    /// How many lanes each worker holds.
    async fn by_owner(&self, now: Timestamp) -> StoreResult<Vec<(String, u64)>>;

    /// What is on its way, as one worker sees it.
    async fn survey(&self, taker: &Taker<'_>) -> StoreResult<InFlight>;

    /// Begins to take lanes, as many as the shares allow.
    async fn due<'a>(
        &'a self,
        asked: &'a Asked<'a>,
        shares: &[Share],
        candidates: &[Candidate],
    ) -> StoreResult<Box<dyn DueLanes + 'a>>;

    /// Takes those of some lanes that nobody holds.
    async fn take_named(
        &self,
        chosen: &[Chosen<'_>],
        taker: &Taker<'_>,
    ) -> StoreResult<Vec<UnreadClaim>>;

    /// Extends a claim; `false` when it is somebody else's or over.
    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool>;

    /// FromRow a lane back that turned out to have nothing to give; it keeps its turn.
    async fn release(&self, lane: &str, epoch: u64) -> StoreResult<()>;

    /// FromRow a lane back, behind those that wait by now: a long lane must not come first again and again.
    async fn requeue(&self, writer: &Writer, lane: &LaneId, epoch: u64) -> StoreResult<()>;

    /// Removes a lane that stayed when its last delivery ended, because something was about to be added to it, and then
    /// was not.
    async fn remove_if_empty(&self, writer: &Writer, lane: &str) -> StoreResult<()>;

    /// The beginning of a lane as this process stored it; `None` where that is not known.
    fn cached_head(&self, lane: &str, window: u32) -> Option<Vec<Entry>>;

    /// Whether somebody holds a lane, of which the row says until when it is held.
    fn is_held(&self, lane: &str, lease_until: Timestamp, now: Timestamp) -> bool;

    /// Who holds which lane at `now`; `None` where the lanes' rows say it.
    fn holders(&self, now: Timestamp) -> Option<HashMap<String, LaneHolder>>;

    /// When the next claim or hold ends.
    async fn next_end(&self, now: Timestamp) -> StoreResult<Option<Timestamp>>;

    /// Makes lanes that are not there, in this transaction, and keeps all of them until its end.
    async fn open(&self, unit: &mut Unit, lanes: &[(&str, WebhookId)]) -> StoreResult<()>;

    /// The lane of a replay: it waits among the retries. It is there until the end of the transaction.
    async fn open_retry(&self, unit: &mut Unit, lane: &str, webhook: WebhookId) -> StoreResult<()>;

    /// Whether each of some claims, given with their epochs, still counts, in this transaction and until its end.
    async fn confirm(&self, unit: &mut Unit, claims: &[(&str, u64)]) -> StoreResult<Vec<bool>>;

    /// Ends a claim in this transaction; its lane stays.
    async fn end(&self, unit: &mut Unit, lane: &str, epoch: u64) -> StoreResult<()>;

    /// Puts a lane whose first retry worked behind those that wait.
    async fn go_on(&self, unit: &mut Unit, lane: &str) -> StoreResult<()>;

    /// Those of some lanes to which nobody is adding anything in a transaction of his own, until the end of this one.
    async fn closable(&self, unit: &mut Unit, lanes: Vec<&str>) -> StoreResult<Vec<String>>;

    /// Before a webhook itself goes: everybody locks lanes before webhooks.
    async fn lock_webhook(&self, unit: &mut Unit, webhook: &str) -> StoreResult<()>;

    /// Before a session goes with all that belongs to it.
    async fn lock_session(&self, unit: &mut Unit, session: &str) -> StoreResult<()>;

    /// Deliveries were committed, in this order; in the lanes `opened` nothing waited before.
    fn stored(&self, opened: &[LaneId], pushed: Vec<Pushed>);

    /// Attempts were committed.
    fn recorded(&self, steps: Vec<Step>) {
        steps.into_iter().for_each(|step| self.held().advance(&step));
    }

    /// A webhook is gone, and its lanes with it.
    fn forget(&self, webhook: WebhookId) {
        self.held().forget(webhook);
    }

    /// Lanes are gone, nobody knows which.
    fn forget_pending(&self) {}
}
