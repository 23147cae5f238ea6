//! Opening a ledger.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::port::{StoreError, StoreResult};
use sqlx::{
    Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    crypt::{Cipher, MasterKey},
    delivery::{leases::Leases, recent::Recent},
    error::Doing as _,
    receivers::Receivers,
    writer::{Unit, Writer},
};

/// What a ledger is opened with.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The SQLite file; made if missing.
    pub path: PathBuf,
    /// Opens what is encrypted.
    pub master_key: MasterKey,
    /// Connections that read, at least 1.
    pub readers: u32,
}

impl StoreOptions {
    /// The usual number of readers.
    pub fn new(path: PathBuf, master_key: MasterKey) -> Self {
        Self { path, master_key, readers: 4 }
    }

    /// A fixed key, for tests.
    pub fn for_testing(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), MasterKey::from_bytes([7; 32]))
    }
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file cannot be made.
    #[error("the database {path} cannot be made or opened")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "the database {0} is in use by another Waypost: stop that one first, or choose another data folder"
    )]
    InUse(PathBuf),
    /// The master key is another one than the database was made with.
    #[error(
        "the master key does not fit the database {0}: set the WAYPOST_MASTER_KEY it was made with, or restore its key file"
    )]
    WrongKey(PathBuf),
    /// A migration failed, for instance on a database of a newer version.
    #[error("the database {path} cannot be brought to this version")]
    Migration {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// SQLite refused.
    #[error("the database {path} cannot be opened")]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// A ledger in one SQLite file. Cheap to clone; closed by [`SqliteStore::close`].
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: SqlitePool,
    pub(crate) cipher: Arc<Cipher>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) receivers: Arc<Receivers>,
    _lock: Arc<File>,
}

impl SqliteStore {
    /// Opens, migrates and checks a ledger.
    ///
    /// # Errors
    /// [`OpenError`]; each says what to do.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let path = options.path.clone();
        let lock = Arc::new(lock(&path)?);
        let cipher = Arc::new(Cipher::new(&options.master_key));
        let failed = |source| OpenError::Store { path: path.clone(), source };
        let mut conn = SqliteConnection::connect_with(&connection(&path))
            .await
            .doing("opening the database")
            .map_err(failed)?;
        sqlx::migrate!("migrations/sqlite")
            .run(&mut conn)
            .await
            .map_err(|source| OpenError::Migration { path: path.clone(), source })?;
        if !key_fits(&mut conn, &cipher).await.map_err(failed)? {
            return Err(OpenError::WrongKey(path));
        }
        void_leases(&mut conn).await.map_err(failed)?;
        let last_ticket = last_ticket(&mut conn).await.map_err(failed)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            // SQLite's own default: what they read is small, and there are several of them.
            .connect_with(connection(&path).read_only(true).pragma("cache_size", "-2000"))
            .await
            .doing("opening the database")
            .map_err(failed)?;
        let (leases, recent) = (Arc::<Leases>::default(), Arc::<Recent>::default());
        let receivers = Arc::<Receivers>::default();
        let unit = Unit::new(conn, cipher.clone(), lock.clone(), leases.clone(), last_ticket);
        let writer = Writer::start(unit, recent.clone(), receivers.clone());
        Ok(Self { writer, readers, cipher, leases, recent, receivers, _lock: lock })
    }

    /// Finishes what is queued and closes every connection. Calls after it fail as unavailable.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Transactions committed since it was opened, to see how well writes are grouped.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

fn connection(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The last commit must survive a power cut, not only a crash of the process.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Negative: KiB. The pages that every commit touches stay in memory.
        .pragma("cache_size", "-16384")
        // Pages of the log between two checkpoints: fewer, larger ones.
        .pragma("wal_autocheckpoint", "16000")
        .busy_timeout(Duration::from_secs(10))
}

/// Takes the advisory lock beside the file; the system gives it back even after `kill -9`.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    create_private(path).map_err(io)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The database is made readable by its owner alone; SQLite gives its companions the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

const CANARY_PLACE: &[&str] = &["meta", "canary"];
const CANARY: &[u8] = b"waypost";

/// Compares the key with the one the database was made with, by a value encrypted then.
async fn key_fits(conn: &mut SqliteConnection, cipher: &Cipher) -> StoreResult<bool> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("select value from meta where key = 'canary'")
        .fetch_optional(&mut *conn)
        .await
        .doing("checking the master key")?;
    if let Some(stored) = stored {
        return Ok(cipher.open(CANARY_PLACE, &stored).is_ok_and(|plain| plain == CANARY));
    }
    sqlx::query("insert into meta (key, value) values ('canary', $1)")
        .bind(cipher.seal(CANARY_PLACE, CANARY))
        .execute(conn)
        .await
        .doing("storing the key's canary")?;
    Ok(true)
}

/// Only one process can have the file open, so every lease in it belongs to a life that ended.
async fn void_leases(conn: &mut SqliteConnection) -> StoreResult<()> {
    let sql =
        "update session set lease_owner = null, lease_until = null where lease_owner is not null";
    sqlx::query(sql).execute(conn).await.doing("clearing old leases").map(|_| ())
}

/// The tickets of lanes go on where they stopped.
async fn last_ticket(conn: &mut SqliteConnection) -> StoreResult<i64> {
    let last: Option<i64> = sqlx::query_scalar("select max(due_at) from lane where tried = 0")
        .fetch_one(conn)
        .await
        .doing("reading the lanes")?;
    Ok(last.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_and_references_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let mut conn = SqliteConnection::connect_with(&connection(&path)).await.unwrap();
        let mode: String =
            sqlx::query_scalar("pragma journal_mode").fetch_one(&mut conn).await.unwrap();
        assert_eq!(mode, "wal");
        for (pragma, expected) in [("pragma synchronous", 2), ("pragma foreign_keys", 1)] {
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut conn).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let store = SqliteStore::open(StoreOptions::for_testing(path)).await.unwrap();
        let written = sqlx::query("delete from session").execute(&store.readers).await;
        assert!(written.unwrap_err().to_string().contains("readonly"));
    }

    #[tokio::test]
    async fn the_lock_outlives_a_dropped_store_until_its_jobs_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let options = StoreOptions::for_testing(&path);
        let store = SqliteStore::open(options.clone()).await.unwrap();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        {
            let job = store.writer.run("waiting", |_| {
                Box::pin(async move {
                    let _ = wait.await;
                    let _ = ended.send(());
                    Ok(())
                })
            });
            let mut job = std::pin::pin!(job);
            assert!(futures::poll!(job.as_mut()).is_pending());
        }
        drop(store);
        let second = SqliteStore::open(options.clone()).await.err();
        assert!(matches!(second, Some(OpenError::InUse(_))), "{second:?}");
        go.send(()).unwrap();
        end.await.unwrap();
        loop {
            match SqliteStore::open(options.clone()).await {
                Ok(_) => break,
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
