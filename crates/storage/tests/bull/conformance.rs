//! The shared queue does what every queue of lanes does, whichever database is under it.

mod sqlite {
    use storage::{LedgerStore, StoreOptions};
    use tempfile::TempDir;

    use crate::{server, shared::Shared};

    async fn fresh() -> (Shared, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::for_testing(folder.path().join("waypost.sqlite"));
        let store = LedgerStore::open(options).await.unwrap();
        (Shared::over(store, server::options()).await, folder)
    }

    storage_conformance::lane_conformance!(super::fresh);
}

mod postgres {
    use crate::{server, shared::Shared};

    async fn fresh() -> (Shared, ()) {
        let store = server::on_postgres(&server::postgres().await).await;
        (Shared::over(store, server::options()).await, ())
    }

    storage_conformance::lane_conformance!(super::fresh);
}
