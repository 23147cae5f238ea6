//! The behaviours the protocol library tests on its own in-memory store, as one suite that runs
//! against that store and against ours. Only what is about its RAM (a cap on sent messages) is not
//! here; ours deletes those by age.

mod messages;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    SessionId,
    port::SessionStore,
    session::{Session, SessionConfig, SessionStatus},
};
use storage::{LedgerStore, StoreOptions};
use whatsapp_rust::{
    store::traits::{
        AppStateSyncKey, Backend, DeviceInfo, DeviceListRecord, LidPnMappingEntry, MsgSecretEntry,
        PendingInboundKey, PendingInboundRow, TcTokenEntry,
    },
    wacore::{
        appstate::{hash::HashState, processor::AppStateMutationMAC},
        store::{Device, InMemoryBackend},
        time,
    },
};

use crate::support::{MemoryKeys, lease, session};

use messages::*;
use tokens::*;

type Store = Arc<dyn Backend>;

async fn reference() -> (Store, ()) {
    (Arc::new(InMemoryBackend::new()), ())
}

async fn ledger_in_memory() -> (Store, ()) {
    let keys = Arc::new(MemoryKeys::default());
    (Arc::new(whatsapp::keys::LedgerBackend::new(keys, lease(session()))), ())
}

async fn ledger_on_file() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (keys, session) = ledger(folder.path()).await;
    (Arc::new(whatsapp::keys::LedgerBackend::new(keys, lease(session))), folder)
}

/// The real ledger, with one session in it.
pub async fn ledger(folder: &std::path::Path) -> (Arc<LedgerStore>, SessionId) {
    let options = StoreOptions::for_testing(folder.join("ledger.db"));
    let store = LedgerStore::open(options).await.unwrap();
    let at = domain::Timestamp::from_seconds(1_800_000_000);
    let record = Session {
        id: session(),
        name: "test".into(),
        status: SessionStatus::Created,
        wanted: false,
        phone: None,
        lid: None,
        push_name: None,
        connected_at: None,
        last_active: None,
        last_error: None,
        restriction: None,
        new_chat_quota: None,
        config: SessionConfig::default(),
        proxy: None,
        created_at: at,
        updated_at: at,
    };
    assert!(store.insert_session(&record).await.unwrap());
    let day = std::time::Duration::from_secs(86_400);
    let held = store.acquire_session(record.id, "test", at, day).await.unwrap().unwrap();
    assert_eq!(held.lease, lease(record.id));
    (Arc::new(store), record.id)
}

macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod reference_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let (store, _keep) = super::reference().await;
                super::$behaviour(store).await;
            })*
        }
        mod ledger_on_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                let (store, _keep) = super::ledger_in_memory().await;
                super::$behaviour(store).await;
            })*
        }
        mod ledger_on_sqlite {
            $(#[tokio::test]
            async fn $behaviour() {
                let (store, _keep) = super::ledger_on_file().await;
                super::$behaviour(store).await;
            })*
        }
    };
}

suite! {
    identities, sessions, sessions_batch_inserts_and_updates, user_state_matches_by_user_prefix,
    user_state_counts_identities, prekeys, signed_prekeys, sender_keys, sync_keys, versions,
    mutation_macs, clearing_macs_wipes_only_the_named_collection, sender_key_devices,
    lid_mappings_go_both_ways, a_lid_that_moves_leaves_no_trace, base_keys, device_lists,
    group_metadata_round_trip, touching_makes_a_placeholder_then_keeps_the_real_token,
    touching_only_advances, a_received_token_keeps_the_senders_time, the_newer_token_wins,
    pruning_respects_both_windows, concurrent_token_writers_lose_nothing,
    sent_messages_are_taken_once, sent_messages_expire_by_age, pending_inbound_is_scoped,
    pending_inbound_batches, secrets_are_keyed_by_all_three_parts, a_batch_of_secrets_merges,
    secrets_expire_by_their_deadline, the_device_survives, creating_makes_a_device,
}

async fn identities(store: Store) {
    assert_eq!(store.load_identity("a").await.unwrap(), None);
    store.put_identity("a", [1; 32]).await.unwrap();
    let batch: [(Arc<str>, [u8; 32]); 2] = [("a".into(), [2; 32]), ("b".into(), [3; 32])];
    store.put_identities_batch(&batch).await.unwrap();
    assert_eq!(store.load_identity("a").await.unwrap(), Some([2; 32]));
    assert_eq!(store.load_identity("b").await.unwrap(), Some([3; 32]));
    store.delete_identity("a").await.unwrap();
    assert_eq!(store.load_identity("a").await.unwrap(), None);
}

async fn sessions(store: Store) {
    assert!(!store.has_session("a").await.unwrap());
    store.put_session("a", b"one").await.unwrap();
    assert!(store.has_session("a").await.unwrap());
    assert_eq!(store.get_session("a").await.unwrap().as_deref(), Some(&b"one"[..]));
    store.delete_session("a").await.unwrap();
    assert_eq!(store.get_session("a").await.unwrap(), None);
    store.delete_session("a").await.unwrap();
}

async fn sessions_batch_inserts_and_updates(store: Store) {
    let first: Arc<str> = "15550000001:1@s.whatsapp.net".into();
    let second: Arc<str> = "15550000002:2@s.whatsapp.net".into();
    let batch = [
        (first.clone(), Bytes::from_static(b"first")),
        (second.clone(), Bytes::from_static(b"second")),
    ];
    store.put_sessions_batch(&batch).await.unwrap();
    store.put_sessions_batch(&[(first.clone(), Bytes::from_static(b"updated"))]).await.unwrap();
    assert_eq!(store.get_session(&first).await.unwrap().as_deref(), Some(&b"updated"[..]));
    assert_eq!(store.get_session(&second).await.unwrap().as_deref(), Some(&b"second"[..]));
}

async fn user_state_matches_by_user_prefix(store: Store) {
    let user = "5511999990000";
    assert!(!store.has_signal_state_for_user(user).await.unwrap());
    // Another user whose number only starts the same way.
    store.put_session("55119999900001@s.whatsapp.net", b"x").await.unwrap();
    assert!(!store.has_signal_state_for_user(user).await.unwrap());
    store.put_session("5511999990000@s.whatsapp.net", b"x").await.unwrap();
    assert!(store.has_signal_state_for_user(user).await.unwrap());
}

async fn user_state_counts_identities(store: Store) {
    store.put_identity("5511999990000:5@s.whatsapp.net", [7; 32]).await.unwrap();
    assert!(store.has_signal_state_for_user("5511999990000").await.unwrap());
}

async fn prekeys(store: Store) {
    assert_eq!(store.get_max_prekey_id().await.unwrap(), 0);
    let batch: Vec<_> = [9, 10, 100].map(|id| (id, Bytes::from(vec![id as u8]))).into();
    store.store_prekeys_batch(&batch, false).await.unwrap();
    store.store_prekey(11, b"eleven", true).await.unwrap();
    assert_eq!(store.get_max_prekey_id().await.unwrap(), 100);
    let mut loaded = store.load_prekeys_batch(&[9, 11, 12]).await.unwrap();
    loaded.sort_by_key(|(id, _)| *id);
    let expected = [(9, Bytes::from_static(&[9])), (11, Bytes::from_static(b"eleven"))];
    assert_eq!(loaded, expected);
    store.remove_prekey(100).await.unwrap();
    // Marking must not bring a consumed key back.
    store.mark_prekeys_uploaded(&[9, 100]).await.unwrap();
    assert_eq!(store.load_prekey(100).await.unwrap(), None);
    assert_eq!(store.get_max_prekey_id().await.unwrap(), 11);
}

async fn signed_prekeys(store: Store) {
    store.store_signed_prekey(1, b"one").await.unwrap();
    store.store_signed_prekey(2, b"two").await.unwrap();
    let mut all = store.load_all_signed_prekeys().await.unwrap();
    all.sort();
    assert_eq!(all, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    store.remove_signed_prekey(1).await.unwrap();
    assert_eq!(store.load_signed_prekey(1).await.unwrap(), None);
    assert_eq!(store.load_signed_prekey(2).await.unwrap(), Some(b"two".to_vec()));
}

async fn sender_keys(store: Store) {
    store.put_sender_key("g:a", b"one").await.unwrap();
    let batch: [(Arc<str>, Bytes); 2] =
        [("g:a".into(), Bytes::from_static(b"two")), ("g:b".into(), Bytes::from_static(b"b"))];
    store.put_sender_keys_batch(&batch).await.unwrap();
    assert_eq!(store.get_sender_key("g:a").await.unwrap(), Some(b"two".to_vec()));
    store.delete_sender_key("g:a").await.unwrap();
    assert_eq!(store.get_sender_key("g:a").await.unwrap(), None);
    assert_eq!(store.get_sender_key("g:b").await.unwrap(), Some(b"b".to_vec()));
}

async fn sync_keys(store: Store) {
    assert_eq!(store.get_latest_sync_key_id().await.unwrap(), None);
    let key = |byte| AppStateSyncKey {
        key_data: vec![byte; 3],
        fingerprint: vec![byte],
        timestamp: i64::from(byte),
    };
    store.set_sync_key(&[0, 1], key(1)).await.unwrap();
    store.set_sync_key(&[0, 2], key(2)).await.unwrap();
    let stored = store.get_sync_key(&[0, 1]).await.unwrap().unwrap();
    assert_eq!((stored.key_data, stored.timestamp), (vec![1; 3], 1));
    assert_eq!(store.get_latest_sync_key_id().await.unwrap(), Some(vec![0, 2]));
    assert!(store.get_sync_key(&[9]).await.unwrap().is_none());
}

async fn versions(store: Store) {
    assert_eq!(store.get_version("regular").await.unwrap().version, 0);
    let state = HashState { version: 7, hash: [3; 128], ..HashState::default() };
    store.set_version("regular", state).await.unwrap();
    let stored = store.get_version("regular").await.unwrap();
    assert_eq!((stored.version, stored.hash), (7, [3; 128]));
    assert_eq!(store.get_version("critical").await.unwrap().version, 0);
}

fn mac(index: &[u8], value: u8) -> AppStateMutationMAC {
    AppStateMutationMAC { index_mac: index.to_vec(), value_mac: vec![value] }
}

async fn mutation_macs(store: Store) {
    let macs = [mac(&[1; 32], 10), mac(&[2; 32], 20)];
    store.put_mutation_macs("regular", 1, &macs).await.unwrap();
    let found = store.get_mutation_macs("regular", &[[1; 32], [2; 32], [3; 32]]).await.unwrap();
    assert_eq!(found, [([1; 32], vec![10]), ([2; 32], vec![20])].into());
    store.delete_mutation_macs("regular", &[vec![1; 32]]).await.unwrap();
    assert_eq!(store.get_mutation_mac("regular", &[1; 32]).await.unwrap(), None);
    assert_eq!(store.get_mutation_mac("critical", &[2; 32]).await.unwrap(), None);
}

async fn clearing_macs_wipes_only_the_named_collection(store: Store) {
    store.put_mutation_macs("regular", 1, &[mac(&[1], 10)]).await.unwrap();
    store.put_mutation_macs("regular_low", 1, &[mac(&[2], 20)]).await.unwrap();
    store.clear_mutation_macs("regular").await.unwrap();
    assert_eq!(store.get_mutation_mac("regular", &[1]).await.unwrap(), None);
    assert_eq!(store.get_mutation_mac("regular_low", &[2]).await.unwrap(), Some(vec![20]));
}

async fn devices_of(store: &Store, group: &str) -> Vec<(String, bool)> {
    let mut devices = store.get_sender_key_devices(group).await.unwrap();
    devices.sort();
    devices
}

async fn sender_key_devices(store: Store) {
    store.set_sender_key_status("1@g.us", &[("a:1", true), ("b:1", false)]).await.unwrap();
    store.set_sender_key_status("2@g.us", &[("a:1", true), ("c:1", true)]).await.unwrap();
    store.set_sender_key_status("1@g.us", &[("b:1", true)]).await.unwrap();
    assert_eq!(devices_of(&store, "1@g.us").await, [("a:1".into(), true), ("b:1".into(), true)]);
    store.delete_sender_key_device_rows(&["a:1"]).await.unwrap();
    assert_eq!(devices_of(&store, "1@g.us").await, [("b:1".into(), true)]);
    assert_eq!(devices_of(&store, "2@g.us").await, [("c:1".into(), true)]);
    store.clear_sender_key_devices("1@g.us").await.unwrap();
    assert_eq!(devices_of(&store, "1@g.us").await, []);
    assert_eq!(devices_of(&store, "2@g.us").await.len(), 1);
    store.clear_all_sender_key_devices().await.unwrap();
    assert_eq!(devices_of(&store, "2@g.us").await, []);
}

fn mapped(lid: &str, phone: &str) -> LidPnMappingEntry {
    LidPnMappingEntry {
        lid: lid.into(),
        phone_number: phone.into(),
        created_at: 1,
        updated_at: 1,
        learning_source: "usync".into(),
    }
}

async fn lid_mappings_go_both_ways(store: Store) {
    store.put_lid_mapping(&mapped("100", "551")).await.unwrap();
    store.put_lid_mappings(&[mapped("200", "552"), mapped("300", "553")]).await.unwrap();
    assert_eq!(store.get_lid_mapping("200").await.unwrap().unwrap().phone_number, "552");
    assert_eq!(store.get_pn_mapping("553").await.unwrap().unwrap().lid, "300");
    assert!(store.get_pn_mapping("554").await.unwrap().is_none());
    assert_eq!(store.get_all_lid_mappings().await.unwrap().len(), 3);
    // The newest LID of a number counts.
    store.put_lid_mapping(&mapped("400", "551")).await.unwrap();
    assert_eq!(store.get_pn_mapping("551").await.unwrap().unwrap().lid, "400");
}

async fn a_lid_that_moves_leaves_no_trace(store: Store) {
    store.put_lid_mapping(&mapped("100", "551")).await.unwrap();
    store.put_lid_mapping(&mapped("100", "559")).await.unwrap();
    assert!(store.get_pn_mapping("551").await.unwrap().is_none());
    assert_eq!(store.get_pn_mapping("559").await.unwrap().unwrap().lid, "100");
    assert_eq!(store.get_all_lid_mappings().await.unwrap().len(), 1);
}

async fn base_keys(store: Store) {
    store.save_base_key("a", "M1", b"key").await.unwrap();
    assert!(store.has_same_base_key("a", "M1", b"key").await.unwrap());
    assert!(!store.has_same_base_key("a", "M1", b"other").await.unwrap());
    assert!(!store.has_same_base_key("a", "M2", b"key").await.unwrap());
    store.delete_base_key("a", "M1").await.unwrap();
    assert!(!store.has_same_base_key("a", "M1", b"key").await.unwrap());
}

async fn device_lists(store: Store) {
    let record = |user: &str, device| DeviceListRecord {
        user: user.into(),
        devices: vec![DeviceInfo::new(device, Some(1)).with_hosting(true)],
        timestamp: 5,
        phash: Some("2:x".into()),
        raw_id: Some(9),
    };
    store.update_device_list(record("551", 1)).await.unwrap();
    store.update_device_lists(vec![record("551", 2), record("552", 3)]).await.unwrap();
    let stored = store.get_devices("551").await.unwrap().unwrap();
    assert_eq!((stored.devices[0].device_id, stored.devices[0].is_hosted), (2, true));
    assert_eq!((stored.raw_id, stored.phash.as_deref()), (Some(9), Some("2:x")));
    store.delete_devices("551").await.unwrap();
    assert!(store.get_devices("551").await.unwrap().is_none());
    assert!(store.get_devices("552").await.unwrap().is_some());
}

async fn group_metadata_round_trip(store: Store) {
    let jid = "120363000000000001@g.us";
    assert_eq!(store.get_group_metadata(jid).await.unwrap(), None);
    store.put_group_metadata(jid, b"v1").await.unwrap();
    store.put_group_metadata(jid, b"v2").await.unwrap();
    assert_eq!(store.get_group_metadata(jid).await.unwrap(), Some(b"v2".to_vec()));
    store.delete_group_metadata(jid).await.unwrap();
    assert_eq!(store.get_group_metadata(jid).await.unwrap(), None);
}

async fn the_device_survives(store: Store) {
    assert!(!store.exists().await.unwrap());
    assert!(store.load().await.unwrap().is_none());
    let mut device = Device::new();
    device.push_name = "Alice".into();
    device.next_pre_key_id = 77;
    store.save(&device).await.unwrap();
    let loaded = store.load().await.unwrap().unwrap();
    assert!(store.exists().await.unwrap());
    assert_eq!((loaded.push_name.as_str(), loaded.next_pre_key_id), ("Alice", 77));
    assert_eq!(loaded.registration_id, device.registration_id);
    assert_eq!(loaded.adv_secret_key, device.adv_secret_key);
    assert_eq!(loaded.signed_pre_key_signature, device.signed_pre_key_signature);
    assert_eq!(loaded.noise_key.private_key.serialize(), device.noise_key.private_key.serialize());
}

async fn creating_makes_a_device(store: Store) {
    store.create().await.unwrap();
    let made = store.load().await.unwrap().unwrap();
    store.create().await.unwrap();
    let again = store.load().await.unwrap().unwrap();
    assert_eq!(made.registration_id, again.registration_id, "an existing device stays");
}
