//! Every case of the stores' suite, each on an empty file of its own.

use storage::LedgerStore;
use tempfile::TempDir;

use crate::support;

async fn fresh() -> (LedgerStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (support::open(&folder).await, folder)
}

storage_conformance::store_conformance!(super::fresh);

async fn with_session() -> (LedgerStore, domain::SessionId, TempDir) {
    let (store, folder) = fresh().await;
    let session = support::session(&store, 1).await;
    (store, session, folder)
}

storage_conformance::shared_ledger_conformance!(super::with_session);
