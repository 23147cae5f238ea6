//! Keys of idempotent sends.

use std::time::Duration;

use domain::{
    Timestamp,
    idempotency::{IdempotencyRecord, IdempotencyState, KEPT},
    message::Message,
    port::{KeyOfSend, Lease, NewMessage, StoreErrorKind, StoreResult, Write, WriteOutcome},
};
use serde_json::json;

use super::{Store, held_session};
use testkit::{START, build};

/// Stores a message that takes a key; whether it did.
pub async fn take<S: Store>(
    store: &S,
    lease: &Lease,
    number: u32,
    (key, fingerprint): (&str, &str),
    at: Timestamp,
) -> StoreResult<bool> {
    let (key, fingerprint) = (key.into(), fingerprint.into());
    let message = Message { created_at: at, ..build::message(number, lease.session) };
    let new = NewMessage {
        outgoing: Some(build::outgoing(number)),
        idempotency_key: Some(KeyOfSend { key, fingerprint, epoch: lease.epoch }),
        ..NewMessage::row(message)
    };
    let held = Write::Held { lease: lease.clone() };
    let insert = Write::InsertMessage { message: Box::new(new), events: vec![] };
    let outcomes = store.write(vec![held, insert]).await?;
    let taken = matches!(outcomes[1], WriteOutcome::Applied(_));
    // The row is there if it has its key, and only then.
    let row = store.message(lease.session, &build::wa_id(number)).await?;
    assert_eq!(row.is_some(), taken, "{number}");
    Ok(taken)
}

fn known(number: u32, fingerprint: &str, state: IdempotencyState) -> Option<IdempotencyRecord> {
    Some(IdempotencyRecord {
        fingerprint: fingerprint.into(),
        created_at: START,
        epoch: 1,
        message: Some(build::wa_id(number)),
        state,
    })
}

pub async fn a_key_is_taken_once<S: Store>(store: &S) {
    let (one, two) = (&held_session(store, 1).await, &held_session(store, 2).await);
    let later = START.plus(Duration::from_secs(5));
    assert!(take(store, one, 1, ("k", "f"), START).await.unwrap());
    assert!(!take(store, one, 2, ("k", "another"), later).await.unwrap());
    let record = store.idempotency_record(one.session, "k", later).await.unwrap();
    assert_eq!(record, known(1, "f", IdempotencyState::Open));
    assert!(take(store, one, 3, ("K", "f"), START).await.unwrap());
    assert!(take(store, two, 1, ("k", "f"), START).await.unwrap());
    let nobody = &build::lease(build::session(9).id);
    let refused = take(store, nobody, 1, ("k", "f"), START).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Gone);
}

pub async fn one_of_many_callers_gets_the_key<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let callers = (1..=20).map(|number| take(store, session, number, ("k", "f"), START));
    let taken = futures::future::join_all(callers).await;
    assert_eq!(taken.into_iter().filter(|taken| matches!(taken, Ok(true))).count(), 1);
}

pub async fn outcomes_are_kept<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let answer = json!({ "messageId": "3EB0", "timestamp": 1 });
    let keys = ["done", "unknown", "free", "late"];
    for (number, key) in (1..).zip(keys) {
        assert!(take(store, session, number, (key, "f"), START).await.unwrap());
    }
    store.finish_idempotency_key(session, "done", &answer).await.unwrap();
    for key in ["unknown", "late"] {
        store.idempotency_outcome_unknown(session, key).await.unwrap();
    }
    store.finish_idempotency_key(session, "late", &answer).await.unwrap();
    store.free_idempotency_key(session, "free").await.unwrap();
    // An answer that was given is not taken back.
    store.idempotency_outcome_unknown(session, "done").await.unwrap();
    store.free_idempotency_key(session, "done").await.unwrap();
    let done = || IdempotencyState::Done(answer.clone());
    for (number, key, expected) in [
        (1, "done", known(1, "f", done())),
        (2, "unknown", known(2, "f", IdempotencyState::Unknown)),
        (3, "free", None),
        (4, "late", known(4, "f", done())),
    ] {
        let record = store.idempotency_record(session.session, key, START).await.unwrap();
        assert_eq!(record, expected, "{key}");
        let taken = take(store, session, 10 + number, (key, "f"), START).await.unwrap();
        assert_eq!(taken, expected.is_none(), "{key}");
    }
    store.free_idempotency_key(session, "unknown").await.unwrap();
    assert!(take(store, session, 20, ("unknown", "g"), START).await.unwrap());
}

pub async fn old_keys_are_free_again<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let answer = json!({});
    for (number, key) in [(1, "a"), (2, "b")] {
        assert!(take(store, session, number, (key, "f"), START).await.unwrap());
        store.finish_idempotency_key(session, key, &answer).await.unwrap();
    }
    let (last, over) = (START.plus(KEPT), START.plus(KEPT + Duration::from_millis(1)));
    assert!(!take(store, session, 3, ("a", "g"), last).await.unwrap());
    assert_eq!(store.expire_idempotency_keys(last, 10).await.unwrap(), 0);
    assert_eq!(store.idempotency_record(session.session, "a", over).await.unwrap(), None);
    assert!(take(store, session, 4, ("a", "g"), over).await.unwrap());
    assert!(!take(store, session, 5, ("a", "h"), over).await.unwrap());
    let record = store.idempotency_record(session.session, "a", over).await.unwrap().unwrap();
    assert_eq!((record.fingerprint.as_str(), record.created_at), ("g", over));
    assert_eq!((record.message, record.state), (Some(build::wa_id(4)), IdempotencyState::Open));
    assert_eq!(store.expire_idempotency_keys(over, 10).await.unwrap(), 1);
}

pub async fn old_keys_go_in_portions<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    for (number, key) in (1..).zip(["a", "b", "c", "d", "e"]) {
        assert!(take(store, session, number, (key, "f"), START).await.unwrap());
    }
    let over = START.plus(KEPT + Duration::from_millis(1));
    assert!(take(store, session, 6, ("new", "f"), over).await.unwrap());
    for gone in [2, 2, 1, 0] {
        assert_eq!(store.expire_idempotency_keys(over, 2).await.unwrap(), gone);
    }
    assert!(!take(store, session, 7, ("new", "f"), over).await.unwrap());
}
