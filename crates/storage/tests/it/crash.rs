//! What is there after the process died: the test starts itself as a second process and kills it.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::port::{DeliveryQueue, MessageStore, SessionStore, WebhookStore};
use storage::{LedgerStore, OpenError, StoreOptions};
use testkit::{START, build};

use crate::support::{self, append, beside, database, open, open_at};

/// Set in the second process: the database it opens.
const DATABASE: &str = "WAYPOST_TEST_SECOND_PROCESS";
/// What the second process says when its writes have returned.
const WRITTEN: &str = "everything is written";
const EVENTS: u32 = 50;

fn far() -> domain::Timestamp {
    START.plus(Duration::from_secs(1_000_000))
}

/// Plays the second process; nothing to do in the first.
#[tokio::test]
async fn the_second_process() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = open_at(&PathBuf::from(path)).await;
    let session = support::session(&store, 1).await;
    assert!(store.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    for number in 1..=EVENTS {
        append(&store, build::event(number, session, &build::chat(number % 5))).await.unwrap();
    }
    store.acquire_session(session, "killed", START, far().since(START)).await.unwrap().unwrap();
    assert_eq!(store.claim_lanes("killed", 10, 10, START, far()).await.unwrap().len(), 5);
    println!("{WRITTEN}");
    std::future::pending::<()>().await;
}

/// Ends with the test, also with one that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the second process and waits until its writes have returned.
fn second_process(path: &std::path::Path) -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_second_process", "--nocapture"])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let written = lines.map_while(Result::ok).any(|line| line.contains(WRITTEN));
    assert!(written, "the second process ended early");
    child
}

#[tokio::test]
async fn a_killed_process_loses_no_write_and_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let child = second_process(&path);
    let error = LedgerStore::open(StoreOptions::for_testing(path)).await.err();
    assert!(matches!(error, Some(OpenError::InUse(_))), "{error:?}");
    drop(child);

    let store = open(&folder).await;
    let session = build::session(1).id;
    let next = append(&store, build::session_event(EVENTS + 1, session)).await.unwrap();
    assert_eq!(next.sequence, u64::from(EVENTS) + 1);
    assert!(
        store
            .acquire_session(session, "next life", START, far().since(START))
            .await
            .unwrap()
            .is_some()
    );
    let lanes = store.claim_lanes("next life", 10, 100, START, far()).await.unwrap();
    let mut sequences: Vec<u64> = lanes
        .iter()
        .flat_map(|lane| lane.deliveries.iter().map(|delivery| delivery.event.sequence))
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=u64::from(EVENTS) + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_write_is_on_the_disk_when_its_call_returns() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    for number in 1..=3 {
        let message = Box::new(domain::port::NewMessage::row(build::message(number, session)));
        let events = vec![build::event(number, session, &build::chat(1))];
        let write = domain::port::Write::InsertMessage { message, events };
        domain::port::Ledger::write(&store, vec![write]).await.unwrap();
        // The files as a crash right now would leave them; the index of the log is not needed.
        let copy = tempfile::tempdir().unwrap();
        for ending in ["", "-wal"] {
            let from = beside(&database(&folder), ending);
            std::fs::copy(from, beside(&database(&copy), ending)).unwrap();
        }
        let later = open(&copy).await;
        assert!(later.session(session).await.unwrap().is_some());
        for number in 1..=number {
            let row = later.message(session, &build::wa_id(number)).await.unwrap();
            assert!(row.is_some(), "message {number}");
        }
        let next = append(&later, build::session_event(9, session)).await.unwrap();
        assert_eq!(next.sequence, u64::from(number) + 1);
    }
}
