//! The yardstick of what waits for the disk: durable commits of an almost empty ledger, one after another.

use domain::port::{Ledger as _, SessionPatch, SessionStore as _, Write};
use storage::{LedgerStore, StoreOptions};
use testkit::build;
use tokio::time::Instant;

const COMMITS: u32 = 300;

/// How long one takes, milliseconds.
pub async fn commit_millis() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::for_testing(folder.path().join("waypost.sqlite"));
    let store = LedgerStore::open(options).await.unwrap();
    let session = build::session(1);
    assert!(store.insert_session(&session).await.unwrap());
    let began = Instant::now();
    for _ in 0..COMMITS {
        let patch = SessionPatch { last_error: Some(None), ..SessionPatch::default() };
        let (session, patch) = (session.id, Box::new(patch));
        store.write(vec![Write::PatchSession { session, patch, events: vec![] }]).await.unwrap();
    }
    let took = began.elapsed();
    store.close().await;
    took.as_secs_f64() * 1000.0 / f64::from(COMMITS)
}
