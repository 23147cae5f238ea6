//! The shared queue does what the reference model says, whatever happens.

use proptest::{prelude::*, test_runner::Config};
use storage::{SqliteStore, StoreOptions};
use testkit::conformance::model;

use crate::{server, shared::Shared};

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn the_shared_queue_agrees_with_the_model(steps in model::steps()) {
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
                let store = SqliteStore::open(StoreOptions::for_testing(path)).await.unwrap();
                Shared::over(store, options.clone()).await
            };
            model::agree(steps, model::AfterCrash::Void, reopen).await;
        });
    }
}
