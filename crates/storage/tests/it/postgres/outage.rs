//! A PostgreSQL that goes away: in silence, with a reset, in the middle of a commit, for a restart. The store comes back by
//! itself, what was answered is there, and what was repeated is there once.

use std::time::Duration;

use domain::{
    SessionId,
    delivery::{Attempt, DeliveryState},
    event::{Event, EventDraft},
    port::{
        DeliveryLog as _, DeliveryQueue, EventLog, Ledger as _, SessionStore, Settled, Settlement,
        StoreErrorKind, StoreResult, Verdict, WebhookStore,
    },
    webhook::Webhook,
};
use storage::{DatabaseLimits, LedgerStore, MasterKey, PostgresOptions, StoreOptions};
use testkit::{Proxy, START, build};
use tokio::time::{sleep, timeout};

use super::{open, place, raw};
use crate::support::{self, append};

/// What is seconds in earnest.
const LIMITS: DatabaseLimits = DatabaseLimits {
    connect: Duration::from_millis(800),
    statement: Duration::from_millis(900),
    job: Duration::from_millis(1500),
    answer: Duration::from_secs(8),
    pulse: Duration::from_millis(400),
    idle: Duration::from_millis(300),
};
/// Longest time in which everything has to be right again.
const RECOVERY: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(60);

/// A store behind a proxy, and one beside it that sees what is there.
async fn behind_proxy() -> (LedgerStore, Proxy, LedgerStore, PostgresOptions) {
    let place = place().await;
    let proxy = Proxy::before(place.port).await;
    let through = PostgresOptions { port: proxy.port(), ..place.clone() };
    let mut options = StoreOptions::postgres(through, MasterKey::from_bytes([7; 32]));
    options.limits = LIMITS;
    let beside = open(&place).await;
    (LedgerStore::open(options).await.unwrap(), proxy, beside, place)
}

/// Repeats a call until it works, as those do that have something to lose.
async fn surely<T>(call: impl AsyncFn() -> StoreResult<T>) -> T {
    let done = async {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error:?}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(RECOVERY, done).await.expect("the store does not come back by itself")
}

fn event(number: u32, session: SessionId) -> EventDraft {
    build::event(number, session, &build::chat(number % 5))
}

fn attempt() -> Attempt {
    Attempt {
        at: START,
        duration: Duration::from_millis(5),
        status: Some(200),
        error: None,
        excerpt: None,
    }
}

/// Events `1..=count`, each once and without a gap.
async fn all_there(store: &LedgerStore, session: SessionId, count: u32) {
    let log = surely(async || store.read_events(0, Some(session), 1000).await).await;
    let mut ids: Vec<_> = log.iter().map(|one| one.event.draft.id).collect();
    let mut expected: Vec<_> = (1..=count).map(|number| event(number, session).id).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "an event is missing, or there twice");
    let sequences: Vec<u64> = log.iter().map(|one| one.event.sequence).collect();
    assert_eq!(sequences, (1..=u64::from(count)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_vanishes_in_silence_is_noticed_and_found_again() {
    let (store, proxy, beside, _) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    append(&store, event(1, session)).await.unwrap();
    store.ping().await.unwrap();
    proxy.vanish();
    // Every sort of call ends, and says that it may work later.
    let write = append(&store, event(2, session));
    let read = store.read_events(0, None, 10);
    let claim = store.claim_lanes("one", 1, 1, START, START.plus(LEASE));
    let heartbeat = store.acquire_session(session, "one", START, LEASE);
    let ping = async {
        let refused = timeout(Duration::from_secs(2), store.ping()).await;
        refused.expect("readiness takes too long").map(|()| panic!("it says that it works"))
    };
    let all = async {
        let kinds = tokio::join!(
            async { write.await.map(|_| ()).unwrap_err().kind },
            async { read.await.map(|_| ()).unwrap_err().kind },
            async { claim.await.map(|_| ()).unwrap_err().kind },
            async { heartbeat.await.map(|_| ()).unwrap_err().kind },
            async { ping.await.map(|_: ()| ()).unwrap_err().kind },
        );
        [kinds.0, kinds.1, kinds.2, kinds.3, kinds.4]
    };
    let kinds = timeout(Duration::from_secs(10), all).await.expect("a call hangs");
    assert!(kinds.iter().all(|kind| *kind == StoreErrorKind::Unavailable), "{kinds:?}");
    store.ping().await.unwrap_err();
    proxy.heal();
    surely(async || append(&store, event(2, session)).await).await;
    surely(async || store.ping().await).await;
    all_there(&beside, session, 2).await;
}

#[tokio::test]
async fn writers_under_way_lose_nothing_when_connections_vanish_again_and_again() {
    let (store, proxy, beside, _) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    const COUNT: u32 = 120;
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        async move {
            for number in (1..=COUNT).filter(|number| number % 8 == writer) {
                surely(async || append(&store, event(number, session)).await).await;
                sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let trouble = async {
        for round in 0..6 {
            sleep(Duration::from_millis(150)).await;
            match round % 3 {
                0 => proxy.cut(),
                1 => {
                    proxy.refuse();
                    sleep(Duration::from_millis(200)).await;
                    proxy.heal();
                }
                _ => {
                    proxy.vanish();
                    sleep(Duration::from_millis(200)).await;
                    proxy.heal();
                }
            }
        }
    };
    tokio::join!(futures::future::join_all(writers), trouble);
    all_there(&beside, session, COUNT).await;
    surely(async || store.ping().await).await;
}

/// The commit happened, its answer did not come; whoever ordered it repeats it.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_repeated_without_harm() {
    let (store, proxy, beside, _) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    proxy.lose_answer_to(b"commit");
    let first = append(&store, event(1, session)).await;
    assert_eq!(first.unwrap_err().kind, StoreErrorKind::Unavailable);
    proxy.lost(1).await;
    let again: Event = surely(async || append(&store, event(1, session)).await).await;
    assert_eq!((again.draft, again.sequence), (event(1, session), 1));
    surely(async || append(&store, event(2, session)).await).await;
    all_there(&beside, session, 2).await;
    // The same event's id with something else in it is another matter.
    let mut other = event(1, session);
    other.idempotency_key.push_str("another");
    store
        .write(vec![domain::port::Write::Append { event: Box::new(other) }])
        .await
        .expect_err("not the same");
}

#[tokio::test]
async fn settlements_whose_commit_was_not_answered_are_repeated_without_harm() {
    let (store, proxy, beside, _) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    let webhook: Webhook = build::webhook(1, session);
    assert!(store.insert_webhook(&webhook, 0).await.unwrap());
    for number in 1..=4 {
        append(&store, build::event(number, session, &build::chat(number % 2))).await.unwrap();
    }
    let lanes = store.claim_lanes("one", 8, 8, START, START.plus(LEASE)).await.unwrap();
    assert_eq!(lanes.len(), 2);
    let settlement = |lane: usize, place: usize, verdict| Settlement {
        lane: lanes[lane].lane.clone(),
        epoch: lanes[lane].epoch,
        delivery: lanes[lane].deliveries[place].id,
        verdict,
        attempt: Some(attempt()),
    };
    let settle = async |settlement: Settlement| {
        surely(async || store.record_attempts(settlement.clone()).await).await
    };
    let ends = [Verdict::Delivered, Verdict::Exhausted];
    for (place, last) in [(0, Settled::More), (1, Settled::Done)] {
        proxy.lose_answer_to(b"commit");
        let (one, two) = tokio::join!(
            settle(settlement(0, place, ends[0].clone())),
            settle(settlement(1, place, ends[1].clone())),
        );
        // A lane that ended with the commit nobody heard of is nobody's any more: there is nothing left to do in it.
        let fine = |settled| settled == last || (last == Settled::Done && settled == Settled::Lost);
        assert!(fine(one) && fine(two), "{one:?} {two:?}");
        proxy.lost(u64::try_from(place).unwrap() + 1).await;
    }
    let stats = beside.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.exhausted), (0, 2));
    for lane in &lanes {
        for delivery in &lane.deliveries {
            let record = beside.delivery(delivery.id).await.unwrap().unwrap();
            assert_eq!(record.attempts, 1, "one try, written down once");
            assert_ne!(record.state, DeliveryState::Pending);
        }
    }
}

#[tokio::test]
async fn a_slow_server_is_not_a_server_that_is_gone() {
    let (store, proxy, beside, _) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    proxy.delay(Duration::from_millis(25));
    for number in 1..=3 {
        append(&store, event(number, session)).await.unwrap();
    }
    proxy.heal();
    all_there(&beside, session, 3).await;
}

/// As at a restart: every connection is ended by the server, and for a while it takes none.
#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let (store, proxy, beside, place) = behind_proxy().await;
    let session = support::session(&store, 1).await;
    append(&store, event(1, session)).await.unwrap();
    let mut admin = raw(&place).await;
    proxy.refuse();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(end).execute(&mut admin).await.unwrap();
    store.ping().await.unwrap_err();
    let refused = append(&store, event(2, session)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable);
    proxy.heal();
    surely(async || append(&store, event(2, session)).await).await;
    store.ping().await.unwrap();
    store.read_events(0, None, 10).await.unwrap();
    all_there(&beside, session, 2).await;
}

/// A job that takes its time holds up other work, but not the leases of sessions.
#[tokio::test]
async fn heartbeats_do_not_wait_behind_the_writer() {
    let (store, _proxy, _beside, place) = behind_proxy().await;
    let (session, beating) = (support::session(&store, 1).await, support::session(&store, 2).await);
    let mut other = raw(&place).await;
    // Somebody has the table of events: the writer waits.
    sqlx::raw_sql("begin; lock table event").execute(&mut other).await.unwrap();
    let write = append(&store, event(1, session));
    let beat = async {
        sleep(Duration::from_millis(100)).await;
        for _ in 0..5 {
            let beat = store.acquire_session(beating, "one", START, LEASE);
            let beat = timeout(Duration::from_millis(300), beat).await;
            assert!(beat.expect("it waits").unwrap().is_some());
        }
    };
    let (write, ()) = tokio::join!(write, beat);
    write.unwrap_err();
    drop(other);
    surely(async || append(&store, event(1, session)).await).await;
}
