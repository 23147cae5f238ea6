//! What a stage stands on: a ledger of its own and, with Redis, the shared queue over it.

use std::{sync::Arc, time::Duration};

use domain::port::DeliveryQueue;
use storage::{BullQueue, LedgerStore, MasterKey, PostgresOptions, RedisOptions, StoreOptions};
use tempfile::TempDir;
use testkit::servers;
use url::Url;

use crate::real::RealClock;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file, fsync at every commit.
    Sqlite,
    /// A database of its own.
    Postgres,
    /// The shared queue over PostgreSQL.
    Redis,
    /// The shared queue over a file.
    RedisOnSqlite,
}

/// It, opened.
pub struct Ground {
    pub store: LedgerStore,
    pub shared: Option<BullQueue>,
    /// Where files are; deleted at the end.
    pub folder: TempDir,
}

impl Ground {
    pub async fn open(backend: Backend, lease: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = match backend {
            Backend::Sqlite | Backend::RedisOnSqlite => {
                StoreOptions::for_testing(folder.path().join("waypost.sqlite"))
            }
            Backend::Postgres | Backend::Redis => {
                StoreOptions::postgres(database().await, MasterKey::from_bytes([7; 32]))
            }
        };
        let store = LedgerStore::open(options).await.unwrap();
        let shared = match backend {
            Backend::Sqlite | Backend::Postgres => None,
            Backend::Redis | Backend::RedisOnSqlite => Some(queue(&store, lease).await),
        };
        Self { store, shared, folder }
    }

    /// The queue that the workers claim from.
    pub fn queue(&self) -> Arc<dyn DeliveryQueue> {
        match &self.shared {
            Some(queue) => Arc::new(queue.clone()),
            None => Arc::new(self.store.clone()),
        }
    }
}

async fn database() -> PostgresOptions {
    let url = Url::parse(&servers::postgres_database().await).unwrap();
    PostgresOptions {
        host: url.host_str().unwrap().into(),
        port: url.port().unwrap_or(5432),
        username: url.username().into(),
        password: url.password().map(str::to_owned),
        database: url.path().trim_start_matches('/').into(),
        schema: "waypost".into(),
        tls: None,
    }
}

async fn queue(store: &LedgerStore, lease: Duration) -> BullQueue {
    let url = Url::parse(&servers::redis_url()).unwrap();
    let options = RedisOptions {
        password: url.password().map(str::to_owned),
        prefix: servers::redis_prefix(),
        lock: lease,
        ..RedisOptions::new(url.host_str().unwrap(), url.port().unwrap_or(6379))
    };
    BullQueue::start(Arc::new(store.clone()), options, Arc::new(RealClock)).await.unwrap()
}
