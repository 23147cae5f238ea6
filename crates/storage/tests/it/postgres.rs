//! The ledger in PostgreSQL: the same suite, and what several processes make of one database.

use proptest::{prelude::*, test_runner::Config};
use storage::{MasterKey, PostgresOptions, SqliteStore, StoreOptions};
use testkit::conformance::model;

/// Where the tests' server keeps a new, empty database.
async fn place() -> PostgresOptions {
    let url = url::Url::parse(&testkit::servers::postgres_database().await).unwrap();
    PostgresOptions {
        host: url.host_str().unwrap().into(),
        port: url.port().unwrap_or(5432),
        username: url.username().into(),
        password: url.password().map(str::to_owned),
        database: url.path().trim_start_matches('/').into(),
        schema: "waypost".into(),
        tls: false,
    }
}

async fn open(place: &PostgresOptions) -> SqliteStore {
    let mut options = StoreOptions::postgres(place.clone(), MasterKey::from_bytes([7; 32]));
    options.readers = 4;
    SqliteStore::open(options).await.unwrap()
}

async fn fresh() -> (SqliteStore, ()) {
    (open(&place().await).await, ())
}

mod conformance {
    testkit::store_conformance!(super::super::fresh);
}

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn the_ledger_agrees_with_the_model(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = place().await;
            let reopen = async |old: Option<SqliteStore>| {
                if let Some(old) = old {
                    old.close().await;
                }
                open(&place).await
            };
            model::agree(steps, reopen).await;
        });
    }
}
