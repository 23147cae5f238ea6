//! A ledger with one webhook, and workers on its shared queue, in the real time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use domain::{
    Clock, SessionId, Timer, Timestamp,
    delivery::{Attempt, AttemptError, AttemptErrorKind, ClaimedLane, LaneId},
    port::{
        DeliveryQueue as _, Ledger as _, SessionStore, Settled, Settlement, StoreResult, Verdict,
        WebhookStore, Write,
    },
    time::BoxFuture,
};
use storage::{BullQueue, LedgerStore, RedisOptions, StoreOptions};
use tempfile::TempDir;
use testkit::build;
use tokio::time::Instant;

pub const LEASE: Duration = Duration::from_secs(60);
/// Longest wait for what should happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The system's clock.
pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> BoxFuture<()> {
        let wait = at.since(self.now());
        Box::pin(tokio::time::sleep(wait))
    }
}

pub fn now() -> Timestamp {
    RealClock.now()
}

/// A ledger, and what was delivered, lane by lane.
pub struct House {
    pub store: LedgerStore,
    pub session: SessionId,
    /// With the moment at which the result was handed in: the answer may come late.
    delivered: Mutex<BTreeMap<LaneId, Vec<(Instant, u64)>>>,
    events: Mutex<u32>,
    _folder: TempDir,
}

impl House {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::for_testing(folder.path().join("waypost.sqlite"));
        let store = LedgerStore::open(options).await.unwrap();
        let session = build::session(1);
        assert!(store.insert_session(&session).await.unwrap());
        let webhook = build::webhook(1, session.id);
        assert!(store.insert_webhook(&webhook, 0).await.unwrap());
        let (delivered, events) = (Mutex::default(), Mutex::new(0));
        Self { store, session: session.id, delivered, events, _folder: folder }
    }

    /// A queue as in production, but less patient.
    pub async fn queue(&self, options: &RedisOptions) -> BullQueue {
        let options = RedisOptions {
            sweep_interval: Duration::from_millis(100),
            probe_interval: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_millis(500),
            ..options.clone()
        };
        BullQueue::start(Arc::new(self.store.clone()), options, Arc::new(RealClock)).await.unwrap()
    }

    /// One event in a chat.
    pub async fn push(&self, chat: u32) {
        let number = {
            let mut events = self.events.lock().unwrap();
            *events += 1;
            *events
        };
        let event = Box::new(build::event(number, self.session, &build::chat(chat)));
        self.store.write(vec![Write::Append { event }]).await.unwrap();
    }

    /// Events so far.
    pub fn events(&self) -> u32 {
        *self.events.lock().unwrap()
    }

    /// The deliveries that are not settled.
    pub async fn pending(&self) -> u64 {
        domain::port::DeliveryQueue::queue_stats(&self.store).await.unwrap().pending
    }

    /// Records a result for the first delivery of a claim.
    pub async fn settle(&self, queue: &BullQueue, lane: &ClaimedLane, verdict: Verdict) -> Settled {
        self.settle_at(queue, lane, 0, verdict).await.unwrap()
    }

    /// Records a result for one delivery of a claim.
    pub async fn settle_at(
        &self,
        queue: &BullQueue,
        lane: &ClaimedLane,
        place: usize,
        verdict: Verdict,
    ) -> StoreResult<Settled> {
        let error = AttemptError { kind: AttemptErrorKind::Status, text: "500".into() };
        let success = verdict == Verdict::Delivered;
        let attempt = Attempt {
            at: now(),
            duration: Duration::from_millis(1),
            status: Some(if success { 200 } else { 500 }),
            error: (!success).then_some(error),
            excerpt: None,
        };
        let delivery = &lane.deliveries[place];
        let settlement = Settlement {
            lane: lane.lane.clone(),
            epoch: lane.epoch,
            delivery: delivery.id,
            verdict,
            attempt: Some(attempt),
        };
        let begun = Instant::now();
        let settled = queue.record_attempts(settlement).await?;
        if success && settled.is_recorded() {
            let mut delivered = self.delivered.lock().unwrap();
            delivered.entry(lane.lane.clone()).or_default().push((begun, delivery.event.sequence));
        }
        Ok(settled)
    }

    /// Delivers everything of a claim, then gives it back if more waits.
    pub async fn drain(&self, queue: &BullQueue, lane: &ClaimedLane) {
        let mut last = Settled::Lost;
        for place in 0..lane.deliveries.len() {
            last = self.settle_at(queue, lane, place, Verdict::Delivered).await.unwrap();
        }
        if last == Settled::More {
            queue.release_lane(&lane.lane, lane.epoch).await.unwrap();
        }
    }

    /// Works until everything is delivered.
    pub async fn work(&self, queue: &BullQueue, worker: &str) {
        let end = now().plus(PATIENCE);
        while self.pending().await > 0 {
            assert!(now() < end, "{} deliveries are stuck", self.pending().await);
            let lanes = claim(queue, worker, 4).await;
            if lanes.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for lane in lanes {
                self.drain(queue, &lane).await;
            }
        }
    }

    /// Every event was delivered once, in the order of its lane.
    pub fn assert_delivered_once_in_order(&self) {
        let delivered = self.delivered.lock().unwrap();
        let mut all: Vec<u64> = Vec::new();
        for (lane, told) in delivered.iter() {
            let mut told = told.clone();
            told.sort_unstable();
            let sequences: Vec<u64> = told.into_iter().map(|(_, sequence)| sequence).collect();
            assert!(sequences.is_sorted(), "{lane}: {sequences:?}");
            all.extend(sequences);
        }
        all.sort_unstable();
        let events = u64::from(self.events());
        assert_eq!(all, (1..=events).collect::<Vec<u64>>());
    }
}

/// Claims up to so many lanes.
pub async fn claim(queue: &BullQueue, worker: &str, lanes: u32) -> Vec<ClaimedLane> {
    let now = now();
    queue.claim_lanes(worker, lanes, 8, now, now.plus(LEASE)).await.unwrap()
}

/// Waits for something that should happen soon.
pub async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = now().plus(PATIENCE);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the queue says that Redis is there, or not.
pub async fn until_up(queue: &BullQueue, up: bool) {
    soon("the status of Redis", async || (queue.status().up == up).then_some(())).await;
}
