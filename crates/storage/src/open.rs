//! Opening a ledger.

mod listener;
mod options;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::{fs::File, path::PathBuf, sync::Arc};

use domain::port::{StoreError, StoreResult};

use crate::{
    crypt::Cipher,
    db::{self, Conn, Readers},
    error::Doing as _,
    unreadable::UnreadableRows,
    writer::{CommitCaches, Seams, Writer},
};

pub use crate::db::postgres::DatabaseLimits;
pub use options::{Database, PostgresOptions, PostgresTls, StoreOptions};

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file cannot be made.
    #[error("the database {path} cannot be made or opened")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
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
    WrongKey(String),
    /// A newer version brought it along.
    #[error(
        "the database {database} was changed by a newer version of the program (its tables are of version {version}): \
         start that version, or restore a backup from before"
    )]
    Newer {
        /// The file, or the server and schema.
        database: String,
        /// Of which version its tables are.
        version: i64,
    },
    /// A migration failed; the tables are as they were.
    #[error("the database {database} cannot be brought to this version")]
    Migration {
        /// The file, or the server and schema.
        database: String,
        /// What the migration said.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// The database refused, or does not answer.
    #[error("the database {database} cannot be opened")]
    Store {
        /// The file, or the server and schema.
        database: String,
        /// What the ledger said.
        #[source]
        source: StoreError,
    },
}

impl OpenError {
    fn migration(database: String, source: sqlx::migrate::MigrateError) -> Self {
        match source {
            sqlx::migrate::MigrateError::VersionMissing(version) => {
                Self::Newer { database, version }
            }
            source => Self::Migration { database, source },
        }
    }
}

/// A ledger in one SQLite file or in one PostgreSQL schema. Cheap to clone; closed by [`LedgerStore::close`].
#[derive(Clone)]
pub struct LedgerStore {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    /// Where lanes are claimed and read, and single rows that a message or a request that comes in needs: not behind
    /// the lists and counts that people ask for.
    pub(crate) couriers: Readers,
    /// Where leases of sessions are renewed: not behind the work of the writer, where that is possible.
    pub(crate) heartbeats: Option<Readers>,
    pub(crate) cipher: Arc<Cipher>,
    pub(crate) seams: Seams,
    pub(crate) caches: Arc<CommitCaches>,
    /// Rows that cannot be read.
    pub(crate) unreadable: Arc<UnreadableRows>,
    _listener: Option<Arc<listener::NoticeListener>>,
    _lock: Option<Arc<File>>,
}

impl LedgerStore {
    /// Opens, migrates and checks a ledger.
    ///
    /// # Errors
    /// [`OpenError`]; each says what to do.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        match options.database.clone() {
            Database::Sqlite { path } => sqlite::open(options, path).await,
            Database::Postgres(target) => postgres::open(options, target).await,
        }
    }

    /// Finishes what is queued and closes every connection. Calls after it fail as unavailable.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.couriers.close().await;
        if let Some(heartbeats) = &self.heartbeats {
            heartbeats.close().await;
        }
    }

    /// Completes when the writer ended though nobody closed the ledger: nothing can be stored any more.
    pub async fn failed(&self) {
        self.writer.failed().await;
    }

    /// Transactions committed since it was opened, to see how well writes are grouped.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

db::statements! {
    // DialectPair that start at once must not each store one.
    CANARY_ONCE = both("insert into meta (key, value) values ('canary', $1) on conflict (key) do nothing");
    CANARY_OF_KEY = both("select value from meta where key = 'canary'");
}

const CANARY_PLACE: &[&str] = &["meta", "canary"];
const CANARY: &[u8] = b"waypost";

/// Compares the key with the one the database was made with, by a value encrypted then.
async fn key_fits(conn: &mut Conn, cipher: &Cipher) -> StoreResult<bool> {
    db::query(&CANARY_ONCE)
        .bind(cipher.seal(CANARY_PLACE, CANARY))
        .execute(&mut *conn)
        .await
        .doing("storing the key's canary")?;
    Ok(key_opens(conn, cipher).await? == Some(true))
}

/// The same comparison where nothing is written; `None` for a database that was made with no key yet.
pub(crate) async fn key_opens(conn: &mut Conn, cipher: &Cipher) -> StoreResult<Option<bool>> {
    let stored: Option<Vec<u8>> = db::query_scalar(&CANARY_OF_KEY)
        .fetch_optional(&mut *conn)
        .await
        .doing("checking the master key")?;
    let fits =
        |stored: Vec<u8>| cipher.open(CANARY_PLACE, &stored).is_ok_and(|plain| plain == CANARY);
    Ok(stored.map(fits))
}
