//! SQLite: the writer runs its statements on its own thread, readers on the runtime's threads for blocking work.

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

use super::{Answer, Bound, DbError, Kind, Row, Value, Want, query::Arg};

/// Compiled statements that a connection keeps.
const STATEMENTS_MAX: usize = 256;
/// A page of a new file. A commit copies every page that it changes, and a message with its event is 1 to 3 KiB: with
/// SQLite's own 4 KiB nearly every row changes a page or two for itself, and trees are a level deeper.
const PAGE_BYTES: i64 = 8192;
/// Of the log between two checkpoints: fewer, larger ones.
const LOG_BYTES: i64 = 64 << 20;
/// Longest wait for another process or a checkpoint.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// One connection.
pub(crate) struct Connection(rusqlite::Connection);

impl Connection {
    /// Opens a file for reading and writing; made if missing.
    ///
    /// WAL with `synchronous=FULL`: the last commit must survive a power cut, not only a crash of the process.
    pub(crate) fn open(path: &Path) -> Result<Self, DbError> {
        let conn = rusqlite::Connection::open(path)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        // Of a new file alone; SQLite leaves one that has pages as it is. Before the journal's mode, which makes the
        // first page.
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "full")?;
        // Negative: KiB. The pages that every commit touches stay in memory.
        conn.pragma_update(None, "cache_size", -16384)?;
        // Counted in pages, and an older file has smaller ones.
        let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        conn.pragma_update(None, "wal_autocheckpoint", LOG_BYTES / page.max(1))?;
        // What is deleted is overwritten with zeros, also on pages that become free, where long texts are: what somebody
        // erased is in no file.
        conn.pragma_update(None, "secure_delete", "on")?;
        // What a burst or a long read made of the log is given back to the disk.
        conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        Self::with(conn)
    }

    /// Opens a file that is there for reading alone.
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
    pub(crate) fn run(&self, statement: &Bound<'_>, want: Want) -> Result<Answer, DbError> {
        let text = statement.text.of(Kind::Sqlite);
        let mut prepared = self.0.prepare_cached(text)?;
        bind(&mut prepared, &statement.args)?;
        if want == Want::Count && prepared.column_count() == 0 {
            let affected = prepared.raw_execute()?;
            return Ok(Answer { rows: vec![], affected: u64::try_from(affected).unwrap_or(0) });
        }
        let names: Arc<[Box<str>]> =
            prepared.column_names().iter().map(|name| (*name).into()).collect();
        let mut found = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let values = (0..names.len()).map(|place| row.get_ref(place).map(value));
            rows.push(Row::new(names.clone(), values.collect::<Result<_, _>>()?));
        }
        let affected = u64::try_from(rows.len()).unwrap_or(0);
        Ok(Answer { rows, affected })
    }

    /// Moves what the log holds into the file, as far as there is room, so that the log begins anew: on a full disk
    /// that alone may be enough to go on.
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

/// `$n` may stand anywhere and more than once; a bare `?` takes the next value. A text has one sort of them, and those with
/// many are bare: only a handful is asked for its name.
fn bind(prepared: &mut CachedStatement<'_>, args: &[Arg<'_>]) -> Result<(), DbError> {
    let named = prepared.parameter_name(1).is_some();
    for place in 1..=prepared.parameter_count() {
        let name = if named { prepared.parameter_name(place) } else { None };
        let number: usize = name.and_then(|name| name[1..].parse().ok()).unwrap_or(place);
        let Some(arg) = args.get(number - 1) else {
            return Err(rusqlite::Error::InvalidParameterCount(args.len(), number).into());
        };
        prepared.raw_bind_parameter(place, arg)?;
    }
    Ok(())
}

impl ToSql for Arg<'_> {
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

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(_) => Value::Other,
        ValueRef::Text(text) => {
            std::str::from_utf8(text).map_or(Value::Other, |text| Value::Text(text.to_owned()))
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// A few connections that read.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Pool>);

struct Pool {
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
}

impl Pool {
    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, conn: Connection) {
        if !self.places.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

impl Readers {
    /// Opens `count` connections.
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self, DbError> {
        let idle: Vec<_> =
            (0..count).map(|_| Connection::open_reader(path)).collect::<Result<_, _>>()?;
        let places = Arc::new(Semaphore::new(count));
        Ok(Self(Arc::new(Pool { idle: Mutex::new(idle), places })))
    }

    /// No connection at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let places = Arc::new(Semaphore::new(0));
        Self(Arc::new(Pool { idle: Mutex::default(), places }))
    }

    /// Runs a statement on the next connection that is free.
    pub(crate) async fn run(&self, statement: Bound<'_>, want: Want) -> Result<Answer, DbError> {
        let statement = statement.into_owned();
        self.with(move |conn| conn.run(&statement, want)).await
    }

    /// Runs several, one after another, on one connection; what each gives.
    pub(crate) async fn run_each(
        &self,
        statements: Vec<Bound<'static>>,
    ) -> Result<Vec<Answer>, DbError> {
        self.with(move |conn| statements.iter().map(|one| conn.run(one, Want::Rows)).collect())
            .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let place = self.0.places.clone().acquire_owned().await.map_err(|_| DbError::Closed)?;
        let pool = self.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            let conn = pool.take().ok_or(DbError::Closed)?;
            let done = work(&conn);
            pool.give_back(conn);
            drop(place);
            done
        });
        work.await.unwrap_or(Err(DbError::Closed))
    }

    pub(crate) fn close(&self) {
        self.0.places.close();
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
