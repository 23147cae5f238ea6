//! The ledger in PostgreSQL: the same suite, and what several processes make of one database.

mod outage;
mod writers;

use std::time::Duration;

use domain::{
    brake::SendsPause,
    delivery::ClaimedLane,
    port::{
        BrakeStore as _, DeliveryQueue, EventLog, Ledger as _, MessageStore, NewMessage, Settled,
        Settlement, Trouble, Verdict, WebhookStore, Write,
    },
    webhook::Webhook,
};
use proptest::{prelude::*, test_runner::Config};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use storage::{LedgerStore, MasterKey, OpenError, PostgresOptions, StoreOptions};
use storage_conformance::model;
use testkit::{START, build};

use crate::support::{self, append};

/// Where the tests' server keeps a new, empty database.
pub async fn place() -> PostgresOptions {
    crate::place::place("waypost").await
}

pub async fn open(place: &PostgresOptions) -> LedgerStore {
    let mut options = StoreOptions::postgres(place.clone(), MasterKey::from_bytes([7; 32]));
    options.readers = 4;
    LedgerStore::open(options).await.unwrap()
}

/// A connection of somebody who does not go through the store.
pub async fn raw(place: &PostgresOptions) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&place.host)
        .port(place.port)
        .username(&place.username)
        .database(&place.database)
        .options([("search_path", &place.schema)]);
    options.connect().await.unwrap()
}

async fn fresh() -> (LedgerStore, ()) {
    (open(&place().await).await, ())
}

mod conformance {
    storage_conformance::store_conformance!(super::super::fresh);
}

async fn with_session() -> (LedgerStore, domain::SessionId, ()) {
    let (store, ()) = fresh().await;
    let session = support::session(&store, 1).await;
    (store, session, ())
}

storage_conformance::shared_ledger_conformance!(super::with_session);

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn the_ledger_agrees_with_the_model(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = place().await;
            let reopen = async |old: Option<LedgerStore>| {
                if let Some(old) = old {
                    old.close().await;
                }
                open(&place).await
            };
            model::agree(steps, model::AfterCrash::RunOut, reopen).await;
        });
    }
}

/// Two processes on one database, each with its own memory.
async fn two() -> (LedgerStore, LedgerStore, PostgresOptions) {
    let place = place().await;
    let (one, other) = tokio::join!(open(&place), open(&place));
    (one, other, place)
}

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_processes_never_hold_one_lane() {
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    assert!(one.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    for number in 1..=40 {
        let event = build::event(number, session, &build::chat(number % 20));
        append(if number % 2 == 0 { &one } else { &other }, event).await.unwrap();
    }
    let (now, until) = (START, START.plus(LEASE));
    let mut held = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let (a, b) = tokio::join!(
            one.claim_lanes("one", 3, 8, now, until),
            other.claim_lanes("other", 3, 8, now, until),
        );
        for lane in a.unwrap().into_iter().chain(b.unwrap()) {
            assert_eq!(lane.deliveries.len(), 2, "both events of the chat, whoever stored them");
            assert!(held.insert(lane.lane.clone()), "{} is held twice", lane.lane);
        }
    }
    assert_eq!(held.len(), 20);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_and_its_holder_records_nothing() {
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    assert!(one.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    append(&one, build::event(1, session, &build::chat(1))).await.unwrap();
    let held = one.claim_lanes("one", 1, 8, START, START.plus(LEASE)).await.unwrap().remove(0);
    let early = other.claim_lanes("other", 1, 8, START, START.plus(LEASE)).await.unwrap();
    assert!(early.is_empty(), "{early:?}");
    let later = START.plus(LEASE);
    let taken = other.claim_lanes("other", 1, 8, later, later.plus(LEASE)).await.unwrap().remove(0);
    assert_eq!(taken.deliveries, held.deliveries);
    let settlement = |lane: &ClaimedLane| Settlement {
        lane: lane.lane.clone(),
        epoch: lane.epoch,
        delivery: lane.deliveries[0].id,
        verdict: Verdict::Delivered,
        attempt: None,
    };
    assert!(!one.renew_lane(&held.lane, held.epoch, later.plus(LEASE)).await.unwrap());
    let lost = one.record_attempts(settlement(&held)).await.unwrap();
    assert_eq!(lost, Settled::Lost);
    let done = other.record_attempts(settlement(&taken)).await.unwrap();
    assert_eq!(done, Settled::Done);
}

#[tokio::test]
async fn what_one_process_changes_counts_for_the_others_at_once() {
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    append(&other, build::event(1, session, &build::chat(1))).await.unwrap();
    let webhook = build::webhook(1, session);
    assert!(one.insert_webhook(&webhook, 0).await.unwrap());
    append(&other, build::event(2, session, &build::chat(1))).await.unwrap();
    assert_eq!(
        other.queue_stats().await.unwrap().pending,
        1,
        "only the event after the registration"
    );
    let known = other.receiver(webhook.id).await.unwrap().unwrap();
    assert!(known.active);
    let off = Webhook { active: false, ..webhook.clone() };
    assert!(one.update_webhook(&off).await.unwrap());
    let told = async {
        while other.receiver(webhook.id).await.unwrap().unwrap().active {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    append(&other, build::event(3, session, &build::chat(1))).await.unwrap();
    assert_eq!(other.queue_stats().await.unwrap().pending, 1, "it is switched off");
}

#[tokio::test]
async fn a_process_hears_of_deliveries_that_another_stored() {
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    assert!(one.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    // What came before it listened is told as one wake-up.
    let woken = async {
        loop {
            other.opened_elsewhere().await;
            if other.queue_stats().await.unwrap().pending == 1 {
                return;
            }
        }
    };
    let store = append(&one, build::event(1, session, &build::chat(1)));
    let heard = tokio::time::timeout(Duration::from_secs(10), woken);
    let (stored, heard) = tokio::join!(store, heard);
    stored.unwrap();
    heard.unwrap();
}

#[tokio::test]
async fn sequences_stay_dense_whoever_writes() {
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    let writes = (1..=60u32).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move { append(&store, build::event(number, session, &build::chat(number))).await }
    });
    let events = futures::future::join_all(writes).await;
    let mut sequences: Vec<u64> = events.into_iter().map(|event| event.unwrap().sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=60).collect::<Vec<_>>());
    let log = one.read_events(0, None, 100).await.unwrap();
    assert!(log.iter().map(|event| event.position).eq(1..=60));
}

#[tokio::test]
async fn a_wrong_master_key_and_a_newer_database_are_refused() {
    let place = place().await;
    open(&place).await.close().await;
    let wrong = StoreOptions::postgres(place.clone(), MasterKey::from_bytes([8; 32]));
    let error = LedgerStore::open(wrong).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongKey(_)), "{error:?}");
    let line = support::told(&error);
    assert!(line.contains("WAYPOST_MASTER_KEY") && line.contains(&place.database), "{line}");
    let unreachable = PostgresOptions { port: 1, ..place };
    let options = StoreOptions::postgres(unreachable, MasterKey::from_bytes([7; 32]));
    let error = LedgerStore::open(options).await.err().unwrap();
    assert!(support::told(&error).contains("127.0.0.1:1"), "{}", support::told(&error));
}

/// A rolling upgrade: the first new process brings the tables along while older ones run.
#[tokio::test]
async fn a_process_writes_nothing_into_tables_of_a_newer_version_and_is_refused_when_it_starts() {
    let place = place().await;
    let store = open(&place).await;
    let session = support::session(&store, 1).await;
    append(&store, build::session_event(1, session)).await.unwrap();
    let mut conn = raw(&place).await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'later', true, '', 0)";
    sqlx::query(newer).execute(&mut conn).await.unwrap();
    assert!(append(&store, build::session_event(2, session)).await.is_err());
    assert_eq!(store.trouble(), Some(Trouble::Newer));
    assert!(store.probe().await.is_err());
    let options = StoreOptions::postgres(place.clone(), MasterKey::from_bytes([7; 32]));
    let error = LedgerStore::open(options).await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 9999, .. }), "{error:?}");
    sqlx::query("delete from _sqlx_migrations where version = 9999")
        .execute(&mut conn)
        .await
        .unwrap();
    store.probe().await.unwrap();
    assert_eq!(store.trouble(), None);
    append(&store, build::session_event(2, session)).await.unwrap();
    assert_eq!(store.read_events(0, None, 100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn characters_that_the_database_cannot_hold_do_not_stop_a_message() {
    let store = open(&place().await).await;
    let session = support::session(&store, 1).await;
    let mut message = build::message(1, session);
    message.body = Some("a\0b".into());
    let wa_id = message.wa_id.clone();
    let write =
        Write::InsertMessage { message: Box::new(NewMessage::row(message)), events: vec![] };
    store.write(vec![write]).await.unwrap();
    let stored = store.message(session, &wa_id).await.unwrap().unwrap();
    assert_eq!(stored.body.as_deref(), Some("a\u{fffd}b"));
}

/// The server ends every connection of a store; the next calls make new ones.
#[tokio::test]
async fn connections_that_break_are_made_anew() {
    let place = place().await;
    let (store, other) = (open(&place).await, open(&place).await);
    let session = support::session(&store, 1).await;
    let mut admin = raw(&place).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(end).execute(&mut admin).await.unwrap();
    for number in 1..=3 {
        // One call may meet the broken connection; it is safe to repeat.
        let event = build::event(number, session, &build::chat(1));
        if append(&store, event.clone()).await.is_err() {
            append(&store, event).await.unwrap();
        }
    }
    let log = other.read_events(0, None, 10).await;
    let log = if log.is_err() { other.read_events(0, None, 10).await } else { log };
    assert_eq!(log.unwrap().len(), 3);
}

#[tokio::test]
async fn a_pause_of_all_sends_is_heard_by_the_other_process() {
    let (one, other, _) = Box::pin(two()).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    other.listen_for_pauses(std::sync::Arc::new(move || {
        let _ = tell.send(());
    }));
    let pause = SendsPause { since: START, by: "boss".into(), reason: None };
    // One word may be about the beginning of the listening; the others are about changes.
    for _ in 0..4 {
        one.pause_sends(&pause).await.unwrap();
        assert_eq!(other.sends_pause().await.unwrap().as_ref(), Some(&pause));
        assert!(one.resume_sends().await.unwrap());
        assert_eq!(other.sends_pause().await.unwrap(), None);
        for _ in 0..2 {
            let word = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
            word.expect("it is never told").unwrap();
        }
    }
}
