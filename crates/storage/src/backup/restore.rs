//! Putting a backup in the place of a ledger.
//!
//! Everything is checked before anything is changed. Then the media files come, which lie under their hashes and so
//! change nothing that is there; then the ledger, made ready beside the old one and put in its place by one rename.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use domain::{MediaId, port::StoreErrorKind};

use super::{
    BackupError, BackupHeader, BackupMedia, BackupProgress, BackupStep, CheckedBackup,
    ProgressListener, check,
    error::At as _,
    paths::{RemovedOnDrop, beside, create_private, folder_of, sync_folder_of},
    read::{BackupParts, header_of, read},
};
use crate::{
    Database, FolderMedia, LedgerStore, MasterKey, StoreOptions,
    db::sqlite::SqliteConnection,
    error::Doing as _,
    folder,
    open::sqlite::{lock_beside, make_folder_of, newest},
    revive::{Revival, Revived},
};

/// Free space that is left besides what is written: for the log of the ledger while it is made ready.
const MARGIN_BYTES: u64 = 64 << 20;

/// What is restored, and where to.
#[derive(Clone)]
pub struct RestoreOptions {
    /// The backup that is read.
    pub file: PathBuf,
    /// The SQLite file of the ledger.
    pub ledger: PathBuf,
    /// The folder of the media files.
    pub media: PathBuf,
    /// The key that the backup has to be of.
    pub key: MasterKey,
    /// Whether a ledger that is there gives way.
    pub replace: bool,
    /// What is dropped and renewed in the ledger.
    pub revival: Revival,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct RestoredBackup {
    /// What the backup says of itself.
    pub backup: CheckedBackup,
    /// Where the ledger is that was there before.
    pub replaced: Option<PathBuf>,
    /// Media files of the list that are not in the folder.
    pub missing_media: u64,
    /// What was dropped and renewed.
    pub revived: Revived,
}

/// Puts a backup in the place of a ledger that no process has open.
///
/// # Errors
/// [`BackupError`]. Until the last step the ledger that is there stays as it is.
pub async fn restore(
    options: RestoreOptions,
    progress: ProgressListener,
) -> Result<RestoredBackup, BackupError> {
    let (owned, told) = (options.clone(), progress.clone());
    let staged = blocking(move || stage(&owned, &told)).await?;
    progress(BackupProgress { step: BackupStep::Revive, done: 0, all: 0 });
    let opening = StoreOptions::new(staged.ledger.0.clone(), options.key.clone());
    let revived = revive(opening, &options.ledger, &options.revival).await?;
    let made_at = staged.backup.header.made_at.clone();
    let (backup, missing_media) = (staged.backup.clone(), staged.missing_media);
    let replaced = blocking(move || put_in_place(&options.ledger, staged, &made_at)).await?;
    Ok(RestoredBackup { backup, replaced, missing_media, revived })
}

/// Drops and renews what must not be used again in a ledger that its database's own tools restored: by `pg_restore`, or
/// as a disk of the day before. It is brought to this version first.
///
/// # Errors
/// [`BackupError`], also while a gateway has it; then nothing was dropped.
pub async fn revive_in_place(
    options: StoreOptions,
    revival: &Revival,
) -> Result<Revived, BackupError> {
    let path = match &options.database {
        Database::Sqlite { path }
            if std::fs::metadata(path).map_or(0, |found| found.len()) == 0 =>
        {
            return Err(BackupError::NoLedger(path.clone()));
        }
        Database::Sqlite { path } => path.clone(),
        Database::Postgres(target) => target.to_string().into(),
    };
    revive(options, &path, revival).await
}

async fn revive(
    options: StoreOptions,
    path: &Path,
    revival: &Revival,
) -> Result<Revived, BackupError> {
    let store = LedgerStore::open(options).await?;
    let revived = store.revive(revival).await;
    store.close().await;
    revived.map_err(|source| match source.kind {
        StoreErrorKind::NotOwner => BackupError::Running,
        _ => BackupError::Ledger { path: path.into(), source },
    })
}

/// Runs work that waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BackupError::CutOff))
}

/// A ledger beside the one that it replaces.
struct Staged {
    backup: CheckedBackup,
    ledger: RemovedOnDrop,
    /// What SQLite, and the store's lock, leave beside it.
    _companions: Vec<RemovedOnDrop>,
    missing_media: u64,
    /// No gateway opens the ledger meanwhile.
    _lock: File,
}

fn stage(options: &RestoreOptions, progress: &ProgressListener) -> Result<Staged, BackupError> {
    // What refuses at once comes before what takes its time.
    fits(options, &header_of(&options.file)?)?;
    let occupied = std::fs::metadata(&options.ledger).map_or(0, |found| found.len()) > 0;
    if occupied && !options.replace {
        return Err(BackupError::Occupied(options.ledger.clone()));
    }
    make_folder_of(&options.ledger).at("cannot make the folder of", &options.ledger)?;
    let lock = lock_beside(&options.ledger)?;
    let backup = check(&options.file, progress)?;
    fits(options, &backup.header)?;
    let media = FolderMedia::open(&options.media).at("cannot use", &options.media)?;
    has_room(options, &backup)?;
    let ledger = RemovedOnDrop(beside(&options.ledger, ".restoring"));
    let companions = ["-wal", "-shm", "-journal", ".lock"];
    let companions: Vec<_> =
        companions.iter().map(|ending| RemovedOnDrop(beside(&ledger.0, ending))).collect();
    for left in companions.iter().map(|one| &one.0) {
        // Of a restore that was killed: it would be taken for that of the new file.
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("cannot remove", left);
            }
            _ => {}
        }
    }
    let mut unpacking = Unpacking { options, media, ledger: &ledger.0, missing_media: 0 };
    read(&options.file, BackupStep::Unpack, progress, &mut unpacking)?;
    let missing_media = unpacking.missing_media;
    is_whole(&ledger.0, &options.file)?;
    Ok(Staged { backup, ledger, _companions: companions, missing_media, _lock: lock })
}

/// Whether this program can read it, with this key.
fn fits(options: &RestoreOptions, header: &BackupHeader) -> Result<(), BackupError> {
    let ours = options.key.fingerprint();
    if header.key_fingerprint != ours {
        return Err(BackupError::OtherKey { theirs: header.key_fingerprint.clone(), ours });
    }
    if header.schema > newest() {
        return Err(BackupError::Newer {
            path: options.file.clone(),
            what: format!("its tables have version {}, this program's {}", header.schema, newest()),
            program: header.program.clone(),
        });
    }
    Ok(())
}

fn has_room(options: &RestoreOptions, backup: &CheckedBackup) -> Result<(), BackupError> {
    let folder = folder_of(&options.ledger);
    let ledger = backup.header.ledger_bytes.saturating_mul(2).saturating_add(MARGIN_BYTES);
    let media = match backup.header.media {
        BackupMedia::Included => backup.media_bytes,
        BackupMedia::Listed => 0,
    };
    let device =
        |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev).map_err(io::Error::from);
    let same = device(folder).at("cannot look at", folder)?
        == device(&options.media).at("cannot look at", &options.media)?;
    let needs = match same {
        true => vec![(folder, ledger.saturating_add(media))],
        false => vec![(folder, ledger), (options.media.as_path(), media)],
    };
    for (path, needed) in needs {
        let room = rustix::fs::statvfs(path).map_err(io::Error::from).at("cannot look at", path)?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if free < needed {
            return Err(BackupError::NoRoom { path: path.into(), free, needed });
        }
    }
    Ok(())
}

struct Unpacking<'a> {
    options: &'a RestoreOptions,
    media: FolderMedia,
    ledger: &'a Path,
    missing_media: u64,
}

impl BackupParts for Unpacking<'_> {
    fn ledger(&mut self, content: &mut dyn Read) -> Result<(), BackupError> {
        let mut file = create_private(self.ledger).at("cannot write", self.ledger)?;
        io::copy(content, &mut file).at("cannot write", self.ledger)?;
        file.sync_all().at("cannot write", self.ledger)
    }

    fn medium(
        &mut self,
        id: &MediaId,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), BackupError> {
        let folder = &self.options.media;
        if self.media.take_in(id, size, content).at("cannot write into", folder)? {
            return Ok(());
        }
        let what = format!("the media file {} is not the one that was written", id.as_str());
        Err(BackupError::Spoiled { path: self.options.file.clone(), what })
    }

    fn listed(&mut self, id: &MediaId, size: u64) -> Result<(), BackupError> {
        let there = std::fs::metadata(folder::path_of(&self.options.media, id));
        self.missing_media += u64::from(there.map_or(true, |found| found.len() != size));
        Ok(())
    }
}

/// The bytes are those that were written; whether SQLite can work with them is another question.
fn is_whole(ledger: &Path, file: &Path) -> Result<(), BackupError> {
    let found = SqliteConnection::open_to_look(ledger).and_then(|conn| conn.damage(1));
    let found = found.doing("checking the ledger");
    let found = found.map_err(|source| BackupError::Ledger { path: ledger.into(), source })?;
    match found.into_iter().next() {
        None => Ok(()),
        Some(said) => Err(BackupError::Spoiled { path: file.into(), what: said }),
    }
}

/// Puts the new ledger where the old one is, and the old one beside it; where that is.
fn put_in_place(
    ledger: &Path,
    staged: Staged,
    made_at: &str,
) -> Result<Option<PathBuf>, BackupError> {
    let new = &staged.ledger.0;
    // The store has closed it, so nothing of it is in a log any more.
    let file = File::options().read(true).write(true).open(new).at("cannot read", new)?;
    file.sync_all().at("cannot write", new)?;
    let occupied = std::fs::metadata(ledger).map_or(0, |found| found.len()) > 0;
    let replaced = if occupied { Some(move_aside(ledger, made_at)?) } else { None };
    for ending in ["-wal", "-shm"] {
        // SQLite would read a log that is there as that of the new file.
        let left = beside(ledger, ending);
        match std::fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("cannot remove", &left);
            }
            _ => {}
        }
    }
    std::fs::rename(new, ledger).at("cannot put the backup at", ledger)?;
    sync_folder_of(ledger).at("cannot put the backup at", ledger)?;
    Ok(replaced)
}

/// The old ledger gets a second name, with its log where that could not be emptied; until the rename it has its own.
fn move_aside(ledger: &Path, made_at: &str) -> Result<PathBuf, BackupError> {
    let mark: String = made_at.chars().filter(char::is_ascii_alphanumeric).collect();
    let free = |number: &u32| {
        let kept = beside(ledger, &format!(".before-{mark}-{number}"));
        (!kept.exists()).then_some(kept)
    };
    let kept = (1..=u32::MAX)
        .find_map(|number| free(&number))
        .unwrap_or_else(|| beside(ledger, ".before"));
    // One that is damaged keeps its log.
    let _ = SqliteConnection::empty_log(ledger);
    let log = beside(ledger, "-wal");
    if std::fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
        let kept_log = beside(&kept, "-wal");
        std::fs::copy(&log, &kept_log).at("cannot keep", &log)?;
    }
    std::fs::hard_link(ledger, &kept)
        .or_else(|_| std::fs::copy(ledger, &kept).map(|_| ()))
        .at("cannot keep", ledger)?;
    Ok(kept)
}
