//! SQLite: the writer runs its statements on its own thread, readers on the runtime's threads for blocking work.

mod copy;

use std::{
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::port::Trouble;
use rusqlite::{
    CachedStatement, OpenFlags,
    config::DbConfig,
    types::{ToSql, ToSqlOutput, ValueRef},
};
use tokio::sync::Semaphore;

use super::{Bound, DbError, Kind, QueryAnswer, Row, SqlValue, Want, query::SqlArg};

pub(crate) use copy::copy;

/// Compiled statements that a connection keeps.
const STATEMENTS_MAX: usize = 256;
/// A page of a new file. A commit copies every page that it changes, and a message with its event is 1 to 3 KiB: with
/// SQLite's own 4 KiB nearly every row changes a page or two for itself, and trees are a level deeper.
const PAGE_BYTES: i64 = 8192;
/// Of the log between two checkpoints: fewer, larger ones.
const LOG_BYTES: i64 = 64 << 20;
/// Longest wait for another process or a checkpoint.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// One connection to the file, used by one job at a time.
pub(crate) struct SqliteConnection(rusqlite::Connection);

impl SqliteConnection {
    /// Opens a file for reading and writing; made if missing.
    ///
    /// WAL with `synchronous=FULL`: the last commit must survive a power cut, not only a crash of the process.
    pub(crate) fn open(path: &Path) -> Result<Self, DbError> {
        let conn = rusqlite::Connection::open(path)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        // Only of a new file; SQLite leaves one that has pages as it is. Before the journal's mode, which makes the
        // first page.
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "full")?;
        // Negative: KiB. The pages that every commit touches stay in memory.
        conn.pragma_update(None, "cache_size", -16384)?;
        // Counted in pages, and an older file has smaller ones.
        let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        conn.pragma_update(None, "wal_autocheckpoint", LOG_BYTES / page.max(1))?;
        // What is deleted is overwritten with zeros, also on pages that become free, where long texts are: what
        // somebody erased is in no file.
        conn.pragma_update(None, "secure_delete", "on")?;
        // What a burst or a long read made of the log is given back to the disk.
        conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        Self::with(conn)
    }

    /// Opens a file that is there, only for reading.
    fn open_reader(path: &Path) -> Result<Self, DbError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = rusqlite::Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        // SQLite's own default: what they read is small, and there are several of them.
        conn.pragma_update(None, "cache_size", -2000)?;
        Self::with(conn)
    }

    /// A database in memory.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Result<Self, DbError> {
        Self::with(rusqlite::Connection::open_in_memory()?)
    }

    fn with(conn: rusqlite::Connection) -> Result<Self, DbError> {
        conn.pragma_update(None, "foreign_keys", true)?;
        // A plan that depends on a bound value (a `limit`, for instance) is thrown away at each new value; ours do not.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Self(conn))
    }

    /// Runs a script of several statements.
    pub(crate) fn script(&self, text: &str) -> Result<(), DbError> {
        Ok(self.0.execute_batch(text)?)
    }

    /// Runs a statement here and now.
    pub(crate) fn run(&self, statement: &Bound<'_>, want: Want) -> Result<QueryAnswer, DbError> {
        let text = statement.text.of(Kind::Sqlite);
        let mut prepared = self.0.prepare_cached(text)?;
        bind(&mut prepared, &statement.args)?;
        if want == Want::Count && prepared.column_count() == 0 {
            let affected = prepared.raw_execute()?;
            return Ok(QueryAnswer {
                rows: vec![],
                affected: u64::try_from(affected).unwrap_or(0),
            });
        }
        let names: Arc<[Box<str>]> =
            prepared.column_names().iter().map(|name| (*name).into()).collect();
        let mut found = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let values = (0..names.len()).map(|index| row.get_ref(index).map(value));
            rows.push(Row::new(names.clone(), values.collect::<Result<_, _>>()?));
        }
        let affected = u64::try_from(rows.len()).unwrap_or(0);
        Ok(QueryAnswer { rows, affected })
    }

    /// Moves what the log holds into the file, as far as there is room, so that the log begins anew: on a full disk
    /// that may be enough to go on.
    pub(crate) fn make_room(&self) {
        if let Err(error) = self.script("pragma wal_checkpoint(passive)") {
            tracing::debug!(%error, "no checkpoint");
        }
    }

    /// What is wrong with the folder of the file, when it cannot be written.
    pub(crate) fn fault_of_the_disk(&self) -> Option<Trouble> {
        let path = self.0.path().filter(|path| !path.is_empty())?;
        let path = format!("{path}.probe");
        let written = std::fs::write(&path, [0; 4096]);
        // It may be there without its bytes.
        let _ = std::fs::remove_file(&path);
        match written.err()?.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Trouble::DiskFull),
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Some(Trouble::ReadOnly),
            _ => Some(Trouble::Disk),
        }
    }

    pub(crate) fn close(self) -> Result<(), DbError> {
        self.0.close().map_err(|(_, error)| error.into())
    }
}

/// `$n` may stand anywhere and more than once; a bare `?` takes the next value. A text has one kind of them, and
/// those with many are bare: only a handful is asked for its name.
fn bind(prepared: &mut CachedStatement<'_>, args: &[SqlArg<'_>]) -> Result<(), DbError> {
    let named = prepared.parameter_name(1).is_some();
    for index in 1..=prepared.parameter_count() {
        let name = if named { prepared.parameter_name(index) } else { None };
        let number: usize = name.and_then(|name| name[1..].parse().ok()).unwrap_or(index);
        let Some(arg) = args.get(number - 1) else {
            return Err(rusqlite::Error::InvalidParameterCount(args.len(), number).into());
        };
        prepared.raw_bind_parameter(index, arg)?;
    }
    Ok(())
}

impl ToSql for SqlArg<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Int(Some(int)) => ValueRef::Integer(*int),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Int(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(int) => SqlValue::Int(int),
        ValueRef::Real(_) => SqlValue::Other,
        ValueRef::Text(text) => std::str::from_utf8(text)
            .map_or(SqlValue::Other, |text| SqlValue::Text(text.to_owned())),
        ValueRef::Blob(bytes) => SqlValue::Bytes(bytes.to_vec()),
    }
}

/// A few connections that read.
#[derive(Clone)]
pub(crate) struct SqliteReaders(Arc<ReaderPool>);

struct ReaderPool {
    idle: Mutex<Vec<SqliteConnection>>,
    slots: Arc<Semaphore>,
}

impl ReaderPool {
    fn take(&self) -> Option<SqliteConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, conn: SqliteConnection) {
        if !self.slots.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

impl SqliteReaders {
    /// Opens `count` connections.
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self, DbError> {
        let idle: Vec<_> =
            (0..count).map(|_| SqliteConnection::open_reader(path)).collect::<Result<_, _>>()?;
        let slots = Arc::new(Semaphore::new(count));
        Ok(Self(Arc::new(ReaderPool { idle: Mutex::new(idle), slots })))
    }

    /// No connection at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let slots = Arc::new(Semaphore::new(0));
        Self(Arc::new(ReaderPool { idle: Mutex::default(), slots }))
    }

    /// Runs a statement on the next connection that is free.
    pub(crate) async fn run(
        &self,
        statement: Bound<'_>,
        want: Want,
    ) -> Result<QueryAnswer, DbError> {
        let statement = statement.into_owned();
        self.with(move |conn| conn.run(&statement, want)).await
    }

    /// Runs several, one after another, on one connection; what each gives.
    pub(crate) async fn run_each(
        &self,
        statements: Vec<Bound<'static>>,
    ) -> Result<Vec<QueryAnswer>, DbError> {
        self.with(move |conn| statements.iter().map(|one| conn.run(one, Want::Rows)).collect())
            .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let slot = self.0.slots.clone().acquire_owned().await.map_err(|_| DbError::Closed)?;
        let pool = self.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            let conn = pool.take().ok_or(DbError::Closed)?;
            let done = work(&conn);
            pool.give_back(conn);
            drop(slot);
            done
        });
        work.await.unwrap_or(Err(DbError::Closed))
    }

    pub(crate) fn close(&self) {
        self.0.slots.close();
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
