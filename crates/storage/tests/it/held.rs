//! Changes that wait for their message: over a crash, and when there are too many.

use std::time::Duration;

use domain::{
    SessionId,
    event::EventDraft,
    port::{Ledger as _, MessageChange, MessageStore, NewMessage, Write, WriteOutcome},
};
use storage::LedgerStore;
use testkit::{START, build};

use crate::support::{self, append, beside, database, open};

/// The bound of `message::held`.
const HELD_MAX: u32 = 5_000;

fn hold(session: SessionId, number: u32) -> Write {
    let change =
        MessageChange { body: Some(Some(format!("edit {number}"))), ..MessageChange::default() };
    let event = EventDraft {
        kind: domain::event::EventType::MessageEdited,
        ..build::event(number, session, &build::chat(1))
    };
    Write::ChangeMessage {
        session,
        wa_id: build::wa_id(number),
        change: Box::new(change),
        hold_until: Some(START.plus(Duration::from_secs(60))),
        events: vec![event],
    }
}

async fn came(store: &LedgerStore, session: SessionId, number: u32) -> Vec<String> {
    let message = Box::new(NewMessage::row(build::message(number, session)));
    let write = Write::InsertMessage { message, events: vec![] };
    match store.write(vec![write]).await.unwrap().remove(0) {
        WriteOutcome::Applied(events) => {
            events.into_iter().map(|event| event.draft.data.value()["id"].to_string()).collect()
        }
        WriteOutcome::Unchanged => panic!("message {number} was there"),
    }
}

#[tokio::test]
async fn what_waits_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    for number in [1, 2] {
        store.write(vec![hold(session, number)]).await.unwrap();
    }
    // The files as a crash right now would leave them.
    let copy = tempfile::tempdir().unwrap();
    for ending in ["", "-wal"] {
        let from = beside(&database(&folder), ending);
        std::fs::copy(from, beside(&database(&copy), ending)).unwrap();
    }
    let later = open(&copy).await;
    assert_eq!(later.write(vec![hold(session, 1)]).await.unwrap(), [WriteOutcome::Unchanged]);
    assert_eq!(came(&later, session, 1).await, ["\"1\""]);
    let row = later.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!(row.body.as_deref(), Some("edit 1"));
    assert_eq!(later.release_held(START.plus(Duration::from_secs(60))).await.unwrap(), 1);
}

#[tokio::test]
async fn when_too_many_wait_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (session, other) = (support::session(&store, 1).await, support::session(&store, 2).await);
    store.write(vec![hold(other, 100_000)]).await.unwrap();
    let writes = (1..=HELD_MAX).map(|number| hold(session, number)).collect();
    let outcomes = store.write(writes).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == WriteOutcome::Unchanged));
    let outcome = store.write(vec![hold(session, HELD_MAX + 1)]).await.unwrap().remove(0);
    let WriteOutcome::Applied(events) = outcome else { panic!("nothing made room") };
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0].draft.data.value()["id"], events[0].sequence), (&"1".into(), 1));
    assert_eq!(came(&store, session, 1).await, [""; 0], "it waits no longer");
    assert_eq!(came(&store, session, 2).await, ["\"2\""]);
    assert_eq!(came(&store, other, 100_000).await, ["\"100000\""], "another session's stay");
    // Everything is released, in portions, oldest first.
    let end = START.plus(Duration::from_secs(60));
    assert_eq!(store.release_held(end).await.unwrap(), u64::from(HELD_MAX) - 1);
    let next = append(&store, build::session_event(200_000, session)).await.unwrap();
    assert_eq!(next.sequence, u64::from(HELD_MAX) + 2);
}
