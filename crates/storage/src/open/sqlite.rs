//! One SQLite file.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::port::StoreResult;
use sqlx::migrate::{MigrateError, Migrator};

use super::{LedgerStore, OpenError, StoreOptions, key_fits};
use crate::{
    crypt::Cipher,
    db::{
        self, Conn, DbError, Readers,
        sqlite::{self, SqliteConnection},
    },
    delivery::claims::MemoryClaims,
    error::Doing as _,
    known_keys::KnownKeys,
    lease::MemoryLeases,
    unreadable::UnreadableRows,
    writer::{CommitCaches, Outside, Seams, SoleTurn, Unit, Writer},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

// The table that the migrations' library keeps.
const APPLIED: &str = "create table if not exists _sqlx_migrations (version bigint primary key, description text not null, \
     installed_on timestamp not null default current_timestamp, success boolean not null, checksum blob not null, \
     execution_time bigint not null)";

db::statements! {
    DONE = sqlite("select version, success, checksum from _sqlx_migrations order by version");
    MARK_DONE = sqlite("insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values ($1, $2, 1, $3, 0)");
    VOID_LEASES = sqlite("update session set lease_owner = null, lease_until = null where lease_owner is not null");
    LAST_TICKET = sqlite("select max(ticket) from lane");
}

/// Connections for the claims of lanes.
const COURIERS: usize = 2;

/// Opens a file, which no other process may have open.
pub(super) async fn open(options: StoreOptions, path: PathBuf) -> Result<LedgerStore, OpenError> {
    let lock = Arc::new(lock(&path)?);
    let cipher = Arc::new(Cipher::new(&options.master_key));
    let database = path.display().to_string();
    let failed = |source| OpenError::Store { database: database.clone(), source };
    let conn = SqliteConnection::open(&path).doing("opening the database").map_err(failed)?;
    let mut conn = Conn::Sqlite(conn);
    migrate(&mut conn).await.map_err(|source| OpenError::migration(database.clone(), source))?;
    if !key_fits(&mut conn, &cipher).await.map_err(failed)? {
        return Err(OpenError::WrongKey(database));
    }
    void_leases(&mut conn).await.map_err(failed)?;
    let last_ticket = last_ticket(&mut conn).await.map_err(failed)?;
    let count = usize::try_from(options.readers.max(1)).unwrap_or(1);
    let readers =
        sqlite::SqliteReaders::open(&path, count).doing("opening the database").map_err(failed)?;
    let readers = Readers::Sqlite(readers);
    let couriers = sqlite::SqliteReaders::open(&path, COURIERS)
        .doing("opening the database")
        .map_err(failed)?;
    let couriers = Readers::Sqlite(couriers);
    let unreadable = Arc::<UnreadableRows>::default();
    let seams = Seams {
        claims: Arc::new(MemoryClaims::new(couriers.clone(), last_ticket)),
        leases: Arc::new(MemoryLeases::new(readers.clone(), unreadable.clone())),
        turn: Arc::new(SoleTurn),
    };
    let caches = Arc::new(CommitCaches::new(seams.claims.clone(), KnownKeys::new(true)));
    let unit = Unit::new(conn, cipher.clone(), options.entropy, seams.clone())
        .locking(lock.clone())
        .noting(unreadable.clone());
    let outside = Outside::new(caches.clone());
    let writer = Writer::start(vec![unit], outside, options.limits)
        .map_err(|source| OpenError::Io { path, source })?;
    Ok(LedgerStore {
        writer: writer.with_failpoint(options.failpoint),
        readers,
        couriers,
        heartbeats: None,
        cipher,
        seams,
        caches,
        unreadable,
        _listener: None,
        _lock: Some(lock),
    })
}

/// Takes the advisory lock beside the file; the system gives it back even after `kill -9`.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_path_buf(), source };
    make_folder_of(path).map_err(io)?;
    create_private(path).map_err(io)?;
    lock_beside(path)
}

/// Makes the folder of a database file, if it is missing.
pub(crate) fn make_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// The same lock, where the file itself need not be.
pub(crate) fn lock_beside(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_path_buf(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    // Whoever may open it may hold it: only the owner, as with the database.
    create_private(Path::new(&name)).map_err(io)?;
    let file = File::options().write(true).open(&name).map_err(io)?;
    make_private(&file).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The newest version of the tables that this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|one| one.version).max().unwrap_or(0)
}

/// The database is made readable only by its owner; SQLite gives its companions the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

/// A file of an earlier version may be open to others.
fn make_private(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

/// Brings the tables to this version.
async fn migrate(conn: &mut Conn) -> Result<(), MigrateError> {
    let failed = |error: DbError| MigrateError::Source(Box::new(error));
    db::control(APPLIED).execute(&mut *conn).await.map_err(failed)?;
    let rows = db::query(&DONE).fetch_all(&mut *conn).await.map_err(failed)?;
    let mut last = 0;
    for row in rows {
        let version: i64 = row.try_get("version").map_err(failed)?;
        let checksum: Vec<u8> = row.try_get("checksum").map_err(failed)?;
        let known = MIGRATIONS.iter().find(|known| known.version == version);
        match known {
            None => return Err(MigrateError::VersionMissing(version)),
            Some(known) if *known.checksum != *checksum => {
                return Err(MigrateError::VersionMismatch(version));
            }
            Some(_) => last = version,
        }
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > last) {
        script(conn, "begin immediate").map_err(failed)?;
        script(conn, migration.sql.as_str()).map_err(failed)?;
        db::query(&MARK_DONE)
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(&*migration.checksum)
            .execute(&mut *conn)
            .await
            .map_err(failed)?;
        script(conn, "commit").map_err(failed)?;
    }
    Ok(())
}

fn script(conn: &mut Conn, text: &str) -> Result<(), DbError> {
    match conn {
        Conn::Sqlite(conn) => conn.script(text),
        Conn::Postgres(_) => Err(DbError::Closed),
    }
}

/// Only one process can have the file open, so every lease in it belongs to a life that ended.
async fn void_leases(conn: &mut Conn) -> StoreResult<()> {
    db::query(&VOID_LEASES).execute(conn).await.doing("clearing old leases").map(|_| ())
}

/// The tickets of lanes go on where they stopped.
async fn last_ticket(conn: &mut Conn) -> StoreResult<i64> {
    let last: Option<i64> =
        db::query_scalar(&LAST_TICKET).fetch_one(conn).await.doing("reading the lanes")?;
    Ok(last.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_and_references_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let mut conn = Conn::Sqlite(SqliteConnection::open(&path).unwrap());
        let mode: String =
            db::query_scalar("pragma journal_mode").fetch_one(&mut conn).await.unwrap();
        assert_eq!(mode, "wal");
        for (pragma, expected) in [("pragma synchronous", 2), ("pragma foreign_keys", 1)] {
            let value: i64 = db::query_scalar(pragma).fetch_one(&mut conn).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn a_new_file_has_larger_pages_and_an_older_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for (name, made, page, log) in [("new", false, 8192, 8192), ("old", true, 4096, 16384)] {
            let path = folder.path().join(name);
            if made {
                let older = rusqlite::Connection::open(&path).unwrap();
                let made = "pragma page_size = 4096; pragma journal_mode = wal; create table x (y)";
                older.execute_batch(made).unwrap();
            }
            let mut conn = Conn::Sqlite(SqliteConnection::open(&path).unwrap());
            for (pragma, expected) in [("page_size", page), ("wal_autocheckpoint", log)] {
                let sql = format!("pragma {pragma}");
                let value: i64 = db::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
                assert_eq!(value, expected, "{pragma} of the {name} file");
            }
        }
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let store = LedgerStore::open(StoreOptions::for_testing(path)).await.unwrap();
        let written = db::query("delete from session").execute(&store.readers).await;
        assert!(written.unwrap_err().to_string().contains("readonly"));
    }

    #[tokio::test]
    async fn the_lock_outlives_a_dropped_store_until_its_jobs_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let options = StoreOptions::for_testing(&path);
        let store = LedgerStore::open(options.clone()).await.unwrap();
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
        let second = LedgerStore::open(options.clone()).await.err();
        assert!(matches!(second, Some(OpenError::InUse(_))), "{second:?}");
        go.send(()).unwrap();
        end.await.unwrap();
        loop {
            match LedgerStore::open(options.clone()).await {
                Ok(_) => break,
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_can_hold_the_lock_or_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.sqlite");
        let beside = dir.path().join("w.sqlite.lock");
        // As an earlier version left it.
        std::fs::write(&beside, "").unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(lock(&path).unwrap());
        for file in [path, beside] {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }
}
