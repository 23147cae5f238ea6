//! A copy of a file that others write meanwhile, as of one moment.

use std::{path::Path, time::Duration};

use rusqlite::{
    OpenFlags,
    backup::{Backup, StepResult},
};

use super::{BUSY_LIMIT, SqliteConnection};
use crate::db::DbError;

/// Pages between two words about how far it is: 16 MiB of a new file.
const STEP_PAGES: i32 = 2048;
/// Tries with a page that somebody else has locked: ten seconds in all.
const BUSY_TRIES: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Copies the database at `source` into a file that is not there yet. `progress` hears of the pages done and of all.
///
/// Everything is copied inside one transaction that reads: the writer goes on, and what it commits is not in the copy.
/// Until the end its log is not emptied.
pub(crate) fn copy(
    source: &Path,
    target: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<(), DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = rusqlite::Connection::open_with_flags(source, flags)?;
    from.busy_timeout(BUSY_LIMIT)?;
    // The moment is that of the first read, not of `begin`.
    from.execute_batch("begin")?;
    from.query_row("select count(*) from sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    let mut to = rusqlite::Connection::open(target)?;
    // It is read again and checked before anybody relies on it.
    to.pragma_update(None, "synchronous", "off")?;
    let (mut busy, backup) = (0, Backup::new(&from, &mut to)?);
    loop {
        match backup.step(STEP_PAGES)? {
            StepResult::Done => break,
            StepResult::Busy | StepResult::Locked if busy < BUSY_TRIES => {
                busy += 1;
                pause();
            }
            StepResult::Busy | StepResult::Locked => return Err(DbError::NoAnswer),
            _ => busy = 0,
        }
        let seen = backup.progress();
        let all = u64::try_from(seen.pagecount).unwrap_or(0);
        progress(all.saturating_sub(u64::try_from(seen.remaining).unwrap_or(0)), all);
    }
    drop(backup);
    // One file by itself: no log beside it.
    to.pragma_update(None, "journal_mode", "delete")?;
    to.close().map_err(|(_, error)| error)?;
    from.execute_batch("rollback")?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, and a state that cannot be waited for"
)]
fn pause() {
    std::thread::sleep(BUSY_PAUSE);
}

impl SqliteConnection {
    /// Opens a file that is there, only for reading, for one who looks at it from outside.
    pub(crate) fn open_to_look(path: &Path) -> Result<Self, DbError> {
        Self::open_reader(path)
    }

    /// What SQLite finds wrong with the file, up to `most` sentences.
    pub(crate) fn damage(&self, most: u32) -> Result<Vec<String>, DbError> {
        let mut check = self.0.prepare(&format!("pragma quick_check({most})"))?;
        let found = check.query_map([], |row| row.get::<_, String>(0))?;
        let found = found.collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().filter(|one| one != "ok").collect())
    }

    /// Moves what the log beside the file holds into the file, and empties it.
    pub(crate) fn empty_log(path: &Path) -> Result<(), DbError> {
        let conn = rusqlite::Connection::open(path)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        conn.execute_batch("pragma wal_checkpoint(truncate)")?;
        conn.close().map_err(|(_, error)| error.into())
    }
}
