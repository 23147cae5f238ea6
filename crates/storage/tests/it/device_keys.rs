//! Batches of the engine's keys, as large as a first pairing makes them.

use domain::port::{DeviceKeys, KeyChange};
use testkit::build;

use crate::support::{self, database, open, tamper};

const MANY: usize = 2_500;

fn put(number: usize, value: &[u8]) -> KeyChange {
    let key = format!("{number:05}");
    KeyChange::Put { namespace: "prekey", key, value: value.into(), expires_at: 0 }
}

#[tokio::test]
async fn a_large_batch_is_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let lease = support::held(&store, 1).await;
    let session = lease.session;
    let before = store.commits();
    let value = |number: usize| number.to_be_bytes().repeat(8);
    store.apply_key_changes(&lease, (0..MANY).map(|n| put(n, &value(n))).collect()).await.unwrap();
    assert_eq!(store.commits(), before + 1);
    let entries = store.device_keys(session, "prekey", "").await.unwrap();
    assert_eq!(entries.len(), MANY);
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!((&entry.key, &entry.value), (&format!("{number:05}"), &value(number)));
    }
    let hundred = store.device_keys(session, "prekey", "012").await.unwrap();
    assert_eq!(hundred.len(), 100);
}

#[tokio::test]
async fn a_large_batch_that_fails_at_its_end_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let lease = support::held(&store, 1).await;
    let session = lease.session;
    store.apply_key_changes(&lease, vec![put(0, b"before"), put(MANY, b"before")]).await.unwrap();
    let sql = format!(
        "create trigger refuse before insert on device_key when new.key = '{:05}' \
         begin select raise(abort, 'no'); end",
        MANY - 1
    );
    tamper(&database(&folder), &sql).await;
    let delete = KeyChange::Delete { namespace: "prekey", key: format!("{MANY:05}") };
    let changes = std::iter::once(delete).chain((0..MANY).map(|number| put(number, b"after")));
    store.apply_key_changes(&lease, changes.collect()).await.unwrap_err();
    let entries = store.device_keys(session, "prekey", "").await.unwrap();
    let kept: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), &entry.value[..])).collect();
    assert_eq!(kept, [("00000", &b"before"[..]), ("02500", b"before")]);
}

#[tokio::test]
async fn an_empty_batch_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let before = store.commits();
    store.apply_key_changes(&build::lease(build::session(9).id), vec![]).await.unwrap();
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn later_changes_of_a_batch_win() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let lease = support::held(&store, 1).await;
    let session = lease.session;
    let delete = KeyChange::Delete { namespace: "prekey", key: format!("{:05}", 2) };
    let changes = vec![put(1, b"a"), put(1, b"b"), put(2, b"a"), delete];
    store.apply_key_changes(&lease, changes).await.unwrap();
    let entries = store.device_keys(session, "prekey", "").await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].value, b"b");
}
