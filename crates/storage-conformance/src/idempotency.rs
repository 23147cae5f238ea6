//! Keys of idempotent sends.

use std::time::Duration;

use domain::{
    idempotency::{IdempotencyRecord, IdempotencyState, KEPT, Taken},
    port::StoreErrorKind,
};
use serde_json::json;

use super::{Store, held_session};
use testkit::{START, build};

fn known(fingerprint: &str, state: IdempotencyState) -> Taken {
    Taken::Known(IdempotencyRecord {
        fingerprint: fingerprint.into(),
        created_at: START,
        epoch: 1,
        message: None,
        state,
    })
}

pub async fn a_key_is_taken_once<S: Store>(store: &S) {
    let (one, two) = (&held_session(store, 1).await, &held_session(store, 2).await);
    assert_eq!(store.take_idempotency_key(one, "k", "f", START).await.unwrap(), Taken::Fresh);
    let later = START.plus(Duration::from_secs(5));
    let again = store.take_idempotency_key(one, "k", "another", later).await.unwrap();
    assert_eq!(again, known("f", IdempotencyState::Open));
    assert_eq!(store.take_idempotency_key(one, "K", "f", START).await.unwrap(), Taken::Fresh);
    assert_eq!(store.take_idempotency_key(two, "k", "f", START).await.unwrap(), Taken::Fresh);
    let nobody = &build::lease(build::session(9).id);
    let refused = store.take_idempotency_key(nobody, "k", "f", START).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Gone);
}

pub async fn one_of_many_callers_gets_the_key<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let callers = (0..20).map(|_| store.take_idempotency_key(session, "k", "f", START));
    let taken = futures::future::join_all(callers).await;
    let fresh = taken.into_iter().filter(|taken| matches!(taken, Ok(Taken::Fresh))).count();
    assert_eq!(fresh, 1);
}

pub async fn outcomes_are_kept<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let answer = json!({ "messageId": "3EB0", "timestamp": 1 });
    for key in ["done", "unknown", "free", "late"] {
        assert_eq!(
            store.take_idempotency_key(session, key, "f", START).await.unwrap(),
            Taken::Fresh
        );
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
    for (key, expected) in [
        ("done", known("f", IdempotencyState::Done(answer.clone()))),
        ("unknown", known("f", IdempotencyState::Unknown)),
        ("free", Taken::Fresh),
        ("late", known("f", IdempotencyState::Done(answer))),
    ] {
        assert_eq!(
            store.take_idempotency_key(session, key, "f", START).await.unwrap(),
            expected,
            "{key}"
        );
    }
    store.free_idempotency_key(session, "unknown").await.unwrap();
    assert_eq!(
        store.take_idempotency_key(session, "unknown", "g", START).await.unwrap(),
        Taken::Fresh
    );
}

pub async fn old_keys_are_free_again<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    let answer = json!({});
    for key in ["a", "b"] {
        store.take_idempotency_key(session, key, "f", START).await.unwrap();
        store.finish_idempotency_key(session, key, &answer).await.unwrap();
    }
    let (last, over) = (START.plus(KEPT), START.plus(KEPT + Duration::from_millis(1)));
    assert!(matches!(
        store.take_idempotency_key(session, "a", "g", last).await.unwrap(),
        Taken::Known(_)
    ));
    assert_eq!(store.expire_idempotency_keys(last, 10).await.unwrap(), 0);
    assert_eq!(store.take_idempotency_key(session, "a", "g", over).await.unwrap(), Taken::Fresh);
    match store.take_idempotency_key(session, "a", "h", over).await.unwrap() {
        Taken::Known(record) => {
            assert_eq!((record.fingerprint.as_str(), record.created_at), ("g", over));
            assert_eq!((record.message, record.state), (None, IdempotencyState::Open));
        }
        Taken::Fresh => panic!("taken twice"),
    }
    assert_eq!(store.expire_idempotency_keys(over, 10).await.unwrap(), 1);
}

pub async fn old_keys_go_in_portions<S: Store>(store: &S) {
    let session = &held_session(store, 1).await;
    for key in ["a", "b", "c", "d", "e"] {
        store.take_idempotency_key(session, key, "f", START).await.unwrap();
    }
    let over = START.plus(KEPT + Duration::from_millis(1));
    store.take_idempotency_key(session, "new", "f", over).await.unwrap();
    for gone in [2, 2, 1, 0] {
        assert_eq!(store.expire_idempotency_keys(over, 2).await.unwrap(), gone);
    }
    assert!(matches!(
        store.take_idempotency_key(session, "new", "f", over).await.unwrap(),
        Taken::Known(_)
    ));
}
