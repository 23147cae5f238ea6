//! Who holds which lane: in memory, because one process has the file and no claim outlives it.
//!
//! A lease remembers the deliveries it was given, in order. Its front is the head of the lane: only that can be settled,
//! and nobody has to ask the database for it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{DeliveryId, Timestamp, WebhookId, delivery::LaneId};

/// Epochs are never given twice in a process, whatever stores are opened and closed in it.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// A delivery that was given to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) id: DeliveryId,
    pub(crate) attempts: u32,
}

/// A claim.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) webhook: WebhookId,
    pub(crate) epoch: u64,
    /// Its head waited for a retry.
    pub(crate) tried: bool,
    /// The lane is a retry or its receiver is doubtful: it counts against their part of the places.
    doubtful: bool,
    owner: String,
    until: Timestamp,
    pub(crate) window: VecDeque<Given>,
}

impl Lease {
    fn new(
        epoch: u64,
        webhook: WebhookId,
        (tried, doubtful): (bool, bool),
        taker: &Taker<'_>,
    ) -> Self {
        Self {
            webhook,
            epoch,
            tried,
            doubtful,
            owner: taker.owner.to_owned(),
            until: taker.until,
            window: VecDeque::new(),
        }
    }
}

#[derive(Default)]
struct State {
    lanes: HashMap<String, Lease>,
    holds: HashMap<WebhookId, Timestamp>,
    /// Up to which ticket every lane of a webhook is on the way or gone.
    passed: HashMap<WebhookId, i64>,
    /// Grows whenever a lane may have become free below such a ticket.
    freed: u64,
    /// When it was last begun anew, whatever is known.
    looked: Timestamp,
}

/// Between two looks for due lanes from the very first on: nothing depends on it, and it costs little.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl State {
    /// A lane became free that keeps its ticket.
    fn free(&mut self, webhook: WebhookId) {
        self.passed.remove(&webhook);
        self.freed += 1;
    }
}

/// All claims of a store.
#[derive(Default)]
pub(crate) struct Leases(Mutex<State>);

/// What is on the way.
pub(crate) struct OnTheWay {
    /// Lanes the worker holds.
    pub(crate) own: u32,
    /// Doubtful ones among them.
    pub(crate) doubtful: u32,
    /// Lanes that are held in this process, by webhook.
    pub(crate) by_webhook: HashMap<WebhookId, u32>,
    /// Those that other processes hold.
    pub(crate) elsewhere: HashMap<WebhookId, u32>,
    /// Webhooks that are held back.
    pub(crate) held: HashSet<WebhookId>,
}

/// Who takes a lane.
pub(crate) struct Taker<'a> {
    pub(crate) owner: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) until: Timestamp,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what ran out, and counts the rest.
    pub(crate) fn survey(&self, owner: &str, now: Timestamp) -> OnTheWay {
        let mut state = self.lock();
        let mut ended = state.looked.plus(LOOK_AGAIN) <= now;
        state.lanes.retain(|_, lease| {
            ended |= lease.until <= now;
            lease.until > now
        });
        if ended {
            state.passed.clear();
            state.freed += 1;
            state.looked = now;
        }
        state.holds.retain(|_, until| *until > now);
        let mut survey = OnTheWay {
            own: 0,
            doubtful: 0,
            by_webhook: HashMap::new(),
            elsewhere: HashMap::new(),
            held: state.holds.keys().copied().collect(),
        };
        for lease in state.lanes.values() {
            *survey.by_webhook.entry(lease.webhook).or_default() += 1;
            if lease.owner == owner {
                survey.own += 1;
                survey.doubtful += u32::from(lease.doubtful);
            }
        }
        survey
    }

    /// Takes a lane that nobody holds; its epoch.
    pub(crate) fn take(
        &self,
        lane: &str,
        webhook: WebhookId,
        (tried, doubtful): (bool, bool),
        taker: &Taker<'_>,
    ) -> Option<u64> {
        let mut state = self.lock();
        if state.lanes.get(lane).is_some_and(|lease| lease.until > taker.now) {
            return None;
        }
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
        state.lanes.insert(lane.to_owned(), Lease::new(epoch, webhook, (tried, doubtful), taker));
        Some(epoch)
    }

    /// Remembers a claim that was made.
    pub(crate) fn put(
        &self,
        lane: &str,
        epoch: u64,
        webhook: WebhookId,
        (tried, doubtful): (bool, bool),
        taker: &Taker<'_>,
    ) {
        let lease = Lease::new(epoch, webhook, (tried, doubtful), taker);
        self.lock().lanes.insert(lane.to_owned(), lease);
    }

    /// Looks at a claim, or changes it, if it is still the worker's.
    pub(crate) fn with<T>(
        &self,
        lane: &str,
        epoch: u64,
        look: impl FnOnce(&mut Lease) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        state.lanes.get_mut(lane).filter(|lease| lease.epoch == epoch).map(look)
    }

    /// Whether somebody holds a lane.
    pub(crate) fn is_held(&self, lane: &str, now: Timestamp) -> bool {
        self.lock().lanes.get(lane).is_some_and(|lease| lease.until > now)
    }

    /// Extends a claim.
    pub(crate) fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> bool {
        self.with(lane.as_str(), epoch, |lease| lease.until = until).is_some()
    }

    /// Ends a claim.
    pub(crate) fn end(&self, lane: &str, epoch: u64) {
        let mut state = self.lock();
        if state.lanes.get(lane).is_some_and(|lease| lease.epoch == epoch) {
            state.lanes.remove(lane);
        }
    }

    /// Takes a lane back from whoever holds it.
    pub(crate) fn revoke(&self, lane: &str) {
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
    pub(crate) fn passed(&self, webhook: WebhookId) -> (Option<i64>, u64) {
        let state = self.lock();
        (state.passed.get(&webhook).copied(), state.freed)
    }

    /// The lane with this ticket, the next one of its webhook after a look, is on the way; `freed` is what it was at that
    /// look.
    pub(crate) fn pass(&self, webhook: WebhookId, ticket: i64, freed: u64) {
        let mut state = self.lock();
        if state.freed != freed {
            return;
        }
        let passed = state.passed.entry(webhook).or_insert(ticket);
        *passed = ticket.max(*passed);
    }

    /// A webhook is gone, and its lanes with it.
    pub(crate) fn forget(&self, webhook: WebhookId) {
        let mut state = self.lock();
        state.lanes.retain(|_, lease| lease.webhook != webhook);
        state.holds.remove(&webhook);
        state.free(webhook);
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
