//! What a ledger is opened with.

use std::{fmt, path::PathBuf, sync::Arc};

use domain::Entropy;
use rand::Rng as _;

use crate::{crypt::MasterKey, db::postgres::DatabaseLimits, failpoint::Failpoint};

/// Where the ledger is.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file; made if missing. One process at a time.
    Sqlite {
        /// The path that was tried.
        path: PathBuf,
    },
    /// A schema in a PostgreSQL database; its tables are made if missing. Any number of processes.
    Postgres(PostgresOptions),
}

/// Where a PostgreSQL database is.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The server's name or address.
    pub host: String,
    /// The TCP port, most often 5432.
    pub port: u16,
    /// The role that connects to the database.
    pub username: String,
    /// The password of that role; none where the server asks for none.
    pub password: Option<String>,
    /// The name of the database.
    pub database: String,
    /// Where in it the tables are; made if missing.
    pub schema: String,
    /// Only TLS, with a certificate that is good for the host; none: no TLS.
    pub tls: Option<PostgresTls>,
}

/// How a server's certificate is checked.
#[derive(Debug, Clone, Default)]
pub struct PostgresTls {
    /// A PEM file with the authority that signed it; none: the usual ones.
    pub ca: Option<PathBuf>,
}

impl fmt::Display for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.database, self.host, self.port)
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({self}, as {}, schema {})", self.username, self.schema)
    }
}

/// What a ledger is opened with.
#[derive(Clone)]
pub struct StoreOptions {
    /// The database that holds it.
    pub database: Database,
    /// Opens what is encrypted.
    pub master_key: MasterKey,
    /// Where the ids of events come from that the ledger itself emits; the system's randomness unless something else is
    /// given. A seeded one makes them the same in each run; two ledgers at the same database must not share a seed.
    pub entropy: Arc<dyn Entropy>,
    /// Connections that read, at least 1.
    pub readers: u32,
    /// How long the database may take.
    pub limits: DatabaseLimits,
    /// Where the process ends itself; for tests of the built program.
    pub failpoint: Option<Failpoint>,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("database", &self.database)
            .field("readers", &self.readers)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The randomness of the system.
struct SystemRandomness;

impl Entropy for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

impl StoreOptions {
    /// A SQLite file with the usual number of readers.
    pub fn new(path: PathBuf, master_key: MasterKey) -> Self {
        Self {
            database: Database::Sqlite { path },
            master_key,
            entropy: Arc::new(SystemRandomness),
            readers: 4,
            limits: DatabaseLimits::default(),
            failpoint: None,
        }
    }

    /// A PostgreSQL schema with the usual number of readers.
    pub fn postgres(target: PostgresOptions, master_key: MasterKey) -> Self {
        Self {
            database: Database::Postgres(target),
            master_key,
            entropy: Arc::new(SystemRandomness),
            readers: 10,
            limits: DatabaseLimits::default(),
            failpoint: None,
        }
    }

    /// A SQLite file with a fixed key, for tests.
    pub fn for_testing(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), MasterKey::from_bytes([7; 32]))
    }
}
