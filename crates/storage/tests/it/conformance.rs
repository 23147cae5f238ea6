//! Every case of the stores' suite, each on an empty file of its own.

use storage::SqliteStore;
use tempfile::TempDir;

use crate::support;

async fn fresh() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (support::open(&folder).await, folder)
}

testkit::store_conformance!(super::fresh);
