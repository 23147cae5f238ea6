//! API keys, and the engine's keys.

use std::time::Duration;

use domain::{
    SessionId,
    api_key::{ApiKey, KeyHash, Role},
    port::{KeyChange, KeyEntry},
};

use super::{Store, held_session};
use testkit::{START, build};

pub async fn an_api_key_reads_back_as_it_was<S: Store>(store: &S) {
    let full = ApiKey {
        allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
        allowed_sessions: vec![build::session(1).id],
        allowed_chats: vec![build::chat(1)],
        expires_at: Some(START),
        ..build::api_key(1, Role::Operator)
    };
    let plain = build::api_key(2, Role::Admin);
    for key in [&full, &plain] {
        store.insert_api_key(key).await.unwrap();
        assert_eq!(store.api_key(key.id).await.unwrap().as_ref(), Some(key));
        assert_eq!(store.api_key_by_hash(key.hash).await.unwrap().as_ref(), Some(key));
    }
    assert_eq!(store.api_key_by_hash(KeyHash::of("another")).await.unwrap(), None);
    assert_eq!(store.api_keys().await.unwrap(), [plain.clone(), full.clone()]);
    let changed = ApiKey { name: "renamed".into(), active: false, role: Role::Viewer, ..full };
    assert!(store.update_api_key(&changed).await.unwrap());
    assert_eq!(store.api_key(changed.id).await.unwrap(), Some(changed.clone()));
    let hash = KeyHash::of("kept in another way");
    store.rehash_api_key(changed.id, "master-0a0b", hash).await.unwrap();
    let other = store.api_key_by_hash(hash).await.unwrap().unwrap();
    assert_eq!(other, ApiKey { hash, prefix: "master-0a0b".into(), ..changed.clone() });
    assert!(store.delete_api_key(changed.id).await.unwrap());
    assert!(!store.delete_api_key(changed.id).await.unwrap());
    assert!(!store.update_api_key(&changed).await.unwrap());
}

pub async fn uses_are_counted<S: Store>(store: &S) {
    let key = build::api_key(1, Role::Viewer);
    store.insert_api_key(&key).await.unwrap();
    store.touch_api_key(key.id, 3, START.plus(Duration::from_secs(2))).await.unwrap();
    store.touch_api_key(key.id, 2, START).await.unwrap();
    let read = store.api_key(key.id).await.unwrap().unwrap();
    assert_eq!(read.usage_count, 5);
    assert_eq!(read.last_used_at, Some(START.plus(Duration::from_secs(2))), "never backwards");
}

fn put(key: &str, value: &[u8], expires_at: i64) -> KeyChange {
    KeyChange::Put { namespace: "session", key: key.into(), value: value.into(), expires_at }
}

async fn names<S: Store>(store: &S, session: SessionId, prefix: &str) -> Vec<String> {
    let entries = store.device_keys(session, "session", prefix).await.unwrap();
    entries.into_iter().map(|entry| entry.key).collect()
}

pub async fn device_keys_read_back<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    let session = lease.session;
    let big = vec![0xA5; 200_000];
    store.apply_key_changes(lease, vec![put("a", &big, 7), put("b", b"", 0)]).await.unwrap();
    let read = store.device_key(session, "session", "a").await.unwrap();
    assert_eq!(read, Some(KeyEntry { key: "a".into(), value: big, expires_at: 7 }));
    store.apply_key_changes(lease, vec![put("a", b"new", 0)]).await.unwrap();
    let read = store.device_key(session, "session", "a").await.unwrap().unwrap();
    assert_eq!((read.value.as_slice(), read.expires_at), (b"new".as_slice(), 0));
    assert_eq!(store.device_key(session, "prekey", "a").await.unwrap(), None);
    let delete = KeyChange::Delete { namespace: "session", key: "a".into() };
    store.apply_key_changes(lease, vec![delete.clone()]).await.unwrap();
    store.apply_key_changes(lease, vec![delete]).await.unwrap();
    assert_eq!(names(store, session, "").await, ["b"]);
}

pub async fn changes_are_one_unit<S: Store>(store: &S) {
    let nobody = build::session(9).id;
    assert!(
        store
            .apply_key_changes(&build::lease(nobody), vec![put("a", b"1", 0), put("b", b"2", 0)])
            .await
            .is_err()
    );
    assert!(names(store, nobody, "").await.is_empty());
}

pub async fn prefixes_are_exact<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    let session = lease.session;
    let keys = ["4917:1", "4917:2", "49170:1", "4917%", "4917_", "ü:1", "ü:2", "491"];
    store.apply_key_changes(lease, keys.map(|key| put(key, b"x", 0)).into()).await.unwrap();
    assert_eq!(names(store, session, "4917:").await, ["4917:1", "4917:2"]);
    assert_eq!(names(store, session, "4917%").await, ["4917%"]);
    assert_eq!(names(store, session, "ü").await, ["ü:1", "ü:2"]);
    assert_eq!(names(store, session, "").await.len(), keys.len());
}

pub async fn expired_keys_go<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    let session = lease.session;
    let changes = vec![put("never", b"x", 0), put("old", b"x", 10), put("new", b"x", 11)];
    store.apply_key_changes(lease, changes).await.unwrap();
    assert_eq!(store.delete_expired_keys(lease, "session", 10).await.unwrap(), 1);
    assert_eq!(names(store, session, "").await, ["never", "new"]);
    assert_eq!(store.delete_expired_keys(lease, "prekey", 99).await.unwrap(), 0);
}

pub async fn a_purge_spares_other_sessions<S: Store>(store: &S) {
    let (one, two) = (held_session(store, 1).await, held_session(store, 2).await);
    for lease in [&one, &two] {
        store.apply_key_changes(lease, vec![put("a", b"x", 0)]).await.unwrap();
    }
    store.purge_device_keys(&one).await.unwrap();
    assert!(names(store, one.session, "").await.is_empty());
    assert_eq!(names(store, two.session, "").await, ["a"]);
}
