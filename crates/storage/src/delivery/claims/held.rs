//! What the workers of this process hold, in memory: no claim outlives the process.
//!
//! A lease remembers the deliveries it was given, in order. Its front is the head of the lane: only of that an
//! attempt can be recorded, and nobody has to ask the database for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{DeliveryId, Timestamp, WebhookId, delivery::LaneHolder, port::Settled};

use super::{InFlight, LaneClass, Step, Taker, UnreadClaim};

/// Epochs are never given twice in a process, whatever stores are opened and closed in it.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// A delivery that was given to a worker.
#[derive(Debug, Clone)]
pub(crate) struct ClaimedDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) attempts: u32,
}

/// A claim.
#[derive(Debug)]
pub(crate) struct LaneLease {
    pub(crate) webhook: WebhookId,
    epoch: u64,
    pub(crate) class: LaneClass,
    owner: String,
    until: Timestamp,
    pub(crate) window: VecDeque<ClaimedDelivery>,
}

impl LaneLease {
    fn new(epoch: u64, webhook: WebhookId, class: LaneClass, taker: &Taker<'_>) -> Self {
        Self {
            webhook,
            epoch,
            class,
            owner: taker.owner.to_owned(),
            until: taker.until,
            window: VecDeque::new(),
        }
    }
}

#[derive(Default)]
struct State {
    lanes: HashMap<String, LaneLease>,
    holds: HashMap<WebhookId, Timestamp>,
    /// Up to which ticket every lane of a webhook is on the way or gone.
    exhausted_up_to: HashMap<WebhookId, i64>,
    /// Grows whenever a lane may have become free below such a ticket.
    free_generation: u64,
    /// When lanes were last looked for from the very first on, whatever is known.
    last_full_scan: Timestamp,
}

/// Between two full scans: nothing depends on them, and they cost little.
const FULL_SCAN_EVERY: Duration = Duration::from_secs(1);

impl State {
    /// A lane became free that keeps its ticket.
    fn free(&mut self, webhook: WebhookId) {
        self.exhausted_up_to.remove(&webhook);
        self.free_generation += 1;
    }
}

/// All claims of a store.
#[derive(Default)]
pub(crate) struct HeldLanes(Mutex<State>);

impl HeldLanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lanes each worker holds.
    pub(crate) fn by_owner(&self, now: Timestamp) -> Vec<(String, u64)> {
        let mut found = HashMap::<String, u64>::new();
        for lease in self.lock().lanes.values().filter(|lease| lease.until > now) {
            *found.entry(lease.owner.clone()).or_default() += 1;
        }
        found.into_iter().collect()
    }

    /// Forgets what ran out, and counts the rest.
    pub(crate) fn survey(&self, owner: &str, now: Timestamp) -> InFlight {
        let mut state = self.lock();
        let mut ended = state.last_full_scan.plus(FULL_SCAN_EVERY) <= now;
        state.lanes.retain(|_, lease| {
            ended |= lease.until <= now;
            lease.until > now
        });
        if ended {
            state.exhausted_up_to.clear();
            state.free_generation += 1;
            state.last_full_scan = now;
        }
        state.holds.retain(|_, until| *until > now);
        let mut survey =
            InFlight { held: state.holds.keys().copied().collect(), ..InFlight::default() };
        for lease in state.lanes.values() {
            *survey.by_webhook.entry(lease.webhook).or_default() += 1;
            if lease.owner == owner {
                survey.own += 1;
                survey.degraded += u32::from(lease.class.degraded);
            }
        }
        survey
    }

    /// Takes a lane that nobody holds; its epoch.
    pub(crate) fn take(
        &self,
        lane: &str,
        webhook: WebhookId,
        class: LaneClass,
        taker: &Taker<'_>,
    ) -> Option<u64> {
        let mut state = self.lock();
        if state.lanes.get(lane).is_some_and(|lease| lease.until > taker.now) {
            return None;
        }
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
        state.lanes.insert(lane.to_owned(), LaneLease::new(epoch, webhook, class, taker));
        Some(epoch)
    }

    /// Remembers a claim that was made.
    pub(crate) fn put(&self, claim: &UnreadClaim, class: LaneClass, taker: &Taker<'_>) {
        let lease = LaneLease::new(claim.epoch, claim.webhook, class, taker);
        self.lock().lanes.insert(claim.lane.clone(), lease);
    }

    /// Looks at a claim, or changes it, if it is still the worker's.
    pub(crate) fn with<T>(
        &self,
        lane: &str,
        epoch: u64,
        look: impl FnOnce(&mut LaneLease) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        state.lanes.get_mut(lane).filter(|lease| lease.epoch == epoch).map(look)
    }

    /// Whether somebody holds a lane.
    pub(crate) fn is_held(&self, lane: &str, now: Timestamp) -> bool {
        self.lock().lanes.get(lane).is_some_and(|lease| lease.until > now)
    }

    /// Extends a claim.
    pub(crate) fn renew(&self, lane: &str, epoch: u64, until: Timestamp) -> bool {
        self.with(lane, epoch, |lease| lease.until = until).is_some()
    }

    /// Ends a claim.
    fn end(&self, lane: &str, epoch: u64) {
        let mut state = self.lock();
        if state.lanes.get(lane).is_some_and(|lease| lease.epoch == epoch) {
            state.lanes.remove(lane);
        }
    }

    /// Takes a lane back from whoever holds it.
    fn revoke(&self, lane: &str) {
        let mut state = self.lock();
        if let Some(lease) = state.lanes.remove(lane) {
            state.free(lease.webhook);
        }
    }

    /// Ends a claim whose lane keeps its ticket.
    pub(crate) fn put_back(&self, lane: &str, epoch: u64) {
        if self.with(lane, epoch, |_| ()).is_some() {
            self.revoke(lane);
        }
    }

    /// Up to which ticket every lane of a webhook is on the way or gone (`None` when that is not known), and how often
    /// lanes became free so far.
    pub(crate) fn exhausted_up_to(&self, webhook: WebhookId) -> (Option<i64>, u64) {
        let state = self.lock();
        (state.exhausted_up_to.get(&webhook).copied(), state.free_generation)
    }

    /// The lane with this ticket, the next one of its webhook after a look, is on the way; `generation` is what it
    /// was at that look.
    pub(crate) fn exhaust(&self, webhook: WebhookId, ticket: i64, generation: u64) {
        let mut state = self.lock();
        if state.free_generation != generation {
            return;
        }
        let known = state.exhausted_up_to.entry(webhook).or_insert(ticket);
        *known = ticket.max(*known);
    }

    /// The attempt at the head of a lane is committed.
    pub(crate) fn advance(&self, step: &Step) {
        let current = self.with(&step.lane, step.epoch, |lease| {
            if !step.stays {
                lease.window.pop_front();
                lease.class.tried = false;
            }
        });
        if current.is_none() {
            // Its lease ended on the way: whoever took the lane since has read it as it was before.
            self.revoke(&step.lane);
        } else if step.stays {
            self.put_back(&step.lane, step.epoch);
        } else if step.settled == Settled::Done {
            self.end(&step.lane, step.epoch);
        }
    }

    /// A webhook is gone, and its lanes with it.
    pub(crate) fn forget(&self, webhook: WebhookId) {
        let mut state = self.lock();
        state.lanes.retain(|_, lease| lease.webhook != webhook);
        state.holds.remove(&webhook);
        state.free(webhook);
    }

    /// Who holds which lane at `now`.
    pub(crate) fn holders(&self, now: Timestamp) -> HashMap<String, LaneHolder> {
        let state = self.lock();
        let held = state.lanes.iter().filter(|(_, lease)| lease.until > now);
        held.map(|(lane, lease)| {
            let holder = LaneHolder { owner: lease.owner.clone(), until: lease.until };
            (lane.clone(), holder)
        })
        .collect()
    }

    /// The webhooks that are held back, and until when.
    pub(crate) fn holds(&self) -> HashMap<WebhookId, Timestamp> {
        self.lock().holds.clone()
    }

    /// Holds a webhook back.
    pub(crate) fn hold(&self, webhook: WebhookId, until: Timestamp) {
        self.lock().holds.insert(webhook, until);
    }

    /// When the next claim or hold ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        let state = self.lock();
        let claims = state.lanes.values().map(|lease| lease.until);
        claims.chain(state.holds.values().copied()).min()
    }
}
