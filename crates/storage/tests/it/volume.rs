//! Ten thousand deliveries through workers that retry and die: each settled once, in the order of its lane.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    DeliveryId, SessionId, Timestamp,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{
        DeliveryQueue, EventLog, Ledger as _, Settled, Settlement, Verdict, WebhookStore, Write,
    },
};
use storage::LedgerStore;
use testkit::{START, build};
use tokio::sync::RwLock;

use crate::{postgres, support};

const EVENTS: u32 = 10_000;
const CHATS: u32 = 200;
/// Events of one write.
const AT_ONCE: u32 = 50;
const LEASE: Duration = Duration::from_secs(60);

/// What all workers know.
struct World {
    /// Moved while nobody has a delivery under way: what the dead worker holds has to run out, and what a living one holds
    /// must not, between two deliveries of a lane.
    now: AtomicI64,
    under_way: RwLock<()>,
    written: AtomicBool,
    tries: Mutex<Tries>,
}

#[derive(Default)]
struct Tries {
    /// Of each lane by sequence: whether its last try went well.
    lanes: HashMap<LaneId, BTreeMap<u64, bool>>,
    retried: HashSet<DeliveryId>,
    /// How often each was recorded as delivered.
    delivered: HashMap<DeliveryId, u32>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(START.millis()),
            under_way: RwLock::default(),
            written: AtomicBool::new(false),
            tries: Mutex::default(),
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    /// A try begins: whatever comes before it in the lane went well. Every tenth delivery fails at first.
    fn try_one(&self, lane: &LaneId, delivery: &Delivery) -> Verdict {
        let mut tries = self.tries.lock().unwrap();
        let sequence = delivery.event.sequence;
        let well = !sequence.is_multiple_of(10) || !tries.retried.insert(delivery.id);
        let of_lane = tries.lanes.entry(lane.clone()).or_default();
        let before = of_lane.range(..sequence).all(|(_, well)| *well);
        assert!(before, "{lane}: {sequence} passes one that failed");
        let later = of_lane.range(sequence + 1..).next();
        assert_eq!(later, None, "{lane}: {sequence} comes late");
        of_lane.insert(sequence, well);
        if well { Verdict::Delivered } else { Verdict::RetryAt(self.now()) }
    }
}

async fn write(store: LedgerStore, session: SessionId, from: u32) {
    for first in (from..EVENTS).step_by(2 * AT_ONCE as usize) {
        append(&store, session, first).await;
    }
}

/// Stores as many events as go into one write.
async fn append(store: &LedgerStore, session: SessionId, first: u32) {
    let event = |number| {
        let event = build::event(number + 1, session, &build::chat(number % CHATS));
        Write::Append { event: Box::new(event) }
    };
    store.write((first..first + AT_ONCE).map(event).collect()).await.unwrap();
}

async fn work(store: LedgerStore, name: &'static str, world: Arc<World>) {
    loop {
        let busy = world.under_way.read().await;
        let (now, written) = (world.now(), world.written.load(Ordering::Acquire));
        let lanes = store.claim_lanes(name, 32, 8, now, now.plus(LEASE)).await.unwrap();
        if !lanes.is_empty() {
            let lanes = lanes.iter().map(|lane| send(&store, lane, &world));
            futures::future::join_all(lanes).await;
            continue;
        }
        drop(busy);
        if !written {
            tokio::task::yield_now().await;
        } else if store.queue_stats().await.unwrap().pending == 0 {
            return;
        } else {
            let _nobody = world.under_way.write().await;
            world.now.fetch_max(now.plus(LEASE / 4).millis(), Ordering::Relaxed);
        }
    }
}

async fn send(store: &LedgerStore, claimed: &ClaimedLane, world: &World) {
    let (lane, epoch) = (claimed.lane.clone(), claimed.epoch);
    for delivery in &claimed.deliveries {
        let verdict = world.try_one(&lane, delivery);
        let well = verdict == Verdict::Delivered;
        let delivery = delivery.id;
        let settlement = Settlement { lane: lane.clone(), epoch, delivery, verdict, attempt: None };
        let settled = store.record_attempts(settlement).await.unwrap();
        if settled != Settled::Lost && well {
            *world.tries.lock().unwrap().delivered.entry(delivery).or_default() += 1;
        }
        if settled != Settled::More {
            return;
        }
    }
    store.release_lane(&lane, epoch).await.unwrap();
}

/// Everything through two stores; the same one twice where only one process may have the database.
#[expect(clippy::disallowed_methods, reason = "a test; it waits for its tasks")]
async fn drive(one: LedgerStore, other: LedgerStore) {
    let session = support::session(&one, 1).await;
    assert!(one.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    let world = World::new();
    // Something to take and to die with.
    append(&one, session, 0).await;
    let dead = one.claim_lanes("dead", 16, 8, START, START.plus(LEASE)).await.unwrap();
    assert_eq!(dead.len(), 16, "it takes them and is never heard of again");
    let workers = [(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")]
        .map(|(store, name)| tokio::spawn(work(store.clone(), name, world.clone())));
    tokio::join!(write(one.clone(), session, AT_ONCE * 2), write(other.clone(), session, AT_ONCE));
    world.written.store(true, Ordering::Release);
    for worker in workers {
        worker.await.unwrap();
    }
    let tries = world.tries.lock().unwrap();
    assert_eq!(tries.delivered.len(), EVENTS as usize, "every one");
    assert!(tries.delivered.values().all(|times| *times == 1), "and once");
    assert_eq!(tries.lanes.len(), CHATS as usize);
    assert_eq!(tries.retried.len(), EVENTS as usize / 10);
    assert!(world.now() >= START.plus(LEASE), "the dead worker's leases ran out");
}

async fn sequences_are_dense(store: &LedgerStore) {
    let (mut after, mut sequences) = (0, Vec::new());
    loop {
        let events = store.read_events(after, None, 1000).await.unwrap();
        let Some(last) = events.last() else { break };
        after = last.position;
        sequences.extend(events.iter().map(|event| event.event.sequence));
    }
    assert_eq!(sequences, (1..=u64::from(EVENTS)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(&folder).await;
    drive(store.clone(), store.clone()).await;
    sequences_are_dense(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_in_postgres_by_two_processes() {
    let place = postgres::place().await;
    let (one, other) = tokio::join!(postgres::open(&place), postgres::open(&place));
    drive(one.clone(), other).await;
    sequences_are_dense(&one).await;
}
