//! What our keys promise beyond the library's own store: one atomic write per batch, and an end.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use whatsapp::{Engine, LinkedDevice, import_device, keys::LedgerBackend};
use whatsapp_rust::{
    store::traits::{
        AppSyncStore as _, Backend, DeviceStore as _, LidPnMappingEntry, MsgSecretEntry,
        PendingInboundRow, ProtocolStore as _, SignalStore as _,
    },
    wacore::{appstate::processor::AppStateMutationMAC, store::Device},
};

use crate::{
    keys_suite::ledger,
    support::{
        ALICE, BOB, LIMIT, MemoryKeys, World, clock, import, lease, open_with, options, session,
        text,
    },
};

fn backend() -> (Arc<MemoryKeys>, LedgerBackend) {
    let keys = Arc::new(MemoryKeys::default());
    let backend = LedgerBackend::new(keys.clone() as _, lease(session()));
    (keys, backend)
}

async fn batches(store: &dyn Backend) -> [bool; 7] {
    let many = |name: &str| -> Vec<(Arc<str>, Bytes)> {
        (0..20).map(|n| (format!("{name}{n}").into(), Bytes::from_static(b"x"))).collect()
    };
    let identities: Vec<(Arc<str>, [u8; 32])> =
        (0..20).map(|n| (format!("i{n}").into(), [0; 32])).collect();
    let prekeys: Vec<(u32, Bytes)> = (0..20).map(|n| (n, Bytes::from_static(b"x"))).collect();
    let macs: Vec<_> =
        (0..20u8).map(|n| AppStateMutationMAC { index_mac: vec![n], value_mac: vec![n] }).collect();
    let ids: Vec<String> = (0..20).map(|n| format!("M{n}")).collect();
    let rows: Vec<_> = ids
        .iter()
        .map(|id| PendingInboundRow { chat: "c", sender: "s", id, message: b"x" })
        .collect();
    let secrets = ids
        .iter()
        .map(|id| MsgSecretEntry {
            chat: "c".into(),
            sender: "s".into(),
            msg_id: id.as_str().into(),
            secret: [0; 32],
            expires_at: 0,
            message_ts: 0,
        })
        .collect();
    [
        store.put_identities_batch(&identities).await.is_ok(),
        store.put_sessions_batch(&many("s")).await.is_ok(),
        store.put_sender_keys_batch(&many("k")).await.is_ok(),
        store.store_prekeys_batch(&prekeys, false).await.is_ok(),
        store.put_mutation_macs("regular", 1, &macs).await.is_ok(),
        store.store_pending_inbound_batch(&rows).await.is_ok(),
        store.put_msg_secrets(secrets).await.is_ok(),
    ]
}

#[tokio::test]
async fn a_batch_is_one_atomic_write() {
    let (keys, backend) = backend();
    assert_eq!(batches(&backend).await, [true; 7]);
    assert_eq!(keys.applied.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_and_says_so() {
    let (keys, backend) = backend();
    keys.failing.store(true, Ordering::SeqCst);
    assert_eq!(batches(&backend).await, [false; 7]);
    assert!(backend.get_session("s0").await.unwrap().is_none());
}

#[tokio::test]
async fn a_sealed_backend_writes_nothing() {
    let (_, backend) = backend();
    backend.put_session("a", b"x").await.unwrap();
    backend.seal();
    assert_eq!(batches(&backend).await, [false; 7]);
    assert!(backend.save(&Device::new()).await.is_err());
    assert!(backend.get_session("a").await.unwrap().is_some(), "reading is harmless");
}

#[tokio::test]
async fn sessions_do_not_see_each_other() {
    let keys = Arc::new(MemoryKeys::default());
    let one = LedgerBackend::new(keys.clone() as _, lease(session()));
    let two = LedgerBackend::new(keys.clone() as _, lease(session()));
    one.put_session("a", b"one").await.unwrap();
    assert!(two.get_session("a").await.unwrap().is_none());
    assert!(!two.has_signal_state_for_user("a").await.unwrap());
}

#[tokio::test]
async fn mappings_of_a_batch_are_one_write() {
    let (keys, backend) = backend();
    let entries: Vec<_> = (0..20)
        .map(|n| LidPnMappingEntry {
            lid: format!("{n}"),
            phone_number: format!("55{n}"),
            created_at: 0,
            updated_at: 0,
            learning_source: "usync".into(),
        })
        .collect();
    backend.put_lid_mappings(&entries).await.unwrap();
    assert_eq!(keys.applied.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_imported_device_is_the_devices_keys() {
    let (keys, session) = (Arc::new(MemoryKeys::default()), session());
    let device = Device::new();
    let linked = LinkedDevice {
        device: serde_json::to_vec(&device).unwrap(),
        prekeys: vec![(1, b"one".to_vec()), (2, b"two".to_vec())],
        app_state_key: Some((
            vec![0, 1],
            br#"{"key_data":[1],"fingerprint":[2],"timestamp":3}"#.to_vec(),
        )),
    };
    import_device(&*keys, &lease(session), linked).await.unwrap();
    assert_eq!(keys.applied.load(Ordering::SeqCst), 1);
    let backend = LedgerBackend::new(keys, lease(session));
    let loaded = backend.load().await.unwrap().unwrap();
    assert_eq!(loaded.registration_id, device.registration_id);
    assert_eq!(backend.load_prekey(2).await.unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(backend.get_latest_sync_key_id().await.unwrap(), Some(vec![0, 1]));
    assert_eq!(backend.get_sync_key(&[0, 1]).await.unwrap().unwrap().timestamp, 3);
}

#[tokio::test]
async fn nonsense_is_not_imported() {
    let (keys, session) = (Arc::new(MemoryKeys::default()), session());
    let linked = LinkedDevice { device: b"{}".to_vec(), prekeys: vec![], app_state_key: None };
    assert!(import_device(&*keys, &lease(session), linked).await.is_err());
    assert_eq!(keys.count(session), 0);
}

/// The whole way: a session on the real ledger logs in, talks, and comes back.
#[tokio::test]
async fn a_device_lives_in_the_real_ledger() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (keys, session) = ledger(folder.path()).await;
    let device = world.network.provision_device(ALICE).await.unwrap();
    import(&*keys, session, &device).await;
    let engine = Engine::new(options(&world.network), keys, clock()).unwrap();
    let bob = world.network.account(BOB).unwrap();
    for round in 0..2 {
        let line = open_with(&engine, session, None).await.unwrap();
        line.ear.connected().await;
        let (out, back) = (format!("out {round}"), format!("back {round}"));
        line.connection.send(text(BOB, &out)).await.unwrap();
        bob.wait_for(LIMIT, |message| message.text == out).await.unwrap();
        bob.send_text(ALICE, &back).await.unwrap();
        line.ear.message(&back).await;
        line.connection.close().await;
    }
    // Nothing had to be asked for twice: every key was where it was put.
    assert_eq!(world.network.record().undecryptable, Vec::<String>::new());
}
