//! The ledger does what the reference model says, whatever happens.

use proptest::{prelude::*, test_runner::Config};
use storage::LedgerStore;
use storage_conformance::model;

use crate::support;

proptest! {
    #![proptest_config(Config { cases: 64, ..Config::default() })]

    #[test]
    fn the_ledger_agrees_with_the_model(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let reopen = async |old: Option<LedgerStore>| {
                if let Some(old) = old {
                    support::close(old).await;
                }
                support::open(&folder).await
            };
            model::agree(steps, model::AfterCrash::Void, reopen).await;
        });
    }
}
