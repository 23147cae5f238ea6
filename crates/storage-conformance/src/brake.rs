//! What is done in an emergency: the pause of all sends, the revocation of all keys, and the list of the processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{
    ApiKeyId, Timestamp,
    api_key::{KeyHash, Role},
    brake::SendsPause,
    login::{Login, LoginKind},
    process::{ProcessRecord, worker_name},
};
use testkit::{START, build};

use super::{Store, append, new_session, new_webhook};

const LONG: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn pause(by: &str, reason: Option<&str>, seconds: u64) -> SendsPause {
    SendsPause { since: at(seconds), by: by.into(), reason: reason.map(str::to_owned) }
}

pub async fn a_pause_is_one_and_reads_back<S: Store>(store: &S) {
    assert_eq!(store.sends_pause().await.unwrap(), None);
    assert!(!store.resume_sends().await.unwrap());
    let first = pause("Änne \"the boss\"", Some("a loop 🙀"), 1);
    assert_eq!(store.pause_sends(&first).await.unwrap(), first);
    let second = pause("somebody else", None, 2);
    assert_eq!(store.pause_sends(&second).await.unwrap(), first, "the first one stays");
    assert_eq!(store.sends_pause().await.unwrap(), Some(first));
    assert!(store.resume_sends().await.unwrap());
    assert_eq!(store.sends_pause().await.unwrap(), None);
    assert_eq!(store.pause_sends(&second).await.unwrap(), second);
    assert_eq!(store.sends_pause().await.unwrap(), Some(second));
}

pub async fn listeners_hear_of_pauses<S: Store>(store: &S) {
    let heard = Arc::new(AtomicU32::new(0));
    let count = heard.clone();
    store.listen_for_pauses(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let before = heard.load(Ordering::SeqCst);
    let times = || heard.load(Ordering::SeqCst) - before;
    store.pause_sends(&pause("a", None, 1)).await.unwrap();
    assert!(times() >= 1, "whoever has the answer finds everybody told");
    let once = times();
    store.resume_sends().await.unwrap();
    assert!(times() > once);
}

pub async fn processes_are_told_with_what_they_hold<S: Store>(store: &S) {
    assert!(store.processes(START).await.unwrap().is_empty());
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let session = new_session(store, 3).await;
    new_webhook(store, build::webhook(1, session)).await;
    append(store, build::event(1, session, &build::chat(1))).await;
    store.announce_process("a", "http://a:1", at(1), at(0)).await.unwrap();
    store.announce_process("b", "http://b:1", at(2), at(0)).await.unwrap();
    for session in [one, two] {
        store.acquire_session(session, "a", START, LONG).await.unwrap().unwrap();
    }
    let worker = worker_name("c", 7);
    let taken = store.claim_lanes(&worker, 9, 8, START, at(60)).await.unwrap();
    assert_eq!(taken.len(), 1);
    let found = store.processes(at(3)).await.unwrap();
    let [a, b, c] = &found[..] else { panic!("{found:?}") };
    assert_eq!((a.sessions, a.lanes, a.url.as_deref()), (2, 0, Some("http://a:1")));
    assert!(a.lease_until.is_some());
    let silent = ProcessRecord {
        url: Some("http://b:1".into()),
        seen_at: Some(at(2)),
        ..ProcessRecord::named("b")
    };
    assert_eq!(b, &silent);
    assert_eq!(c, &ProcessRecord { lanes: 1, ..ProcessRecord::named("c") });
    // What ran out is nobody's.
    assert_eq!(store.processes(at(61)).await.unwrap().len(), 2);
}

pub async fn all_other_keys_are_revoked_at_once<S: Store>(store: &S) {
    let keys: Vec<ApiKeyId> = {
        let keys = [1, 2, 3, 4].map(|number| build::api_key(number, Role::Admin));
        for key in &keys {
            store.insert_api_key(key).await.unwrap();
        }
        keys.map(|key| key.id).into()
    };
    let mut hashes = vec![];
    for (place, key) in keys.iter().enumerate() {
        let hash = KeyHash::of(&format!("login {place}"));
        let (kind, created_at, expires_at) = (LoginKind::Cookie, at(0), at(60));
        let login = Login { hash, kind, key: *key, created_at, expires_at, last_used_at: None };
        store.insert_login(&login, 10).await.unwrap();
        hashes.push(hash);
    }
    let active = async || {
        let found = store.api_keys().await.unwrap();
        let on = found.into_iter().filter(|key| key.active).map(|key| key.id);
        let mut on: Vec<usize> =
            on.map(|id| keys.iter().position(|key| *key == id).unwrap()).collect();
        on.sort_unstable();
        on
    };
    let revoked = store.revoke_other_api_keys(keys[0], Some(keys[1]), Some(hashes[0])).await;
    assert_eq!(revoked.unwrap(), Some(2));
    assert_eq!(active().await, [0, 1]);
    assert!(store.login(hashes[0]).await.unwrap().is_some());
    assert!(store.login(hashes[1]).await.unwrap().is_none(), "also of a key that stays");
    // Who was revoked revokes nobody.
    assert_eq!(store.revoke_other_api_keys(keys[2], None, None).await.unwrap(), None);
    assert_eq!(active().await, [0, 1]);
    assert!(store.login(hashes[0]).await.unwrap().is_some());
    assert_eq!(store.revoke_other_api_keys(keys[1], None, None).await.unwrap(), Some(1));
    assert_eq!(active().await, [1]);
    assert!(store.login(hashes[0]).await.unwrap().is_none());
}
