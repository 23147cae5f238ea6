//! The shared queue does what the reference model says, whatever happens.

use std::{path::PathBuf, time::Duration};

use proptest::{prelude::*, test_runner::Config};
use storage::{LedgerStore, OpenError, StoreOptions};
use storage_conformance::model;

use crate::{server, shared::Shared};

/// Opens the ledger; what the dead process ran beside its claims may need a moment to let go of the file.
async fn open(path: PathBuf) -> LedgerStore {
    for _ in 0..500 {
        match LedgerStore::open(StoreOptions::for_testing(&path)).await {
            Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the ledger stays in use");
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn the_shared_queue_over_sqlite_agrees_with_the_model(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let options = server::options();
            // The process dies: its jobs stay in Redis, locked.
            let reopen = async |old: Option<Shared>| {
                if let Some(old) = old {
                    drop(old.queue);
                    old.store.close().await;
                }
                let path = folder.path().join("waypost.sqlite");
                Shared::over(open(path).await, options.clone()).await
            };
            model::agree(steps, model::AfterCrash::Void, reopen).await;
        });
    }
}

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn the_shared_queue_over_postgres_agrees_with_the_model(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (place, options) = (server::postgres().await, server::options());
            let reopen = async |old: Option<Shared>| {
                if let Some(old) = old {
                    drop(old.queue);
                    old.store.close().await;
                }
                Shared::over(server::on_postgres(&place).await, options.clone()).await
            };
            model::agree(steps, model::AfterCrash::RunOut, reopen).await;
        });
    }
}
