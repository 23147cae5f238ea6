//! The reference model does what it is a model of.

use domain::SessionId;
use testkit::{ModelStore, build};

async fn open() -> (ModelStore, SessionId, ()) {
    (ModelStore::default(), build::session(1).id, ())
}

storage_conformance::shared_ledger_conformance!(super::open);
