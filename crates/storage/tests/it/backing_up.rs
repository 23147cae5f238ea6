//! What is in a backup, and when there is none.

use domain::MediaId;
use sha2::{Digest as _, Sha256};
use storage::{BackupError, BackupOptions, LedgerStore, MasterKey, StoreOptions};
use testkit::build;

use crate::{
    backup::{Place, furnish, untold},
    support::{self, append, open, raw},
};

#[tokio::test]
async fn a_damaged_media_file_is_left_out_and_named() {
    let place = Place::new();
    let store = open(&place.0).await;
    furnish(&store).await;
    let (good, bad) = (place.keep(b"good").await, place.keep(b"bad").await);
    let path = place.media().join(&bad.as_str()[..2]).join(bad.as_str());
    std::fs::write(&path, "bent").unwrap();
    let written = place.back_up();
    assert_eq!((written.media_files, written.damaged_media), (1, vec![path]));
    assert_eq!(good, MediaId::of(&Sha256::digest(b"good").into()));
}

#[tokio::test]
async fn a_backup_takes_no_name_that_is_taken_and_leaves_nothing_behind_when_it_fails() {
    let place = Place::new();
    let refused = storage::back_up(&place.backup_options(), &untold()).unwrap_err();
    assert!(matches!(refused, BackupError::NoLedger(_)), "{refused}");
    assert!(place.everything().is_empty());
    let store = open(&place.0).await;
    furnish(&store).await;
    std::fs::write(place.file(), "mine").unwrap();
    let refused = storage::back_up(&place.backup_options(), &untold()).unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused}");
    assert_eq!(std::fs::read(place.file()).unwrap(), b"mine");
    std::fs::remove_file(place.file()).unwrap();
    place.back_up();
    let left = std::fs::read_dir(place.0.path()).unwrap();
    let left: Vec<_> = left.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("backup.tar.")), "{left:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.file()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_ledger_is_not_copied() {
    let place = Place::new();
    let store = open(&place.0).await;
    let session = furnish(&store).await.session;
    for number in 2..400 {
        append(&store, build::event(number, session, &build::chat(number % 5))).await.unwrap();
    }
    store.close().await;
    drop(store);
    let mut bytes = std::fs::read(place.ledger()).unwrap();
    let middle = bytes.len() / 2 / 8192 * 8192;
    bytes[middle..middle + 8192].fill(0xee);
    std::fs::write(place.ledger(), bytes).unwrap();
    let refused = storage::back_up(&place.backup_options(), &untold()).unwrap_err();
    let known = matches!(refused, BackupError::DamagedLedger { .. } | BackupError::Ledger { .. });
    assert!(known && !place.file().exists(), "{refused}");
}

#[tokio::test]
async fn the_key_is_in_no_backup() {
    let place = Place::new();
    let key = MasterKey::from_bytes(*b"this is the key of the gateway!!");
    let options = StoreOptions::new(place.ledger(), key.clone());
    let store = LedgerStore::open(options).await.unwrap();
    furnish(&store).await;
    let options = BackupOptions { key, ..place.backup_options() };
    storage::back_up(&options, &untold()).unwrap();
    let bytes = std::fs::read(place.file()).unwrap();
    let hex = hex_of(b"this is the key of the gateway!!");
    assert!(!support::holds(&bytes, b"this is the key") && !support::holds(&bytes, hex.as_bytes()));
    let mut conn = raw(&place.ledger()).await;
    let canary: Vec<u8> = sqlx::query_scalar("select value from meta where key = 'canary'")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(support::holds(&bytes, &canary), "the ledger itself is in it");
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
