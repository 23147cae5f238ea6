//! Ledgers that are looked at from outside, and those that their database's own tools restored.

use domain::{
    Timestamp,
    port::{DeviceKeys as _, EventLog as _, SessionStore as _, WebhookStore as _},
};
use storage::{BackupError, MasterKey, StoreOptions};
use testkit::build;

use crate::{
    backup::{Place, furnish, key, revival},
    postgres,
    support::{append, open},
};

#[tokio::test]
async fn a_ledger_of_postgres_is_made_ready_once_no_gateway_has_it() {
    let place = postgres::place().await;
    let store = postgres::open(&place).await;
    let lease = furnish(&store).await;
    let options = || StoreOptions::postgres(place.clone(), key());
    let refused = storage::revive_in_place(options(), &revival()).await.unwrap_err();
    assert!(matches!(refused, BackupError::Running), "{refused}");
    assert!(store.device_key(lease.session, "session", "name").await.unwrap().is_some());
    store.release_session(&lease).await.unwrap();
    let end = store.log_bounds().await.unwrap().last;
    store.close().await;
    let revived = storage::revive_in_place(options(), &revival()).await.unwrap();
    assert_eq!((revived.devices, revived.keys, revived.messages), (1, 2, 1));
    // A second time finds nothing more to drop.
    let revived = storage::revive_in_place(options(), &revival()).await.unwrap();
    assert_eq!((revived.keys, revived.messages), (0, 0));
    let store = postgres::open(&place).await;
    let bounds = store.log_bounds().await.unwrap();
    assert!(bounds.last > end + 1_000_000 && bounds.pruned > end, "{bounds:?}");
    let event = build::event(9, lease.session, &build::chat(1));
    assert!(append(&store, event).await.unwrap().sequence > 1_000_000);
    store.close().await;
}

#[tokio::test]
async fn a_look_from_outside_changes_nothing_and_tells_what_waits() {
    let place = Place::new();
    let store = open(&place.0).await;
    let session = furnish(&store).await.session;
    assert!(store.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    append(&store, build::event(2, session, &build::chat(1))).await.unwrap();
    let at = storage::Database::Sqlite { path: place.ledger() };
    let far = Timestamp::from_millis(i64::MAX);
    let facts = storage::inspect(&at, Some(&key()), far).await.unwrap();
    assert_eq!((facts.schema, facts.key_fits), (Some(facts.newest), Some(true)));
    assert!(facts.damage.is_empty());
    let work = facts.work.unwrap();
    assert_eq!((work.stuck_lanes, work.stuck_deliveries, work.dead_letters), (1, 1, 0));
    let early = storage::inspect(&at, None, Timestamp::from_millis(0)).await.unwrap();
    assert_eq!((early.key_fits, early.work.unwrap().stuck_lanes), (None, 0));
    let other = storage::inspect(&at, Some(&MasterKey::from_bytes([8; 32])), far).await.unwrap();
    assert_eq!(other.key_fits, Some(false));
}

#[tokio::test]
async fn a_look_at_postgres_makes_no_tables() {
    let place = postgres::place().await;
    let at = storage::Database::Postgres(place.clone());
    let far = Timestamp::from_millis(i64::MAX);
    let facts = storage::inspect(&at, Some(&key()), far).await.unwrap();
    assert_eq!((facts.schema, facts.key_fits), (None, None));
    assert!(facts.server_time.is_some());
    postgres::open(&place).await.close().await;
    let facts = storage::inspect(&at, Some(&key()), far).await.unwrap();
    assert_eq!((facts.schema, facts.key_fits), (Some(facts.newest), Some(true)));
    assert!(facts.work.is_some());
}
