//! People under two ids, on a random way to knowing both.

use proptest::{prelude::*, test_runner::Config};
use storage_conformance::identities;

use crate::{postgres, support};

proptest! {
    #![proptest_config(Config { cases: 48, ..Config::default() })]

    #[test]
    fn people_under_two_ids(steps in identities::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            identities::agree(steps, &support::open(&folder).await).await;
        });
    }
}

proptest! {
    #![proptest_config(Config { cases: 10, ..Config::default() })]

    #[test]
    fn people_under_two_ids_in_postgres(steps in identities::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = postgres::place().await;
            identities::agree(steps, &postgres::open(&place).await).await;
        });
    }
}
